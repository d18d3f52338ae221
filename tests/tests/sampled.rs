//! Drafts that are drawn, by heads and by a second model: the probability of every text
//! stays what the target makes it.

#![allow(missing_docs, clippy::unwrap_used)]

use std::future::{Future, ready};
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;

use eaglet_backends::cpu::CpuOps;
use eaglet_core::Result;
use eaglet_core::draft::{Budget, Drafter, Drawn, Eagle, Growth, Head, Plain, Shaping, SmallModel};
use eaglet_core::engine::Sizing;
use eaglet_core::model::{LoadOptions, Transformer};
use eaglet_core::ops::Async;
use eaglet_core::sample::{Distribution, Sampling};
use eaglet_core::tree::{Shape, Tree};
use eaglet_core::verify::Verification;
use eaglet_core::weights::Dtype;
use eaglet_tests::decode::{Decoded, decode, options};
use eaglet_tests::heads::{Kind, TinyHead};
use eaglet_tests::naive;
use eaglet_tests::statistics::g_test;
use eaglet_tests::tiny::{Tiny, VOCAB};

/// The tokens that are not banned; the heads' vocabulary lacks the last one.
const ALLOWED: [u32; 6] = [0, 2, 4, 6, 8, 11];
const PROMPT: [u32; 2] = [2, 8];
/// Tokens of a text. The first one comes from the prompt, the others from rounds.
const LENGTH: usize = 3;
const GENERATIONS: u64 = 10_000;
const WRONG: f64 = 0.01 / 20.0;

fn load(model: &Tiny) -> Arc<Transformer> {
    let options = LoadOptions {
        dtype: Some(Dtype::F32),
        context: Some(32),
    };
    // So small a model only loses by a second thread.
    let ops = Arc::new(CpuOps::new(1));
    Arc::new(Transformer::load(&model.from_gguf(), ops, options, |_, _| {}).unwrap())
}

fn sampling(temperature: f32, top_p: f32) -> Sampling {
    let banned = (0..VOCAB as u32).filter(|token| !ALLOWED.contains(token));
    Sampling {
        temperature,
        top_p,
        logit_bias: banned.map(|token| (token, f32::NEG_INFINITY)).collect(),
        ..Default::default()
    }
}

/// Makes a drafter for a sequence.
type Make<'a> = dyn Fn() -> Box<dyn Drafter> + 'a;

fn drafters(target: &Arc<Transformer>) -> Vec<(&str, Box<Make<'_>>)> {
    let growth = Growth {
        top_k: 3,
        depth: 3,
        nodes: 6,
    };
    let fixed: Shape = "0-2 00-01 10".parse().unwrap();
    let eagle = move |kind, shaping: Shaping| {
        let head: Rc<dyn Head> = TinyHead::random(kind, 4).load(target, Dtype::F32).into();
        move || -> Box<dyn Drafter> {
            Box::new(Eagle::new("eagle", head.clone(), target, shaping.clone()).unwrap())
        }
    };
    let other = load(&Tiny::new("llama", 2));
    vec![
        ("eagle1", Box::new(eagle(Kind::Eagle1, growth.into()))),
        (
            "eagle1, static",
            Box::new(eagle(Kind::Eagle1, fixed.into())),
        ),
        ("eagle3", Box::new(eagle(Kind::Eagle3, growth.into()))),
        (
            "small model",
            Box::new(move || Box::new(SmallModel::new(other.clone(), target).unwrap())),
        ),
    ]
}

/// The probabilities of all texts of allowed tokens, from the independent forward pass.
fn law(model: &Tiny, sampling: &Sampling) -> Vec<f64> {
    let mut law = vec![(PROMPT.to_vec(), 1.0)];
    for _ in 0..LENGTH {
        let longer = |(text, chance): &(Vec<u32>, f64)| {
            let mut logits = naive::logits(model, text);
            let after = sampling
                .distribution(&mut logits, text.iter().copied())
                .unwrap();
            ALLOWED.map(|token| {
                let text = [&text[..], &[token]].concat();
                (text, chance * after.probability(token))
            })
        };
        law = law.iter().flat_map(longer).collect();
    }
    law.into_iter().map(|(_, chance)| chance).collect()
}

/// Writes many texts: how often each came out, and how many drafted tokens stood.
fn write(
    target: &Arc<Transformer>,
    sampling: &Sampling,
    verification: Verification,
    drafter: &Make<'_>,
) -> (Vec<usize>, usize) {
    let (mut counts, mut accepted) = (vec![0; ALLOWED.len().pow(LENGTH as u32)], 0);
    for seed in 0..GENERATIONS {
        let sampling = Sampling {
            seed,
            ..sampling.clone()
        };
        // One token more than is counted, so that the last is not always a bonus.
        let found = run(target, &sampling, LENGTH + 1, verification, drafter());
        let place = |token| {
            ALLOWED
                .iter()
                .position(|&allowed| allowed == token)
                .unwrap()
        };
        let text = found.ids[..LENGTH].iter();
        counts[text.fold(0, |text, &token| text * ALLOWED.len() + place(token))] += 1;
        accepted += found.stats.accepted_by_depth.iter().sum::<usize>();
    }
    (counts, accepted)
}

fn run(
    target: &Arc<Transformer>,
    sampling: &Sampling,
    count: usize,
    verification: Verification,
    drafter: Box<dyn Drafter>,
) -> Decoded {
    let mut options = options(sampling, count, drafter);
    options.verification = verification;
    decode(target, &PROMPT, options)
}

#[test]
fn drawn_drafts_leave_every_text_its_probability() {
    let model = Tiny::new("llama", 1);
    let target = load(&model);
    for (temperature, top_p) in [(5.0, 1.0), (3.0, 0.8)] {
        let sampling = sampling(temperature, top_p);
        let law = law(&model, &sampling);
        for (name, drafter) in drafters(&target) {
            let (counts, accepted) = write(&target, &sampling, Verification::Rejection, &drafter);
            let p = g_test(&counts, &law);
            println!("{name}, temperature {temperature}: p {p:.3}, {accepted} accepted");
            assert!(p > WRONG, "{name}, temperature {temperature}: {p:e}");
            // Drafts are judged, not merely dropped.
            assert!(accepted as u64 > GENERATIONS / 4, "{name}: {accepted}");
        }
    }
}

/// Always drafts one token, and says that it drew it from all that are allowed.
struct Liar;

impl Drafter for Liar {
    fn name(&self) -> &'static str {
        "liar"
    }

    fn propose<'a>(
        &'a mut self,
        context: &'a [u32],
        budget: Budget,
    ) -> Pin<Box<dyn Future<Output = Result<Tree>> + 'a>> {
        let tokens = &ALLOWED[..budget.depth.min(1)];
        Box::pin(ready(Ok(Tree::chain(context[context.len() - 1], tokens))))
    }

    fn sample<'a>(
        &'a mut self,
        context: &'a [u32],
        budget: Budget,
        _: &'a Sampling,
    ) -> Async<'a, (Tree, Drawn)> {
        let mut weights = vec![0.0; VOCAB];
        ALLOWED
            .iter()
            .for_each(|&token| weights[token as usize] = 1.0);
        let (mut tree, mut drawn) = (Tree::new(context[context.len() - 1]), Drawn::default());
        drawn.draw(
            &mut tree,
            0,
            Distribution::new(weights),
            budget.depth.min(1),
            |_| 0.0,
        );
        Box::pin(ready(Ok((tree, drawn))))
    }
}

#[test]
fn drafts_that_are_judged_by_another_law_and_typical_acceptance_are_caught() {
    let model = Tiny::new("llama", 1);
    let target = load(&model);
    let other = load(&Tiny::new("llama", 2));
    let sampling = sampling(5.0, 1.0);
    let law = law(&model, &sampling);
    let liar = || -> Box<dyn Drafter> { Box::new(Liar) };
    let honest =
        || -> Box<dyn Drafter> { Box::new(SmallModel::new(other.clone(), &target).unwrap()) };
    let wrong: [(Verification, &Make<'_>); 2] = [
        (Verification::Rejection, &liar),
        (Verification::Typical, &honest),
    ];
    for (rule, drafter) in wrong {
        let p = g_test(&write(&target, &sampling, rule, drafter).0, &law);
        assert!(p < 1e-9, "{rule:?}: {p:e}");
    }
}

#[test]
fn at_temperature_0_all_rules_are_one() {
    let target = load(&Tiny::new("llama", 1));
    for temperature in [0.0, 5.0] {
        let sampling = sampling(temperature, 1.0);
        let plain = run(&target, &sampling, 25, Verification::Exact, Box::new(Plain));
        for (name, drafter) in drafters(&target) {
            for rule in [Verification::Rejection, Verification::Typical] {
                let found = run(&target, &sampling, 25, rule, drafter());
                let same = found.ids == plain.ids;
                assert_eq!(same, temperature == 0.0, "{name} {rule:?}");
                assert!(found.stats.drafted_tokens > 20);
            }
        }
    }
}

#[test]
fn the_clock_has_no_say_in_what_is_drawn() {
    let target = load(&Tiny::new("llama", 1));
    let sampling = sampling(5.0, 1.0);
    for (name, drafter) in drafters(&target) {
        for verification in [Verification::Rejection, Verification::Typical] {
            let fixed = run(&target, &sampling, 25, verification, drafter());
            let mut options = options(&sampling, 25, drafter());
            (options.verification, options.sizing) = (verification, Sizing::Measured);
            let measured = decode(&target, &PROMPT, options);
            assert_eq!(measured.ids, fixed.ids, "{name}");
            let drafted = (measured.stats.drafted_tokens, fixed.stats.drafted_tokens);
            assert_eq!(drafted.0, drafted.1, "{name}");
        }
    }
}
