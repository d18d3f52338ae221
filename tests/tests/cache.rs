//! The cache: whatever happened before, logits are those of a fresh prefill.

#![allow(missing_docs, clippy::unwrap_used)]

use eaglet_core::cache::{KvPool, Table};
use eaglet_core::draft::{Ngram, NgramOptions, Plain};
use eaglet_core::engine::{FinishReason, Limits};
use eaglet_core::sample::{Sampling, uniform};
use eaglet_core::weights::Dtype;
use eaglet_tests::decode::{answer, decode, options, session};
use eaglet_tests::tiny::{CONTEXT, Tiny};

#[test]
fn turns_that_share_a_prefix_give_what_a_fresh_session_gives() {
    let mut reused = 0;
    for dtype in [Dtype::F32, Dtype::Q4] {
        let target = Tiny::new("llama", 8).load(dtype);
        let drafter = || Box::new(Ngram(NgramOptions::default()));
        let sampling = Sampling {
            temperature: 0.8,
            ..Default::default()
        };
        let mut session = session(&target, 1);
        session.open(options(&sampling, 30, drafter())).unwrap();
        let mut history: Vec<u32> = vec![1, 2, 3];
        for turn in 0..60 {
            // Some turns go on, some go back to an earlier point and take another way.
            let random = |n| uniform(turn, n);
            if random(0) < 0.4 {
                let keep = 1 + (random(1) * (history.len() - 1) as f64) as usize;
                history.truncate(keep);
            }
            history
                .extend((0..1 + (random(2) * 6.0) as u64).map(|i| (random(9 + i) * 96.0) as u32));
            if history.len() > CONTEXT - 40 {
                history.truncate(3);
            }
            let kept = answer(&mut session, 0, &history);
            let fresh = decode(&target, &history, options(&sampling, 30, drafter()));
            assert_eq!(kept.ids, fresh.ids, "turn {turn}");
            assert_eq!(kept.stats.prompt_tokens, history.len());
            reused += kept.stats.reused_tokens;
            history.extend(&kept.ids);
        }
    }
    assert!(reused > 3000, "{reused}");
}

#[test]
fn answers_end_exactly_at_limits_inside_accepted_runs() {
    let target = Tiny::new("llama", 9).load(Dtype::F32);
    let prompt = [4, 5, 6];
    let greedy = Sampling::default();
    let plain = decode(&target, &prompt, options(&greedy, 50, Box::new(Plain)));
    let perfect = || {
        Box::new(eaglet_tests::drafters::Oracle {
            tokens: [&prompt, &plain.ids[..]].concat(),
            offset: 0,
            vocab: 96,
        })
    };
    for max in 1..20 {
        let found = decode(&target, &prompt, options(&greedy, max, perfect()));
        assert_eq!(found.ids, plain.ids[..max]);
        assert_eq!(found.finish, FinishReason::Length);
    }
    // Any token can be the one that ends the answer, at its first occurrence.
    for &eos in &plain.ids[..20] {
        let first = plain.ids.iter().position(|&id| id == eos).unwrap();
        let mut stopping = options(&greedy, 50, perfect());
        stopping.limits = Limits {
            eos: vec![eos],
            max_tokens: Some(50),
        };
        let found = decode(&target, &prompt, stopping);
        assert_eq!(found.ids, plain.ids[..=first]);
        assert_eq!(found.finish, FinishReason::Stop);
    }
}

#[test]
fn the_context_is_filled_to_its_last_position_by_every_drafter() {
    let target = Tiny::new("llama", 10).load(Dtype::F32);
    let prompt: Vec<u32> = (0..CONTEXT as u32 - 30).map(|i| i % 96).collect();
    let endless = |drafter| {
        let mut options = options(&Sampling::default(), 1, drafter);
        options.limits.max_tokens = None;
        options
    };
    let plain = decode(&target, &prompt, endless(Box::new(Plain)));
    assert_eq!((plain.ids.len(), plain.finish), (30, FinishReason::Length));
    let ngram = Box::new(Ngram(NgramOptions::default()));
    let found = decode(&target, &prompt, endless(ngram));
    assert_eq!(found.ids, plain.ids);
}

#[test]
fn a_slot_has_one_owner() {
    let target = Tiny::new("llama", 11).load(Dtype::F32);
    let heads = target.config().attention_heads();
    let dtype = burn::tensor::DType::F16;
    let mut pool = KvPool::new(&**target.ops(), 2, 8, heads, dtype).unwrap();
    let slots = pool.reserve(5).unwrap();
    assert_eq!(slots, [0, 1, 2, 3, 4]);
    assert!(
        pool.reserve(4)
            .unwrap_err()
            .to_string()
            .contains("context of 8")
    );
    let mut table = Table::default();
    assert!(
        pool.check_integrity([&table].into_iter()).is_err(),
        "slots are lost"
    );
    slots.iter().for_each(|&slot| table.commit(7, slot));
    pool.check_integrity([&table].into_iter()).unwrap();
    let dropped = table.truncate(2);
    assert_eq!((table.len(), dropped.len()), (2, 3));
    pool.release(dropped.into_iter());
    pool.check_integrity([&table].into_iter()).unwrap();
    pool.release([0].into_iter());
    assert!(
        pool.check_integrity([&table].into_iter()).is_err(),
        "a slot has two owners"
    );
}
