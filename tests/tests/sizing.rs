//! Trees sized by what passes cost: costs decide how much is verified, and never the text.

#![allow(missing_docs, clippy::unwrap_used)]

use std::sync::Arc;

use eaglet_backends::cpu::CpuOps;
use eaglet_core::draft::{
    Drafter, Eagle, Growth, Lookahead, LookaheadOptions, Medusa, NgramOptions, Plain, SmallModel,
    Union,
};
use eaglet_core::engine::{CostTable, Session, Sizing, Stats};
use eaglet_core::model::{LoadOptions, Transformer};
use eaglet_core::sample::Sampling;
use eaglet_core::weights::Dtype;
use eaglet_tests::decode::{answer, decode, options, session};
use eaglet_tests::heads::{Kind, TinyHead};
use eaglet_tests::medusa::TinyMedusa;
use eaglet_tests::tiny::Tiny;

#[test]
fn measuring_leaves_a_session_as_it_was() {
    let target = Tiny::new("llama", 1).load(Dtype::Q4);
    let sampling = Sampling::default();
    let plain = decode(&target, &[1, 2, 3], options(&sampling, 20, Box::new(Plain)));
    let mut session = session(&target, 2);
    session
        .open(options(&sampling, 20, Box::new(Plain)))
        .unwrap();
    for _ in 0..2 {
        let table = pollster::block_on(session.measure(&Session::widths(2, 6), 0)).unwrap();
        let widths: Vec<usize> = table.widths().iter().map(|&(rows, _)| rows).collect();
        assert_eq!(widths, [1, 2, 4, 8, 16]);
        assert!(table.widths().iter().all(|&(_, seconds)| seconds > 0.0));
        session.check_integrity().unwrap();
        session.assume(table);
        assert_eq!(answer(&mut session, 0, &[1, 2, 3]).ids, plain.ids);
    }
}

#[test]
fn a_context_smaller_than_the_widest_pass_is_measured_as_far_as_it_goes() {
    let options = LoadOptions {
        dtype: None,
        context: Some(5),
    };
    let ops = Arc::new(CpuOps::new(2));
    let target = Transformer::load(&Tiny::new("llama", 1).from_gguf(), ops, options, |_, _| {});
    let mut session = session(&Arc::new(target.unwrap()), 1);
    let table = pollster::block_on(session.measure(&Session::widths(1, 6), 0)).unwrap();
    assert_eq!(table.widths().last().unwrap().0, 4);
    let table = pollster::block_on(session.measure(&[1, 2, 3], 3)).unwrap();
    assert_eq!(table.widths().last().unwrap().0, 2, "after three positions");
}

/// Drafters with a network.
fn networks(target: &Arc<Transformer>) -> Vec<Box<dyn Drafter>> {
    let growth = Growth {
        top_k: 3,
        depth: 4,
        nodes: 6,
    };
    let eagle = |kind| {
        let head = TinyHead::random(kind, 4).load(target, Dtype::Q8);
        Box::new(Eagle::new("eagle", head, target, growth).unwrap())
    };
    let heads = TinyMedusa::published(1).load(target, Dtype::Q8);
    let ngrams = NgramOptions::default();
    vec![
        eagle(Kind::Eagle1),
        eagle(Kind::Eagle3),
        Box::new(Medusa::new(heads, growth)),
        Box::new(SmallModel::new(target.clone(), target).unwrap()),
        Box::new(Union::new(eagle(Kind::Eagle3), ngrams)),
    ]
}

#[test]
fn a_context_that_is_too_short_to_rehearse_in_is_left_alone() {
    for context in 1..=8 {
        let options = LoadOptions {
            dtype: None,
            context: Some(context),
        };
        let ops = Arc::new(CpuOps::new(2));
        let target = Transformer::load(&Tiny::new("llama", 1).from_gguf(), ops, options, |_, _| {});
        let target = Arc::new(target.unwrap());
        for drafter in networks(&target) {
            let mut session = session(&target, 1);
            let sampling = Sampling::default();
            session.open(self::options(&sampling, 1, drafter)).unwrap();
            pollster::block_on(session.rehearse()).unwrap();
            session.check_integrity().unwrap();
        }
    }
}

#[test]
fn a_rehearsal_is_forgotten() {
    let target = Tiny::new("llama", 2).load(Dtype::Q8);
    let sampling = Sampling::default();
    for index in 0..networks(&target).len() {
        let answered = |rehearse: bool| {
            let drafter = networks(&target).swap_remove(index);
            let name = drafter.name();
            let mut session = session(&target, 1);
            session.open(options(&sampling, 40, drafter)).unwrap();
            if rehearse {
                pollster::block_on(session.rehearse()).unwrap();
                session.check_integrity().unwrap();
            }
            let found = answer(&mut session, 0, &[9, 8, 7, 9, 8]);
            let Stats {
                drafted_tokens,
                accepted_by_depth,
                ..
            } = found.stats;
            (name, found.ids, drafted_tokens, accepted_by_depth)
        };
        assert_eq!(answered(true), answered(false));
    }
}

#[test]
fn a_rehearsed_pass_as_dear_as_a_plain_step_is_run_once_at_most() {
    let target = Tiny::new("llama", 2).load(Dtype::Q8);
    let sampling = Sampling::default();
    // The others run one pass for all levels, or add what takes none.
    for index in [0, 1, 3] {
        let drafted = |rehearse: bool| {
            let drafter = networks(&target).swap_remove(index);
            let mut options = options(&sampling, 40, drafter);
            options.sizing = Sizing::Measured;
            let mut session = session(&target, 1);
            session.open(options).unwrap();
            // Plain steps that take no time, and no pass is thought to take more.
            session.assume(CostTable::new(vec![(1, 1e-9), (16, 1e-9)]).unwrap());
            if rehearse {
                pollster::block_on(session.rehearse()).unwrap();
            }
            answer(&mut session, 0, &[9, 8, 7]).stats.drafted_tokens
        };
        let (with, without) = (drafted(true), drafted(false));
        assert!(with < without, "{index}: {with} of {without}");
    }
}

#[test]
fn whatever_passes_cost_the_text_is_that_of_plain_decoding() {
    let target = Tiny::new("llama", 2).load(Dtype::Q8);
    let growth = Growth {
        top_k: 3,
        depth: 4,
        nodes: 6,
    };
    let drafted = |sampling: &Sampling, widths: &[(usize, f64)]| -> (Vec<u32>, Stats) {
        let head = TinyHead::random(Kind::Eagle3, 4).load(&target, Dtype::Q8);
        let drafter = Eagle::new("eagle3", head, &target, growth).unwrap();
        let mut options = options(sampling, 60, Box::new(drafter));
        options.sizing = Sizing::Measured;
        let mut session = session(&target, 1);
        session.open(options).unwrap();
        session.assume(CostTable::new(widths.to_vec()).unwrap());
        let found = answer(&mut session, 0, &[9, 8, 7]);
        (found.ids, found.stats)
    };
    for temperature in [0.0, 0.9] {
        let sampling = Sampling {
            temperature,
            seed: 5,
            ..Default::default()
        };
        let plain = decode(&target, &[9, 8, 7], options(&sampling, 60, Box::new(Plain)));
        // Rows for nothing, rows that are dearer than plain steps, and nonsense.
        let free = drafted(&sampling, &[(1, 1.0), (16, 1.0)]);
        let dear = drafted(&sampling, &[(1, 1.0), (2, 9.0), (16, 90.0)]);
        let odd = drafted(&sampling, &[(1, 1e-9), (2, 1e9), (4, 1e-9), (16, 3.0)]);
        for (ids, _) in [&free, &dear, &odd] {
            assert_eq!(ids, &plain.ids);
        }
        assert_eq!(dear.1.drafted_tokens, 0);
        assert!(
            free.1.drafted_tokens >= 6,
            "the first tree is verified whole"
        );
    }
}

#[test]
fn what_is_verified_whole_rests_where_it_does_not_pay() {
    let target = Tiny::new("llama", 2).load(Dtype::Q8);
    // Hot, so that the text does not repeat itself and few guesses are right.
    let sampling = Sampling {
        temperature: 1.5,
        seed: 5,
        ..Default::default()
    };
    let plain = decode(&target, &[9, 8, 7], options(&sampling, 60, Box::new(Plain)));
    let looked = |widths: Option<&[(usize, f64)]>, count: usize| {
        let drafter = Lookahead::new(LookaheadOptions::default()).unwrap();
        let mut options = options(&sampling, count, Box::new(drafter));
        options.budget = LookaheadOptions::default().budget();
        options.sizing = Sizing::Whole;
        let mut session = session(&target, 1);
        session.open(options).unwrap();
        if let Some(widths) = widths {
            session.assume(CostTable::new(widths.to_vec()).unwrap());
        }
        let found = answer(&mut session, 0, &[9, 8, 7]);
        assert_eq!(found.ids, plain.ids[..count]);
        found.stats.drafted_tokens
    };
    // Plain steps that take longer than anything, and such that take no time.
    let (pays, not) = (
        looked(Some(&[(1, 1e9), (2, 1.0), (64, 1.0)]), 60),
        looked(Some(&[(1, 1e-9), (64, 1e-9)]), 60),
    );
    assert!(not > 0 && 3 * not < pays, "{not} of {pays}");
    // Without a table the first round is a plain step, the measure of all others.
    assert_eq!(looked(None, 3), 0);
    assert!(looked(Some(&[(1, 1.0), (64, 1.0)]), 3) > 0);
}
