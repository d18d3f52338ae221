//! Speculative decoding emits the tokens of plain decoding: every drafter, every dtype,
//! greedy and sampled, small models and the default one.

#![allow(missing_docs, clippy::unwrap_used)]

use std::sync::Arc;

use eaglet_backends::cpu::CpuOps;
use eaglet_core::draft::{Drafter, Ngram, NgramOptions, Plain};
use eaglet_core::engine::Sizing;
use eaglet_core::model::{LoadOptions, Transformer};
use eaglet_core::sample::{Penalties, Sampling};
use eaglet_core::text::{Message, Role, TextAssets, encode_chat};
use eaglet_core::weights::{Dtype, ModelFile};
use eaglet_tests::decode::{BUDGET, Decoded, answer, decode, options, session};
use eaglet_tests::default_model;
use eaglet_tests::drafters::{Bushy, Oracle};
use eaglet_tests::numbers::spread;
use eaglet_tests::tiny::{self, Tiny};

/// Greedy, and the ways of sampling.
fn samplings() -> Vec<Sampling> {
    let warm = |temperature, top_p| Sampling {
        temperature,
        top_p,
        seed: 11,
        ..Default::default()
    };
    vec![Sampling::default(), warm(0.7, 1.0), warm(1.0, 0.9)]
}

/// The same and all processors at once.
fn all_samplings() -> Vec<Sampling> {
    let mut all = samplings();
    let penalties = Penalties {
        repetition: 1.2,
        presence: 0.3,
        frequency: 0.2,
    };
    all.push(Sampling {
        penalties,
        ..Default::default()
    });
    all.push(Sampling {
        temperature: 1.3,
        top_k: 20,
        top_p: 0.95,
        min_p: 0.02,
        penalties,
        logit_bias: vec![(3, 2.0), (5, f32::NEG_INFINITY)],
        seed: 5,
    });
    all
}

fn ngram() -> Box<dyn Drafter> {
    Box::new(Ngram(NgramOptions {
        shortest: 1,
        branches: 3,
        ..Default::default()
    }))
}

/// Every drafter, knowing the right answer where it wants to.
fn drafters(prompt: &[u32], plain: &Decoded, vocab: u32) -> Vec<Box<dyn Drafter>> {
    let tokens = [prompt, &plain.ids].concat();
    let oracle = |offset| Oracle {
        tokens: tokens.clone(),
        offset,
        vocab,
    };
    vec![
        ngram(),
        Box::new(oracle(0)),
        Box::new(oracle(1)),
        Box::new(Bushy { tokens, vocab }),
    ]
}

#[test]
fn small_models_of_every_kind_never_change_a_token() {
    let mut tokens = 0;
    for (seed, architecture) in ["llama", "qwen2", "qwen3"].into_iter().enumerate() {
        let model = Tiny::new(architecture, seed as u64);
        for dtype in Dtype::ALL {
            let target = model.load(dtype);
            for sampling in all_samplings() {
                for prompt_seed in 0..3 {
                    let prompt: Vec<u32> = spread(prompt_seed, 5 + 9 * prompt_seed as usize)
                        .iter()
                        .map(|v| ((v + 1.0) * 0.5 * tiny::VOCAB as f32) as u32)
                        .collect();
                    let run = |drafter, sizing| {
                        let mut options = options(&sampling, 60, drafter);
                        options.sizing = sizing;
                        decode(&target, &prompt, options)
                    };
                    let plain = run(Box::new(Plain), Sizing::Fixed);
                    assert_eq!(plain.ids.len(), 60);
                    for sizing in [Sizing::Fixed, Sizing::Measured] {
                        for drafter in drafters(&prompt, &plain, tiny::VOCAB as u32) {
                            let name = drafter.name();
                            let found = run(drafter, sizing);
                            assert_eq!(
                                (&found.ids, found.finish),
                                (&plain.ids, plain.finish),
                                "{architecture} {dtype} {name} {sizing:?} {sampling:?}"
                            );
                            tokens += found.ids.len();
                        }
                    }
                }
            }
        }
    }
    assert_eq!(tokens, 3 * 4 * 5 * 3 * 2 * 4 * 60);
}

#[test]
fn a_perfect_drafter_is_accepted_whole_and_a_wrong_one_never() {
    let target = Tiny::new("llama", 1).load(Dtype::Q8);
    let prompt = [1, 2, 3];
    for sampling in samplings() {
        // Whole rounds: the first token, then rounds of depth + 1.
        let count = 1 + 9 * (BUDGET.depth + 1);
        let run = |drafter| decode(&target, &prompt, options(&sampling, count, drafter));
        let plain = run(Box::new(Plain));
        assert_eq!(plain.stats.tau(), 1.0);
        let oracle = |offset| {
            Box::new(Oracle {
                tokens: [&prompt, &plain.ids[..]].concat(),
                offset,
                vocab: tiny::VOCAB as u32,
            })
        };
        let perfect = run(oracle(0)).stats;
        assert_eq!(perfect.tau(), (BUDGET.depth + 1) as f64);
        assert_eq!(perfect.accepted_by_depth, vec![9; BUDGET.depth]);
        let wrong = run(oracle(1)).stats;
        assert_eq!(wrong.tau(), 1.0);
        assert!(wrong.accepted_by_depth.is_empty() && wrong.drafted_tokens > 100);
    }
}

#[test]
fn sequences_side_by_side_are_what_they_are_alone() {
    let target = Tiny::new("llama", 6).load(Dtype::Q4);
    let prompts: Vec<Vec<u32>> = (0..4u32).map(|i| vec![i, 2 * i, 7, i + 40]).collect();
    for sampling in all_samplings() {
        let alone: Vec<_> = prompts
            .iter()
            .map(|prompt| decode(&target, prompt, options(&sampling, 40, Box::new(Plain))).ids)
            .collect();
        let mut session = session(&target, prompts.len());
        let mut ids = vec![Vec::new(); prompts.len()];
        let mut watch = |sequence: usize, token| {
            ids[sequence].push(token);
            false
        };
        pollster::block_on(async {
            for (i, prompt) in prompts.iter().enumerate() {
                session.open(options(&sampling, 40, ngram())).unwrap();
                session.prompt(i, prompt, &mut watch).await.unwrap();
            }
            while !session.round(&mut watch).await.unwrap().is_empty() {}
        });
        session.check_integrity().unwrap();
        assert_eq!(ids, alone);
    }
}

/// First questions of the MT-bench half that ships with the tests.
fn questions(count: usize) -> Vec<String> {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/data/mt_bench_half.jsonl");
    let lines = std::fs::read_to_string(path).unwrap();
    let first = |line: &str| {
        let question: serde_json::Value = serde_json::from_str(line).unwrap();
        question["turns"][0].as_str().unwrap().to_owned()
    };
    lines.lines().take(count).map(first).collect()
}

#[test]
fn the_default_model_never_changes_a_token() {
    let Some(path) = default_model::path() else {
        return;
    };
    let file = ModelFile::open(&path).unwrap();
    let text = TextAssets::open(&file).unwrap();
    let template = text.template.as_ref().unwrap();
    let prompts: Vec<Vec<u32>> = questions(20)
        .into_iter()
        .map(|content| {
            let role = Role::User;
            let messages = [Message { role, content }];
            encode_chat(&text.tokenizer, template, &messages, true).unwrap()
        })
        .collect();
    for dtype in Dtype::ALL {
        let load = LoadOptions {
            dtype: Some(dtype),
            context: Some(1024),
        };
        let ops = Arc::new(CpuOps::new(2));
        let target = Arc::new(Transformer::load(&file, ops, load, |_, _| {}).unwrap());
        let vocab = target.config().vocab as u32;
        let (mut rounds, mut accepted) = (0, 0);
        let mut session = session(&target, 5);
        for _ in 0..5 {
            let options = options(&Sampling::default(), 1, Box::new(Plain));
            session.open(options).unwrap();
        }
        for prompt in &prompts {
            for sampling in samplings() {
                let mut run = |sequence, drafter| {
                    let options = options(&sampling, 16, drafter);
                    session.reconfigure(sequence, options).unwrap();
                    answer(&mut session, sequence, prompt)
                };
                let plain = run(0, Box::new(Plain));
                for (i, drafter) in drafters(prompt, &plain, vocab).into_iter().enumerate() {
                    let name = drafter.name();
                    let found = run(i + 1, drafter);
                    assert_eq!(found.ids, plain.ids, "{dtype} {name} {sampling:?}");
                    rounds += found.stats.rounds;
                    accepted += found.stats.accepted_by_depth.iter().sum::<usize>();
                }
            }
        }
        println!("{dtype}: {rounds} rounds, {accepted} drafted tokens accepted");
        assert!(accepted > rounds / 4);
    }
}
