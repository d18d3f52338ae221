//! Every method that drafts: none changes a token, in any dtype, however it is sampled,
//! alone and side by side, with costs that decide and without.

#![allow(missing_docs, clippy::unwrap_used)]

use std::cell::RefCell;
use std::future::Future;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;

use eaglet_core::Result;
use eaglet_core::draft::{
    Budget, Drafter, Eagle, Growth, Lookahead, LookaheadOptions, Medusa, Ngram, NgramOptions,
    Observation, Plain, SmallModel, Union,
};
use eaglet_core::engine::{FinishReason, SequenceOptions, Session, SessionOptions, Sizing};
use eaglet_core::model::Transformer;
use eaglet_core::sample::{Penalties, Sampling};
use eaglet_core::tree::{Shape, Tree, published};
use eaglet_core::weights::Dtype;
use eaglet_tests::decode::{self, answer, decode};
use eaglet_tests::heads::{Kind, TinyHead};
use eaglet_tests::medusa::TinyMedusa;
use eaglet_tests::tiny::{CONTEXT, Tiny};

/// Enough for every tree here.
const ROOM: Budget = Budget::new(80, 20);
const SEED: u64 = 2;
const GROWTH: Growth = Growth {
    top_k: 3,
    depth: 4,
    nodes: 9,
};

fn samplings() -> Vec<Sampling> {
    let warm = |temperature, top_p| Sampling {
        temperature,
        top_p,
        seed: 7,
        ..Default::default()
    };
    let penalties = Penalties {
        repetition: 1.2,
        presence: 0.3,
        frequency: 0.2,
    };
    vec![
        Sampling::default(),
        warm(0.7, 1.0),
        warm(1.0, 0.9),
        Sampling {
            penalties,
            ..Default::default()
        },
    ]
}

fn options(sampling: &Sampling, max: usize, drafter: Box<dyn Drafter>) -> SequenceOptions {
    SequenceOptions {
        budget: ROOM,
        ..decode::options(sampling, max, drafter)
    }
}

fn session(target: &Arc<Transformer>, sequences: usize) -> Session {
    let nodes = ROOM.nodes;
    Session::new(target.clone(), SessionOptions { sequences, nodes }).unwrap()
}

fn eagle(kind: Kind, target: &Transformer) -> Box<dyn Drafter> {
    let head = TinyHead::random(kind, 4).load(target, Dtype::F32);
    let shape: Shape = published::EAGLE1.parse().unwrap();
    Box::new(Eagle::new("eagle1", head, target, shape).unwrap())
}

/// A head whose trees grow.
fn growing(name: &'static str, kind: Kind, target: &Transformer) -> Box<dyn Drafter> {
    let head = TinyHead::random(kind, 4).load(target, Dtype::F32);
    Box::new(Eagle::new(name, head, target, GROWTH).unwrap())
}

/// The weights of most of these targets, in 4 bits.
fn small_model(target: &Transformer) -> Box<dyn Drafter> {
    let small = Tiny::new("llama", SEED).load(Dtype::Q4);
    Box::new(SmallModel::new(small, target).unwrap())
}

fn ngrams() -> Ngram {
    Ngram(NgramOptions {
        shortest: 1,
        branches: 2,
        ..Default::default()
    })
}

fn lookahead() -> Box<dyn Drafter> {
    Box::new(Lookahead::new(LookaheadOptions::default()).unwrap())
}

fn with_ngrams(drafter: Box<dyn Drafter>) -> Box<dyn Drafter> {
    Box::new(Union::new(drafter, ngrams().0))
}

/// Every method of this suite.
fn drafters(target: &Transformer) -> Vec<(&'static str, Box<dyn Drafter>)> {
    let medusa = || TinyMedusa::random(&[1, 2, 1, 1], &[0, 2], 96, 3).load(target, Dtype::F32);
    let shape: Shape = published::MEDUSA[0].1.parse().unwrap();
    vec![
        ("eagle1", eagle(Kind::Eagle1, target)),
        ("eagle3, static", eagle(Kind::Eagle3, target)),
        ("medusa, dynamic", Box::new(Medusa::new(medusa(), GROWTH))),
        ("medusa, static", Box::new(Medusa::new(medusa(), shape))),
        ("lookahead", lookahead()),
        ("eagle2", growing("eagle2", Kind::Eagle1, target)),
        ("eagle3", growing("eagle3", Kind::Eagle3, target)),
        ("small-model", small_model(target)),
        ("ngram", Box::new(ngrams())),
        (
            "eagle3 and n-grams",
            with_ngrams(eagle(Kind::Eagle3, target)),
        ),
        (
            "medusa and n-grams",
            with_ngrams(Box::new(Medusa::new(medusa(), GROWTH))),
        ),
    ]
}

#[test]
fn no_method_changes_a_token_alone_or_side_by_side() {
    let prompts: Vec<Vec<u32>> = (0..4u32)
        .map(|i| vec![i, 2 * i, 7, i + 40, 9, 7, i + 40])
        .collect();
    let (mut accepted, mut tokens) = (vec![0; 11], 0);
    for dtype in Dtype::ALL {
        let target = Tiny::new("llama", SEED).load(dtype);
        for sampling in samplings() {
            let plain: Vec<Vec<u32>> = prompts
                .iter()
                .map(|prompt| decode(&target, prompt, options(&sampling, 40, Box::new(Plain))).ids)
                .collect();
            for (method, accepted) in accepted.iter_mut().enumerate() {
                for (sizing, batch) in [
                    (Sizing::Fixed, 4),
                    (Sizing::Whole, 4),
                    (Sizing::Measured, 4),
                    (Sizing::Measured, 1),
                ] {
                    let mut session = session(&target, batch);
                    let mut ids = vec![Vec::new(); batch];
                    let mut watch = |sequence: usize, token| {
                        ids[sequence].push(token);
                        false
                    };
                    let mut name = "";
                    pollster::block_on(async {
                        for (i, prompt) in prompts[..batch].iter().enumerate() {
                            let drafter = drafters(&target).swap_remove(method);
                            name = drafter.0;
                            let mut options = options(&sampling, 40, drafter.1);
                            options.sizing = sizing;
                            session.open(options).unwrap();
                            session.prompt(i, prompt, &mut watch).await.unwrap();
                        }
                        while !session.round(&mut watch).await.unwrap().is_empty() {}
                    });
                    session.check_integrity().unwrap();
                    assert_eq!(
                        ids,
                        plain[..batch],
                        "{name} {dtype} {sizing:?} {sampling:?}"
                    );
                    for i in 0..batch {
                        let stats = session.sequence(i).stats();
                        *accepted += stats.accepted_by_depth.iter().sum::<usize>();
                        tokens += stats.generated_tokens;
                        let rounds = stats.rounds;
                        let sparing = sizing != Sizing::Fixed || name == "ngram";
                        assert!(sparing || stats.drafted_tokens > rounds, "{name}");
                    }
                }
            }
        }
    }
    assert_eq!(tokens, 4 * 4 * 11 * 13 * 40);
    assert!(accepted.iter().all(|&n| n > 20), "{accepted:?}");
}

#[test]
fn the_context_is_filled_to_its_last_position_by_every_method() {
    let target = Tiny::new("llama", SEED).load(Dtype::F32);
    let prompt: Vec<u32> = (0..CONTEXT as u32 - 30).map(|i| i % 96).collect();
    let endless = |drafter| {
        let mut options = options(&Sampling::default(), 1, drafter);
        options.limits.max_tokens = None;
        options
    };
    let plain = decode(&target, &prompt, endless(Box::new(Plain)));
    assert_eq!((plain.ids.len(), plain.finish), (30, FinishReason::Length));
    for (name, drafter) in drafters(&target) {
        let found = decode(&target, &prompt, endless(drafter));
        assert_eq!(found.ids, plain.ids, "{name}");
        assert_eq!(found.finish, FinishReason::Length, "{name}");
        assert!(found.stats.drafted_tokens > 0, "{name}");
    }
}

#[test]
fn turns_that_go_on_and_turns_that_go_back_change_nothing() {
    let target = Tiny::new("qwen3", 3).load(Dtype::Q8);
    for sampling in samplings() {
        for (name, drafter) in drafters(&target) {
            let mut kept = session(&target, 1);
            kept.open(options(&sampling, 30, drafter)).unwrap();
            let mut history = vec![9, 8, 7];
            for turn in 0..4 {
                let plain = decode(&target, &history, options(&sampling, 30, Box::new(Plain)));
                let found = answer(&mut kept, 0, &history);
                assert_eq!(found.ids, plain.ids, "{name} {sampling:?} {turn}");
                history.extend(&found.ids[..20]);
                history.truncate(history.len() - 5 * turn);
                history.push(turn as u32);
            }
        }
    }
}

#[test]
fn a_static_tree_is_verified_whole() {
    let target = Tiny::new("llama", 1).load(Dtype::F32);
    let greedy = Sampling::default();
    for (kind, count) in [(Kind::Eagle1, 20), (Kind::Eagle3, 20)] {
        let found = decode(
            &target,
            &[1, 2],
            options(&greedy, count, eagle(kind, &target)),
        );
        // All rounds but the last five have room for five levels.
        let stats = found.stats;
        assert!(stats.drafted_tokens >= (stats.rounds - 5) * 25);
        assert!(stats.drafted_tokens <= stats.rounds * 25);
    }
}

/// A tree that was verified, its context, and the target's choices after its nodes.
type Log = Rc<RefCell<Vec<(Vec<u32>, Tree, Vec<u32>)>>>;

/// Writes down what a drafter is told.
struct Listening {
    inner: Ngram,
    context: Vec<u32>,
    log: Log,
}

impl Drafter for Listening {
    fn name(&self) -> &'static str {
        "listening"
    }
    fn propose<'a>(
        &'a mut self,
        context: &'a [u32],
        budget: Budget,
    ) -> Pin<Box<dyn Future<Output = Result<Tree>> + 'a>> {
        self.context = context.to_vec();
        self.inner.propose(context, budget)
    }
    fn wants_choices(&self) -> bool {
        true
    }
    fn note_choices(&mut self, tree: &Tree, choices: &[u32]) {
        let entry = (self.context.clone(), tree.clone(), choices.to_vec());
        self.log.borrow_mut().push(entry);
    }
    fn observe(&mut self, observation: Observation<'_>) -> Result<()> {
        self.inner.observe(observation)
    }
}

#[test]
fn a_drafter_that_asks_is_told_the_most_likely_token_after_every_node() {
    let target = Tiny::new("llama", 1).load(Dtype::Q4);
    for sampling in samplings() {
        let log = Log::default();
        // Two sequences: rows of the second do not begin at 0.
        let mut session = session(&target, 2);
        let mut watch = |_: usize, _| false;
        pollster::block_on(async {
            for (i, log) in [Log::default(), log.clone()].into_iter().enumerate() {
                let inner = Ngram(NgramOptions {
                    shortest: 1,
                    branches: 2,
                    ..Default::default()
                });
                let context = Vec::new();
                let drafter = Listening {
                    inner,
                    context,
                    log,
                };
                session
                    .open(options(&sampling, 30, Box::new(drafter)))
                    .unwrap();
                let prompt = [5 + i as u32, 1, 2, 5, 1];
                session.prompt(i, &prompt, &mut watch).await.unwrap();
            }
            while !session.round(&mut watch).await.unwrap().is_empty() {}
        });
        let (log, mut nodes) = (log.borrow(), 0);
        for (context, tree, choices) in log.iter() {
            assert_eq!(choices.len(), tree.len());
            for (node, &choice) in choices.iter().enumerate().step_by(3) {
                let path = tree.path(node);
                let path = path[1..].iter().map(|&n| tree.token(n));
                let context: Vec<u32> = context.iter().copied().chain(path).collect();
                let greedy = options(&Sampling::default(), 1, Box::new(Plain));
                assert_eq!(decode(&target, &context, greedy).ids, [choice]);
                nodes += 1;
            }
        }
        assert!(nodes > 10, "{nodes}");
    }
}
