//! What decoding asks of a device, and that it gives memory back.

#![allow(missing_docs, clippy::unwrap_used)]

use std::sync::Mutex;

use burn::tensor::Tensor;

use eaglet_core::draft::{Drafter, Eagle, Growth, NgramOptions, Plain, Shaping, Union};
use eaglet_core::engine::{CostTable, Sizing};
use eaglet_core::ops::{Counters, Recorded, Rows};
use eaglet_core::sample::Sampling;
use eaglet_core::weights::Dtype;
use eaglet_tests::decode::{answer, decode, options, session};
use eaglet_tests::devices::gpus;
use eaglet_tests::drafters::Oracle;
use eaglet_tests::heads::{Kind, TinyHead};
use eaglet_tests::imitation::imitation;
use eaglet_tests::recording::shapings;
use eaglet_tests::tiny::{LAYERS, Tiny, VOCAB};

/// Dispatches of a layer, at most.
const LAYER: u64 = 7;
/// Embedding, head, argmax or draw.
const ENDS: u64 = 3;

/// Counters are the device's: one test at a time.
static ALONE: Mutex<()> = Mutex::new(());

fn warm() -> Sampling {
    Sampling {
        temperature: 0.8,
        top_p: 0.9,
        ..Default::default()
    }
}

#[test]
fn a_round_is_few_dispatches_and_one_readback() {
    let _alone = ALONE.lock().unwrap();
    for gpu in gpus() {
        let (greedy, warm) = (Sampling::default(), warm());
        for (architecture, sampling) in [
            ("llama", &greedy),
            ("qwen2", &greedy),
            ("qwen3", &greedy),
            ("llama", &warm),
        ] {
            let target = Tiny::new(architecture, 2).load_on(&gpu.ops, Dtype::Q4);
            let prompt = [9, 8, 7];
            let run = |drafter| decode(&target, &prompt, options(sampling, 20, drafter));
            let plain = run(Box::new(Plain));
            let oracle = Oracle {
                tokens: [&prompt[..], &plain.ids].concat(),
                offset: 0,
                vocab: VOCAB as u32,
            };
            let drafted = run(Box::new(oracle));
            for stats in [plain.stats, drafted.stats] {
                let rounds = stats.rounds as u64;
                let Counters {
                    dispatches,
                    uploads,
                    readbacks,
                } = stats.asked;
                let name = &gpu.name;
                assert!(rounds > 0 && dispatches > 0, "{name}: nothing was counted");
                let most = LAYERS as u64 * LAYER + ENDS;
                // A pass that is recorded is run once more.
                let recorded = u64::from(rounds >= 8);
                assert!(
                    dispatches <= (rounds + recorded) * most,
                    "{name} {architecture}: {dispatches}"
                );
                assert_eq!(readbacks, rounds, "{name} {architecture}");
                // The rows with their tokens, and what tokens are drawn with.
                let each = if sampling.is_argmax() { 1 } else { 2 };
                assert_eq!(uploads, each * rounds, "{name} {architecture}");
            }
        }
    }
}

#[test]
fn a_round_beyond_a_span_of_positions_takes_one_dispatch_more_a_layer() {
    let _alone = ALONE.lock().unwrap();
    let mut model = Tiny::new("llama", 2);
    model.context = 512;
    for gpu in gpus() {
        let target = model.load_on(&gpu.ops, Dtype::Q4);
        let dispatches = |prompt: u32| {
            let prompt: Vec<u32> = (0..prompt).map(|i| i % 96).collect();
            let options = options(&Sampling::default(), 5, Box::new(Plain));
            let stats = decode(&target, &prompt, options).stats;
            stats.asked.dispatches / stats.rounds as u64
        };
        let (short, long) = (dispatches(200), dispatches(300));
        assert_eq!(long, short + LAYERS as u64, "{}", gpu.name);
        assert!(long <= LAYERS as u64 * LAYER + ENDS, "{}: {long}", gpu.name);
    }
}

#[test]
fn a_drafted_round_waits_once_where_its_tree_grows() {
    let _alone = ALONE.lock().unwrap();
    for gpu in gpus() {
        let target = Tiny::new("llama", 2).load_on(&gpu.ops, Dtype::F32);
        for shaping in shapings() {
            let head = TinyHead::random(Kind::Eagle3, 4).load(&target, Dtype::F32);
            let drafter = Eagle::new("eagle", head, &target, shaping.clone()).unwrap();
            let mut options = options(&Sampling::default(), 20, Box::new(drafter));
            options.budget.nodes = 25;
            let stats = decode(&target, &[9, 8, 7], options).stats;
            let (rounds, name) = (stats.rounds as u64, format!("{} {shaping:?}", gpu.name));
            assert!(stats.drafted_tokens as u64 > 2 * rounds, "{name}");
            let readbacks = stats.asked.readbacks;
            match shaping {
                Shaping::Dynamic(_) => assert_eq!(readbacks, rounds, "{name}"),
                // The draft's and the verdict's; nothing is drafted before the end.
                Shaping::Static(_) => assert!(
                    (rounds + 1..=2 * rounds).contains(&readbacks),
                    "{name}: {readbacks}"
                ),
            }
        }
    }
}

/// A head that says what the target says: where its trees are verified unseen, all of them are
/// accepted, and rounds wait once.
#[test]
fn a_head_that_imitates_its_target_is_accepted_whole_unseen() {
    let _alone = ALONE.lock().unwrap();
    let (model, tiny) = imitation();
    let count = 1 + 8 * 6;
    for gpu in gpus() {
        let target = model.load_on(&gpu.ops, Dtype::F32);
        let greedy = Sampling::default();
        let plain = decode(&target, &[7, 7], options(&greedy, count, Box::new(Plain)));
        for (top_k, nodes) in [(1, 5), (3, 20)] {
            let growth = Growth {
                top_k,
                depth: 5,
                nodes,
            };
            let head = tiny.load(&target, Dtype::F32);
            let drafter = Eagle::new("eagle1", head, &target, growth).unwrap();
            let mut options = options(&greedy, count, Box::new(drafter));
            options.budget.nodes = nodes;
            let found = decode(&target, &[7, 7], options);
            let what = format!("{} {growth:?}", gpu.name);
            assert_eq!(found.ids, plain.ids, "{what}");
            assert_eq!(found.stats.accepted_by_depth, [8; 5], "{what}");
            assert_eq!(found.stats.drafted_tokens, 8 * nodes, "{what}");
            assert_eq!(found.stats.asked.readbacks, 8, "{what}");
        }
    }
}

/// How many nodes are verified unseen is foretold from what passes cost, which a clock says.
#[test]
fn whatever_is_foretold_changes_no_token() {
    let _alone = ALONE.lock().unwrap();
    let (model, tiny) = imitation();
    for gpu in gpus() {
        let target = model.load_on(&gpu.ops, Dtype::F32);
        for sampling in [&Sampling::default(), &warm()] {
            let prompt = [9, 8, 7, 9, 8, 7, 40];
            let plain = decode(&target, &prompt, options(sampling, 30, Box::new(Plain)));
            for (depth, grafted) in [(2, false), (5, false), (4, true)] {
                let growth = Growth {
                    top_k: 3,
                    depth,
                    nodes: 6,
                };
                let head = tiny.load(&target, Dtype::F32);
                let eagle = Eagle::new("eagle1", head, &target, growth).unwrap();
                let eagle = Box::new(eagle.looking(false));
                let drafter: Box<dyn Drafter> = match grafted {
                    true => Box::new(Union::new(eagle, NgramOptions::GRAFTED)),
                    false => eagle,
                };
                let mut options = options(sampling, 30, drafter);
                options.sizing = Sizing::Measured;
                let mut session = session(&target, 1);
                session.open(options).unwrap();
                // As if the target took long, so that drafting pays at first.
                let costs = CostTable::new(vec![(1, 9.0), (8, 9.5)]).unwrap();
                session.assume(costs);
                pollster::block_on(session.rehearse()).unwrap();
                let found = answer(&mut session, 0, &prompt);
                let what = format!("{} {growth:?} {grafted} {sampling:?}", gpu.name);
                assert_eq!(found.ids, plain.ids, "{what}");
                let (stats, drafts) = (&found.stats, found.stats.tried_by_depth[0] as u64);
                let readbacks = stats.asked.readbacks;
                assert!(readbacks < stats.rounds as u64 + drafts, "{what} {stats:?}");
            }
        }
    }
}

#[test]
fn a_long_prompt_is_waited_for_every_fourth_pass() {
    let _alone = ALONE.lock().unwrap();
    for gpu in gpus() {
        let target = Tiny::new("llama", 2).load_on(&gpu.ops, Dtype::Q4);
        let prompt: Vec<u32> = (1..=20).collect();
        let read_by = |rows| {
            let mut session = session(&target, 1);
            session.read_by(rows);
            let plain = options(&Sampling::default(), 1, Box::new(Plain));
            session.open(plain).unwrap();
            let before = gpu.ops.counters();
            let mut watch = |_: usize, _| false;
            let emission = pollster::block_on(session.prompt(0, &prompt, &mut watch)).unwrap();
            let readbacks = (gpu.ops.counters() - before).readbacks;
            (readbacks, emission.tokens)
        };
        // The first token is one; of ten passes the fifth and the ninth are held back.
        let (once, tokens) = read_by(20);
        assert_eq!((once, read_by(5)), (1, (1, tokens.clone())), "{}", gpu.name);
        assert_eq!(read_by(2), (3, tokens), "{}", gpu.name);
    }
}

#[test]
fn a_pass_that_is_repeated_is_counted_as_if_it_were_run() {
    let _alone = ALONE.lock().unwrap();
    for gpu in gpus() {
        let ops = &*gpu.ops;
        let x = Tensor::<2>::ones([1, 8], ops.device());
        let (table, mut recorded, mut runs) = ([0], Recorded::default(), 0);
        let before = ops.counters();
        for _ in 0..30 {
            let mut rows = Rows::default();
            rows.add_table(&table);
            rows.push(0, 0, 0, 1, &[]);
            let mut pass = |_: &[Tensor<2>], rows: &mut [Rows<'_>]| {
                runs += 1;
                ops.stage(&rows[0])?;
                let wide = ops.concat(&[x.clone(), x.clone()], 1)?;
                Ok(vec![ops.concat(&[wide.clone(), wide.clone(), wide], 0)?])
            };
            ops.repeat(&mut recorded, &[], &mut [rows], &mut pass)
                .unwrap();
        }
        let asked = ops.counters() - before;
        // Seven, and the two that make a recording, of which only one is run.
        assert_eq!(runs, 9, "{}", gpu.name);
        assert_eq!(
            (asked.dispatches, asked.uploads),
            (31 * 5, 30),
            "{}",
            gpu.name
        );
    }
}

#[test]
fn sessions_give_their_memory_back() {
    let _alone = ALONE.lock().unwrap();
    for gpu in gpus() {
        let target = Tiny::new("llama", 2).load_on(&gpu.ops, Dtype::F16);
        let run = || {
            let options = options(&Sampling::default(), 5, Box::new(Plain));
            decode(&target, &[9, 8, 7], options);
            gpu.ops.memory().unwrap()
        };
        // The first brings what the device keeps: uniforms, and what is still in flight.
        let first = run();
        assert!(first > 0, "{}", gpu.name);
        let last = (0..100).fold(first, |_, _| run());
        assert!(last <= first, "{}: {first} bytes, then {last}", gpu.name);
    }
}
