//! The cache: whatever happened before, logits are those of a fresh prefill.

#![allow(missing_docs, clippy::unwrap_used)]

use eaglet_core::cache::{KvPool, Table};
use eaglet_core::draft::{Ngram, NgramOptions, Plain};
use eaglet_core::engine::{FinishReason, Limits};
use eaglet_core::ops::Rows;
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

/// Commits and rejects drafted trees, goes back, and goes on, always in whichever slots
/// are free; the logits of the next token must then be those of a fresh prefill.
#[test]
fn logits_after_any_history_are_those_of_a_fresh_prefill() {
    for dtype in Dtype::ALL {
        let target = Tiny::new("qwen3", 12).load(dtype);
        let ops = target.ops();
        let heads = target.config().attention_heads();
        let cache = match dtype {
            Dtype::F32 => burn::tensor::DType::F32,
            _ => burn::tensor::DType::F16,
        };
        let pool = || KvPool::new(&**ops, 2, 200, heads, cache).unwrap();
        let logits = |rows: &Rows<'_>, pool: &mut KvPool| -> Vec<f32> {
            let features = target.forward(rows, pool, &[]).unwrap();
            let last = ops
                .select(&features.last, &[rows.len() as u32 - 1])
                .unwrap();
            pollster::block_on(ops.read(target.logits(&last).unwrap())).unwrap()
        };
        let mut used = pool();
        let mut table = Table::default();
        let mut counter = 0;
        let mut pick = |below: usize| {
            counter += 1;
            (uniform(dtype as u64, counter) * below as f64) as usize
        };
        for step in 0..60 {
            // A chain of drafts behind a root, and beside each a rival that is rejected.
            let depth = 1 + pick(4);
            let slots = used.reserve(2 * depth).unwrap();
            let tokens: Vec<u32> = (0..2 * depth).map(|_| pick(96) as u32).collect();
            let committed = table.slots().to_vec();
            let mut rows = Rows::default();
            let id = rows.add_table(&committed);
            for i in 0..2 * depth {
                // Even nodes are the chain; an odd one takes its neighbour's place.
                let chain = (0..i / 2).map(|j| slots[2 * j]);
                let path: Vec<u32> = chain.chain([slots[i]]).collect();
                rows.push(tokens[i], slots[i], id, committed.len() as u32, &path);
            }
            target.forward(&rows, &mut used, &[]).unwrap();
            let accepted = 1 + pick(depth);
            for i in 0..2 * depth {
                if i % 2 == 0 && i / 2 < accepted {
                    table.commit(tokens[i], slots[i]);
                } else {
                    used.release([slots[i]].into_iter());
                }
            }
            if step % 7 == 3 {
                let dropped = table.truncate(table.len().saturating_sub(pick(12)));
                used.release(dropped.into_iter());
            }
            used.check_integrity([&table].into_iter()).unwrap();
            if table.len() > 120 {
                break;
            }
        }
        assert!(table.len() > 30);
        // One more token after that history, and the same after a fresh prefill.
        let next = used.reserve(1).unwrap()[0];
        let committed = table.slots().to_vec();
        let mut rows = Rows::default();
        let id = rows.add_table(&committed);
        rows.push(42, next, id, committed.len() as u32, &[next]);
        let found = logits(&rows, &mut used);

        let mut fresh = pool();
        let all: Vec<u32> = table.tokens().iter().copied().chain([42]).collect();
        let slots = fresh.reserve(all.len()).unwrap();
        let mut rows = Rows::default();
        let id = rows.add_table(&slots);
        for (i, &token) in all.iter().enumerate() {
            rows.push(token, slots[i], id, i as u32 + 1, &[]);
        }
        assert_eq!(found, logits(&rows, &mut fresh), "{dtype}");
    }
}
