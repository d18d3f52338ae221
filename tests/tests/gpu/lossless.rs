//! Speculative decoding emits the tokens of plain decoding on the same device.

use eaglet_core::draft::{
    Drafter, Eagle, Growth, Lookahead, LookaheadOptions, Medusa, Ngram, NgramOptions, Plain,
    SmallModel, Union,
};
use eaglet_core::engine::Sizing;
use eaglet_core::model::Transformer;
use eaglet_core::sample::{Penalties, Sampling};
use eaglet_core::tree::{Shape, published};
use eaglet_core::weights::Dtype;
use eaglet_tests::decode::{Decoded, answer, decode, options, session};
use eaglet_tests::devices::{Gpu, gpus};
use eaglet_tests::drafters::{Bushy, Oracle};
use eaglet_tests::heads::{Kind, TinyHead};
use eaglet_tests::medusa::TinyMedusa;
use eaglet_tests::recording::{look_at_each_level_or_not, shapings};
use eaglet_tests::tiny::{self, Tiny};

const GROWTH: Growth = Growth {
    top_k: 3,
    depth: 4,
    nodes: 6,
};

fn samplings() -> Vec<Sampling> {
    vec![
        Sampling::default(),
        // Drawn on the device,
        Sampling {
            temperature: 0.9,
            top_k: 40,
            top_p: 0.95,
            seed: 11,
            ..Default::default()
        },
        // and on the host.
        Sampling {
            temperature: 0.9,
            top_p: 0.95,
            seed: 11,
            penalties: Penalties {
                repetition: 1.1,
                ..Default::default()
            },
            ..Default::default()
        },
    ]
}

/// Every drafter there is, and some that no one would ship.
fn drafters(
    gpu: &Gpu,
    target: &Transformer,
    prompt: &[u32],
    plain: &Decoded,
) -> Vec<Box<dyn Drafter>> {
    let tokens = [prompt, &plain.ids].concat();
    let vocab = tiny::VOCAB as u32;
    let oracle = |offset| Oracle {
        tokens: tokens.clone(),
        offset,
        vocab,
    };
    let ngram = NgramOptions {
        shortest: 1,
        branches: 3,
        ..Default::default()
    };
    let eagle = |kind| {
        let head = TinyHead::random(kind, 4).load(target, Dtype::F32);
        Eagle::new("eagle", head, target, GROWTH).unwrap()
    };
    let fixed = {
        let head = TinyHead::random(Kind::Eagle1, 4).load(target, Dtype::F32);
        let shape: Shape = published::EAGLE1.parse().unwrap();
        Eagle::new("eagle1", head, target, shape).unwrap()
    };
    let medusa = TinyMedusa::random(&[1, 2, 1], &[0, 2], tiny::VOCAB, 3).load(target, Dtype::F32);
    let small = Tiny::new("llama", 77).load_on(&gpu.ops, Dtype::F32);
    vec![
        Box::new(oracle(0)),
        Box::new(oracle(1)),
        Box::new(Bushy { tokens, vocab }),
        Box::new(Ngram(ngram)),
        Box::new(eagle(Kind::Eagle1)),
        Box::new(fixed),
        Box::new(eagle(Kind::Eagle3)),
        Box::new(Medusa::new(medusa, GROWTH)),
        Box::new(Lookahead::new(LookaheadOptions::default()).unwrap()),
        Box::new(SmallModel::new(small, target).unwrap()),
        Box::new(Union::new(Box::new(eagle(Kind::Eagle3)), ngram)),
    ]
}

#[test]
fn no_drafter_changes_a_token() {
    for gpu in gpus() {
        for dtype in Dtype::ALL {
            let architecture = match dtype {
                Dtype::Q8 => "qwen3",
                Dtype::Q4 => "qwen2",
                _ => "llama",
            };
            let target = Tiny::new(architecture, 2).load_on(&gpu.ops, dtype);
            let mut accepted = 0;
            for sampling in samplings() {
                let prompt = [9, 8, 7, 9, 8, 7, 40];
                let run = |drafter| decode(&target, &prompt, options(&sampling, 30, drafter));
                let plain = run(Box::new(Plain));
                for drafter in drafters(gpu, &target, &prompt, &plain) {
                    let name = drafter.name();
                    let found = run(drafter);
                    let what = format!("{} {dtype} {name} {sampling:?}", gpu.name);
                    assert_eq!(
                        (&found.ids, found.finish),
                        (&plain.ids, plain.finish),
                        "{what}"
                    );
                    accepted += found.stats.accepted_by_depth.iter().sum::<usize>();
                }
            }
            assert!(accepted > 60, "{} {dtype}: {accepted}", gpu.name);
        }
    }
}

/// Attention over more than 256 positions is another kernel for few rows than for many; the
/// answer begins before that.
#[test]
fn no_drafter_changes_a_token_beyond_a_span_of_positions() {
    let mut model = Tiny::new("llama", 2);
    model.context = 512;
    let prompt: Vec<u32> = (0..250).map(|i| (i * i + 3 * i) % 96).collect();
    for gpu in gpus() {
        for dtype in [Dtype::F32, Dtype::Q4] {
            let target = model.load_on(&gpu.ops, dtype);
            for sampling in samplings() {
                let run = |drafter| decode(&target, &prompt, options(&sampling, 30, drafter));
                let plain = run(Box::new(Plain));
                for drafter in drafters(gpu, &target, &prompt, &plain) {
                    let what = format!("{} {dtype} {} {sampling:?}", gpu.name, drafter.name());
                    assert_eq!(run(drafter).ids, plain.ids, "{what}");
                }
            }
        }
    }
}

#[test]
fn sequences_side_by_side_are_what_they_are_alone() {
    for gpu in gpus() {
        let target = Tiny::new("llama", 6).load_on(&gpu.ops, Dtype::F16);
        let prompts: Vec<Vec<u32>> = (0..3u32).map(|i| vec![i, 2 * i, 7, i + 40]).collect();
        let sampling = &samplings()[2];
        let eagle = || {
            let head = TinyHead::random(Kind::Eagle3, 4).load(&target, Dtype::F32);
            Box::new(Eagle::new("eagle", head, &target, GROWTH).unwrap())
        };
        let options = |drafter| {
            let mut options = options(sampling, 20, drafter);
            options.sizing = Sizing::Measured;
            options
        };
        let alone: Vec<_> = prompts
            .iter()
            .map(|prompt| decode(&target, prompt, options(Box::new(Plain))).ids)
            .collect();
        let mut session = session(&target, prompts.len());
        for _ in &prompts {
            session.open(options(eagle())).unwrap();
        }
        let mut ids = vec![Vec::new(); prompts.len()];
        let mut watch = |sequence: usize, token| {
            ids[sequence].push(token);
            false
        };
        pollster::block_on(async {
            for (i, prompt) in prompts.iter().enumerate() {
                session.prompt(i, prompt, &mut watch).await.unwrap();
            }
            while !session.round(&mut watch).await.unwrap().is_empty() {}
        });
        assert_eq!(ids, alone, "{}", gpu.name);
        // A cache that is kept gives what a new one gives.
        let again = answer(&mut session, 0, &prompts[0]);
        assert_eq!(again.ids, alone[0], "{}", gpu.name);
    }
}

#[test]
fn trees_are_the_same_with_and_without_a_look_at_each_level() {
    for gpu in gpus() {
        let target = Tiny::new("llama", 3).load_on(&gpu.ops, Dtype::F32);
        for shaping in shapings() {
            let name = format!("{} {shaping:?}", gpu.name);
            look_at_each_level_or_not(&target, Kind::Eagle3, &shaping, &name);
        }
    }
}
