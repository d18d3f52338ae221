//! Models and drafters that fail: an error every time, and a session that goes on.

#![allow(missing_docs, clippy::unwrap_used)]

use std::future::{Future, ready};
use std::pin::Pin;
use std::sync::Arc;

use eaglet_backends::cpu::CpuOps;
use eaglet_core::draft::{Budget, Drafter, Observation, Plain};
use eaglet_core::model::{LoadOptions, Transformer};
use eaglet_core::sample::Sampling;
use eaglet_core::tree::Tree;
use eaglet_core::weights::{Dtype, Role};
use eaglet_core::{Error, Result};
use eaglet_tests::decode::{answer, decode, options, session};
use eaglet_tests::tiny::{self, Tiny};

fn load(model: &Tiny, context: Option<usize>) -> Result<Transformer> {
    let options = LoadOptions {
        dtype: Some(Dtype::F32),
        context,
    };
    let ops = Arc::new(CpuOps::new(1));
    Transformer::load(&model.from_folder(), ops, options, |_, _| {})
}

#[test]
fn a_model_that_overflows_is_an_error_however_it_is_sampled() {
    let warm = Sampling {
        temperature: 1.0,
        ..Default::default()
    };
    for role in [
        Role::FinalNorm,
        Role::AttentionNorm(1),
        Role::FeedForwardNorm(0),
    ] {
        let mut model = Tiny::new("llama", 1);
        let (_, values) = model.tensors.get_mut(&role).unwrap();
        values.fill(3e38); // Finite, so that loading has nothing to say.
        for dtype in Dtype::ALL {
            let target = model.load(dtype);
            for sampling in [Sampling::default(), warm.clone()] {
                let mut session = session(&target, 1);
                session
                    .open(options(&sampling, 5, Box::new(Plain)))
                    .unwrap();
                let mut watch = |_: usize, _: u32| false;
                let error = pollster::block_on(session.prompt(0, &[1, 2, 3], &mut watch));
                let error = error.unwrap_err().to_string();
                assert!(error.contains("not a number"), "{role:?} {dtype}: {error}");
                session.check_integrity().unwrap();
            }
        }
    }
}

/// Drafts a token that the model cannot stand.
struct Poison;

impl Drafter for Poison {
    fn name(&self) -> &'static str {
        "poison"
    }
    fn propose<'a>(
        &'a mut self,
        context: &'a [u32],
        _: Budget,
    ) -> Pin<Box<dyn Future<Output = Result<Tree>> + 'a>> {
        let root = context.last().copied().unwrap();
        Box::pin(ready(Ok(Tree::chain(root, &[95, 95]))))
    }
}

#[test]
fn a_drafted_row_that_overflows_spoils_nothing() {
    let mut model = Tiny::new("llama", 1);
    // The first dimension overflows in the first layer's norm, and only 95 has it.
    let (_, norm) = model.tensors.get_mut(&Role::AttentionNorm(0)).unwrap();
    norm[0] = 3e38;
    let (_, embedding) = model.tensors.get_mut(&Role::Embedding).unwrap();
    for (token, row) in embedding.chunks_exact_mut(tiny::HIDDEN).enumerate() {
        row[0] = if token == 95 { 9.0 } else { 0.0 };
    }
    let (_, head) = model.tensors.get_mut(&Role::Head).unwrap();
    head[95 * tiny::HIDDEN..].fill(0.0); // The model itself hardly ever says it.
    for dtype in [Dtype::F32, Dtype::F16] {
        let target = model.load(dtype);
        let greedy = Sampling::default();
        let plain = decode(&target, &[1, 2, 3], options(&greedy, 30, Box::new(Plain)));
        assert!(!plain.ids.contains(&95));
        let mut walked = session(&target, 1);
        walked.open(options(&greedy, 5, Box::new(Plain))).unwrap();
        let mut watch = |_: usize, _: u32| false;
        let error = pollster::block_on(walked.prompt(0, &[1, 95], &mut watch));
        assert!(error.unwrap_err().to_string().contains("not a number"));
        let found = decode(&target, &[1, 2, 3], options(&greedy, 30, Box::new(Poison)));
        assert_eq!(found.ids, plain.ids);
        assert!(found.stats.drafted_tokens > 0);
    }
}

#[test]
fn a_tensor_that_only_some_layers_have_is_missing_in_the_others() {
    let cases = [
        (
            "qwen3",
            vec![Role::QueryNorm(0), Role::QueryNorm(1)],
            "q_norm",
        ),
        ("qwen3", vec![Role::KeyNorm(1)], "layers.1.self_attn.k_norm"),
        (
            "qwen2",
            vec![Role::QueryBias(1)],
            "layers.1.self_attn.q_proj.bias",
        ),
        (
            "qwen2",
            vec![Role::QueryBias(0), Role::ValueBias(0)],
            "q_proj.bias",
        ),
        ("llama", vec![Role::Up(1)], "layers.1.mlp.up_proj"),
    ];
    for (architecture, absent, named) in cases {
        let mut model = Tiny::new(architecture, 1);
        absent.iter().for_each(|role| {
            model.tensors.remove(role).unwrap();
        });
        let error = load(&model, None).err().unwrap().to_string();
        assert!(
            error.contains(named) && error.contains("missing"),
            "{error}"
        );
    }
}

#[test]
fn a_context_beyond_the_model_is_refused() {
    let error = load(&Tiny::new("llama", 1), Some(tiny::CONTEXT + 1))
        .err()
        .unwrap();
    assert!(
        matches!(
            error,
            Error::Capacity {
                capacity: tiny::CONTEXT,
                ..
            }
        ),
        "{error}"
    );
}

#[test]
fn a_prompt_that_fails_leaves_nothing_behind() {
    let target = Tiny::new("llama", 2).load(Dtype::F32);
    let greedy = || options(&Sampling::default(), 20, Box::new(Plain));
    let mut session = session(&target, 1);
    session.open(greedy()).unwrap();
    let mut watch = |_: usize, _: u32| false;
    let bad = [1, 2, tiny::VOCAB as u32];
    pollster::block_on(session.prompt(0, &bad, &mut watch)).unwrap_err();
    session.check_integrity().unwrap();
    // Nothing waits for a round.
    let emissions = pollster::block_on(session.round(&mut watch)).unwrap();
    assert!(emissions.is_empty());
    // The same prefix again: nothing of it may be taken for computed.
    let found = answer(&mut session, 0, &[1, 2, 3]);
    assert_eq!(found.stats.reused_tokens, 0);
    assert_eq!(found.ids, decode(&target, &[1, 2, 3], greedy()).ids);
}

/// Refuses to look at its second round.
struct Blind(usize);

impl Drafter for Blind {
    fn name(&self) -> &'static str {
        "blind"
    }

    fn propose<'a>(
        &'a mut self,
        context: &'a [u32],
        _: Budget,
    ) -> Pin<Box<dyn Future<Output = Result<Tree>> + 'a>> {
        Box::pin(ready(Ok(Tree::new(*context.last().unwrap()))))
    }

    fn observe(&mut self, _: Observation<'_>) -> Result<()> {
        self.0 += 1;
        match self.0 {
            3 => Err(Error::Device("unplugged".into())), // After the prompt and a round.
            _ => Ok(()),
        }
    }
}

#[test]
fn a_drafter_that_fails_to_look_costs_no_token_and_no_slot() {
    let target = Tiny::new("llama", 3).load(Dtype::Q8);
    let greedy = |drafter| options(&Sampling::default(), 20, drafter);
    let plain = decode(&target, &[5, 6, 7], greedy(Box::new(Plain)));
    let mut session = session(&target, 2);
    session.open(greedy(Box::new(Blind(0)))).unwrap();
    session.open(greedy(Box::new(Plain))).unwrap();
    let mut ids = vec![Vec::new(); 2];
    let mut watch = |sequence: usize, token| {
        ids[sequence].push(token);
        false
    };
    let mut failures = 0;
    pollster::block_on(async {
        session.prompt(0, &[5, 6, 7], &mut watch).await.unwrap();
        session.prompt(1, &[5, 6, 7], &mut watch).await.unwrap();
        loop {
            match session.round(&mut watch).await {
                Ok(emissions) if emissions.is_empty() => break,
                Ok(_) => {}
                Err(_) => failures += 1,
            }
            session.check_integrity().unwrap();
        }
    });
    assert_eq!((failures, &ids), (1, &vec![plain.ids.clone(), plain.ids]));
}

/// Fails, or drafts a token that does not exist, in its third round.
struct Failing {
    rounds: usize,
    outright: bool,
}

impl Drafter for Failing {
    fn name(&self) -> &'static str {
        "failing"
    }

    fn propose<'a>(
        &'a mut self,
        context: &'a [u32],
        _: Budget,
    ) -> Pin<Box<dyn Future<Output = Result<Tree>> + 'a>> {
        self.rounds += 1;
        let root = *context.last().unwrap();
        Box::pin(ready(match (self.rounds, self.outright) {
            (3, true) => Err(Error::Device("unplugged".into())),
            (3, false) => Ok(Tree::chain(root, &[u32::MAX])),
            _ => Ok(Tree::new(root)),
        }))
    }
}

#[test]
fn a_round_that_fails_can_be_tried_again() {
    let target = Tiny::new("llama", 3).load(Dtype::Q8);
    let prompt = [5, 6, 7];
    let plain = decode(
        &target,
        &prompt,
        options(&Sampling::default(), 20, Box::new(Plain)),
    );
    for outright in [true, false] {
        let mut session = session(&target, 1);
        let drafter = Failing {
            rounds: 0,
            outright,
        };
        session
            .open(options(&Sampling::default(), 20, Box::new(drafter)))
            .unwrap();
        let mut ids = Vec::new();
        let mut watch = |_: usize, token| {
            ids.push(token);
            false
        };
        let mut failures = 0;
        pollster::block_on(async {
            session.prompt(0, &prompt, &mut watch).await.unwrap();
            loop {
                match session.round(&mut watch).await {
                    Ok(emissions) if emissions.is_empty() => break,
                    Ok(_) => {}
                    Err(_) => failures += 1,
                }
                session.check_integrity().unwrap();
            }
        });
        assert_eq!((failures, &ids), (1, &plain.ids));
    }
}

#[test]
fn of_a_prompt_that_failed_nothing_is_kept() {
    let target = Tiny::new("llama", 3).load(Dtype::Q8);
    let prompt: Vec<u32> = (5..25).collect();
    let sampling = Sampling::default();
    let plain = decode(&target, &prompt, options(&sampling, 1, Box::new(Plain)));
    let mut session = session(&target, 1);
    session.read_by(4);
    // Its third part is the one that fails.
    let drafter = Box::new(Blind(0));
    session.open(options(&sampling, 1, drafter)).unwrap();
    let mut watch = |_: usize, _| false;
    pollster::block_on(async {
        assert!(session.prompt(0, &prompt, &mut watch).await.is_err());
        // What was computed before may be as wrong: devices tell late.
        assert!(session.sequence(0).tokens().is_empty());
        session.check_integrity().unwrap();
        let emission = session.prompt(0, &prompt, &mut watch).await.unwrap();
        assert_eq!(emission.tokens, plain.ids);
        assert_eq!(session.sequence(0).stats().reused_tokens, 0);
        session.check_integrity().unwrap();
    });
}
