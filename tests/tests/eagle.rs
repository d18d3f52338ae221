//! EAGLE heads as drafters: how they draft, and that they change nothing.

#![allow(missing_docs, clippy::unwrap_used)]

use std::collections::HashMap;
use std::sync::Arc;

use eaglet_core::draft::{Eagle, Growth, Plain, Shaping};
use eaglet_core::model::Transformer;
use eaglet_core::sample::Sampling;
use eaglet_core::tree::{Shape, published};
use eaglet_core::weights::Dtype;
use eaglet_tests::decode::{answer, decode, options, session};
use eaglet_tests::heads::{self, Kind, TinyHead};
use eaglet_tests::imitation::imitation;
use eaglet_tests::numbers::spread;
use eaglet_tests::recording::{Log, Recording, look_at_each_level_or_not, recorded, shapings};
use eaglet_tests::tiny::{HIDDEN, Tiny};

const GROWTH: Growth = Growth {
    top_k: 3,
    depth: 4,
    nodes: 6,
};
const KINDS: [Kind; 2] = [Kind::Eagle1, Kind::Eagle3];

fn eagle(kind: Kind, seed: u64, target: &Transformer) -> Box<Eagle> {
    let head = TinyHead::random(kind, seed).load(target, Dtype::F32);
    Box::new(Eagle::new("eagle", head, target, GROWTH).unwrap())
}

#[test]
fn random_heads_never_change_a_token() {
    let mut accepted = 0;
    for kind in KINDS {
        for dtype in Dtype::ALL {
            let target = Tiny::new("llama", 2).load(dtype);
            for (temperature, top_p) in [(0.0, 1.0), (0.7, 1.0), (1.0, 0.9)] {
                let sampling = Sampling {
                    temperature,
                    top_p,
                    seed: 3,
                    ..Default::default()
                };
                let mut kept = session(&target, 1);
                let drafter = eagle(kind, 4, &target);
                kept.open(options(&sampling, 40, drafter)).unwrap();
                let mut history = vec![9, 8, 7];
                // Turns that go on and turns that go back, in one drafter's life.
                for turn in 0..5 {
                    let plain = options(&sampling, 40, Box::new(Plain));
                    let plain = decode(&target, &history, plain);
                    let found = answer(&mut kept, 0, &history);
                    assert_eq!(found.ids, plain.ids, "{kind:?} {dtype} {sampling:?} {turn}");
                    assert!(found.stats.drafted_tokens >= found.stats.rounds);
                    accepted += found.stats.accepted_by_depth.iter().sum::<usize>();
                    history.extend(&found.ids[..30]);
                    history.truncate(history.len() - 7 * turn);
                    history.push(turn as u32);
                }
            }
        }
    }
    assert!(accepted > 10, "{accepted}");
}

fn record(target: &Arc<Transformer>, kind: Kind, prompt: &[u32], max: usize, dear: usize) -> Log {
    let drafter = eagle(kind, 5, target);
    recorded(target, drafter, prompt, max, dear, (0.0, 30))
}

/// Where passes are free, a tree never leaves the device before it is whole; where they have a
/// price, however small, each level is looked at.
#[test]
fn trees_are_the_same_with_and_without_a_look_at_each_level() {
    let target = Tiny::new("llama", 3).load(Dtype::F32);
    // The last ranks are more than EAGLE-3's draft vocabulary has.
    let wide: Shape = "0-9 00-05 90 000 0000 900".parse().unwrap();
    let shapings = [shapings(), vec![wide.into()]].concat();
    for kind in KINDS {
        for shaping in &shapings {
            let name = format!("{kind:?} {shaping:?}");
            look_at_each_level_or_not(&target, kind, shaping, &name);
        }
    }
}

#[test]
fn after_many_rounds_a_head_drafts_what_it_would_draft_afresh() {
    let target = Tiny::new("qwen3", 3).load(Dtype::F32);
    for kind in KINDS {
        let log = record(&target, kind, &[1, 2, 3, 4], 40, 0);
        let log = log.borrow();
        assert!(log.len() > 20);
        for (context, tree) in log.iter().step_by(5).filter(|(_, tree)| tree.height() == 4) {
            // A fresh drafter whose first round has this context: its root is the last
            // token, which greedy decoding of the rest gives.
            let fresh = record(&target, kind, &context[..context.len() - 1], 40, 0);
            let fresh = fresh.borrow();
            assert_eq!(&fresh[0], &(context.clone(), tree.clone()), "{kind:?}");
        }
    }
}

#[test]
fn a_head_that_rested_drafts_what_it_would_have_drafted_without() {
    let target = Tiny::new("qwen3", 3).load(Dtype::F32);
    for kind in KINDS {
        let always = record(&target, kind, &[1, 2, 3, 4], 60, 0);
        let always: HashMap<_, _> = always.borrow().iter().cloned().collect();
        let rested = record(&target, kind, &[1, 2, 3, 4], 60, 30);
        let (short, long): (Vec<_>, Vec<_>) = rested
            .take()
            .into_iter()
            .partition(|(context, _)| context.len() < 30);
        assert_eq!(short.len(), 25, "a rest is plain decoding");
        assert!(short.iter().all(|(_, tree)| tree.len() == 1));
        let mut compared = 0;
        for (context, tree) in &long {
            if let Some(expected) = always.get(context).filter(|tree| tree.height() == 4) {
                assert_eq!(tree, expected, "{kind:?}");
                compared += 1;
            }
        }
        assert!(compared > 5, "{compared}");
    }
}

/// Prompts are longer than a pass, and so is what waits for a head: in pieces or at once,
/// cut anywhere, the first draft is the same.
#[test]
fn a_long_prompt_is_drafted_from_as_if_it_had_come_in_pieces() {
    let mut model = Tiny::new("llama", 6);
    model.context = 1024;
    let target = model.load(Dtype::F32);
    let text: Vec<u32> = (0..700).map(|i| (i * i + 3 * i) % 96).collect();
    for kind in KINDS {
        let whole = record(&target, kind, &text, 3, 0).take();
        let log = Log::default();
        let recording = Recording {
            inner: eagle(kind, 5, &target),
            dear: 0,
            price: 0.0,
            log: log.clone(),
        };
        let greedy = Sampling::default();
        let mut pieces = session(&target, 1);
        pieces
            .open(options(&greedy, 3, Box::new(recording)))
            .unwrap();
        for end in [1, 100, 356, 357, 700] {
            log.take();
            answer(&mut pieces, 0, &text[..end]);
        }
        assert_eq!(log.take(), whole, "{kind:?}");
        // Not worth a pass for 600 tokens, more than may wait: it goes on all the same.
        let late = record(&target, kind, &text[..60], 640, 690).take();
        let drafts = late.iter().filter(|(_, tree)| tree.len() > 1);
        let drafts: Vec<usize> = drafts.map(|(context, _)| context.len()).collect();
        assert_eq!(drafts.first(), Some(&690), "{kind:?}: {drafts:?}");
    }
}

#[test]
fn what_a_resting_head_has_seen_is_not_run_again() {
    let mut model = Tiny::new("llama", 6);
    model.context = 1024;
    let target = model.load(Dtype::F32);
    let text: Vec<u32> = (0..500).map(|i| (i * i + 3 * i) % 96).collect();
    for kind in KINDS {
        // What waits is fused already, or as the target left it, or both.
        for first in [60, 300] {
            for shared in [first / 2, first - 7, first] {
                let log = Log::default();
                let recording = Recording {
                    inner: eagle(kind, 5, &target),
                    dear: 400,
                    price: 0.0,
                    log: log.clone(),
                };
                let greedy = Sampling::default();
                let mut kept = session(&target, 1);
                kept.open(options(&greedy, 4, Box::new(recording))).unwrap();
                answer(&mut kept, 0, &text[..first]);
                log.take();
                let next = [&text[..shared], &text[1..450 - shared]].concat();
                let found = answer(&mut kept, 0, &next);
                assert_eq!(found.stats.reused_tokens, shared, "{kind:?} {first}");
                let fresh = record(&target, kind, &next, 4, 0).take();
                assert_eq!(log.take(), fresh, "{kind:?} {first} {shared}");
            }
        }
    }
}

#[test]
fn a_head_that_imitates_its_target_is_accepted_whole() {
    let (model, tiny) = imitation();
    let target = model.load(Dtype::F32);
    let chain = Growth {
        top_k: 1,
        depth: 5,
        nodes: 5,
    };
    let shape: Shape = published::EAGLE1.parse().unwrap();
    let count = 1 + 8 * 6;
    let greedy = Sampling::default();
    let plain = decode(&target, &[7, 7], options(&greedy, count, Box::new(Plain)));
    for (shaping, nodes) in [(Shaping::from(chain), 5), (Shaping::from(shape), 25)] {
        let head = tiny.load(&target, Dtype::F32);
        let drafter = Eagle::new("eagle1", head, &target, shaping).unwrap();
        let mut options = options(&greedy, count, Box::new(drafter));
        options.budget.nodes = nodes;
        let found = decode(&target, &[7, 7], options);
        assert_eq!(found.ids, plain.ids);
        assert_eq!(found.stats.tau(), 6.0);
        assert_eq!(found.stats.accepted_by_depth, [8; 5]);
        assert_eq!(found.stats.drafted_tokens, 8 * nodes);
    }
}

#[test]
fn a_head_that_overflows_only_drafts_nothing() {
    let target = Tiny::new("llama", 1).load(Dtype::F32);
    let mut head = TinyHead::random(Kind::Eagle3, 1);
    let (_, norm) = head.tensors.get_mut("norm.weight").unwrap();
    norm.fill(3e38);
    let greedy = Sampling::default();
    let plain = decode(&target, &[1, 2], options(&greedy, 20, Box::new(Plain)));
    let head = head.load(&target, Dtype::F32);
    let drafter = Eagle::new("eagle3", head, &target, GROWTH).unwrap();
    let found = decode(&target, &[1, 2], options(&greedy, 20, Box::new(drafter)));
    assert_eq!(found.ids, plain.ids);
}

#[test]
fn sequences_may_have_heads_with_other_taps() {
    let target = Tiny::new("llama", 1).load(Dtype::F32);
    let greedy = Sampling::default();
    let plain = decode(&target, &[1, 2], options(&greedy, 20, Box::new(Plain)));
    let mut kept = session(&target, 2);
    kept.open(options(&greedy, 20, eagle(Kind::Eagle3, 1, &target)))
        .unwrap();
    let mut head = TinyHead::random(Kind::Eagle3, 2);
    let fc = spread(9, HIDDEN * 2 * HIDDEN);
    head.tensors
        .insert("fc.weight".into(), (vec![HIDDEN, 2 * HIDDEN], fc));
    let config = serde_json::json!({
        "num_attention_heads": heads::HEADS, "eagle_aux_hidden_state_layer_ids": [0, 2],
    });
    let file = head.file(str::to_owned, false);
    let head = heads::load(&file, &config, &target, Dtype::F32).unwrap();
    let drafter = Eagle::new("eagle3", head, &target, GROWTH).unwrap();
    kept.open(options(&greedy, 20, Box::new(drafter))).unwrap();
    for sequence in [1, 0, 1] {
        let found = answer(&mut kept, sequence, &[1, 2]);
        assert_eq!(found.ids, plain.ids);
        assert!(found.stats.drafted_tokens > 0);
    }
}
