//! A second model as drafter.

#![allow(missing_docs, clippy::unwrap_used)]

use eaglet_core::draft::{Plain, SmallModel};
use eaglet_core::sample::Sampling;
use eaglet_core::weights::Dtype;
use eaglet_tests::decode::{BUDGET, answer, decode, options, session};
use eaglet_tests::tiny::Tiny;

#[test]
fn a_model_that_drafts_for_itself_is_accepted_whole() {
    for dtype in Dtype::ALL {
        let target = Tiny::new("qwen2", 1).load(dtype);
        let count = 1 + 7 * (BUDGET.depth + 1);
        let greedy = Sampling::default();
        let plain = decode(
            &target,
            &[3, 1, 4],
            options(&greedy, count, Box::new(Plain)),
        );
        let itself = SmallModel::new(target.clone(), &target).unwrap();
        let found = decode(
            &target,
            &[3, 1, 4],
            options(&greedy, count, Box::new(itself)),
        );
        assert_eq!(found.ids, plain.ids, "{dtype}");
        assert_eq!(
            found.stats.accepted_by_depth,
            vec![7; BUDGET.depth],
            "{dtype}"
        );
    }
}

#[test]
fn another_model_changes_nothing() {
    let target = Tiny::new("llama", 1).load(Dtype::Q4);
    let other = Tiny::new("llama", 2).load(Dtype::F16);
    for temperature in [0.0, 0.9] {
        let sampling = Sampling {
            temperature,
            seed: 8,
            ..Default::default()
        };
        let drafter = SmallModel::new(other.clone(), &target).unwrap();
        let mut kept = session(&target, 1);
        kept.open(options(&sampling, 30, Box::new(drafter)))
            .unwrap();
        let mut history = vec![1, 2];
        for turn in 0..4 {
            let plain = options(&sampling, 30, Box::new(Plain));
            let plain = decode(&target, &history, plain);
            let found = answer(&mut kept, 0, &history);
            assert_eq!(found.ids, plain.ids, "{temperature} {turn}");
            history.extend(&found.ids);
            history.truncate(history.len() - 3 * turn);
        }
    }
}

#[test]
fn another_vocabulary_is_refused() {
    let target = Tiny::new("llama", 1).load(Dtype::F32);
    let other = Tiny::with_vocab("llama", 1, 200).load(Dtype::F32);
    let error = SmallModel::new(other, &target).err().unwrap().to_string();
    assert!(error.contains("200") && error.contains("96"), "{error}");
}
