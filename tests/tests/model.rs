//! The transformer against a forward pass that shares no code with it.

#![allow(missing_docs, clippy::unwrap_used)]

use std::sync::Arc;

use eaglet_core::draft::Plain;
use eaglet_core::engine::Session;
use eaglet_core::model::{LoadOptions, Transformer};
use eaglet_core::ops::{Reference, Rows};
use eaglet_core::sample::Sampling;
use eaglet_core::weights::{Dtype, RandomWeights};
use eaglet_tests::numbers::relative_error;
use eaglet_tests::tiny::{self, Tiny};
use eaglet_tests::{decode, naive};

const ARCHITECTURES: [&str; 4] = ["llama", "mistral", "qwen2", "qwen3"];
const TOKENS: [u32; 9] = [5, 17, 95, 0, 33, 5, 17, 64, 2];

/// Logits of the last token, all run in one pass.
fn logits(target: &Transformer, tokens: &[u32]) -> Vec<f32> {
    let ops = target.ops();
    let heads = target.config().attention_heads();
    let layers = target.config().layers;
    let dtype = burn::tensor::DType::F32;
    let mut pool = eaglet_core::cache::KvPool::new(&**ops, layers, 32, heads, dtype).unwrap();
    let slots = pool.reserve(tokens.len()).unwrap();
    let mut rows = Rows::default();
    let table = rows.add_table(&slots);
    for (i, &token) in tokens.iter().enumerate() {
        rows.push(token, slots[i], table, i as u32 + 1, &[]);
    }
    let features = target.forward(&rows, &mut pool, &[]).unwrap();
    let last = ops
        .select(&features.last, &[tokens.len() as u32 - 1])
        .unwrap();
    pollster::block_on(ops.read(target.logits(&last).unwrap())).unwrap()
}

#[test]
fn every_architecture_matches_the_naive_forward_pass() {
    for architecture in ARCHITECTURES {
        let model = Tiny::new(architecture, 1);
        let expected = naive::logits(&model, &TOKENS);
        let target = tiny::load(&model.from_folder(), Dtype::F32);
        let error = relative_error(&logits(&target, &TOKENS), &expected);
        assert!(error < 1e-5, "{architecture}: {error}");
        let half = tiny::load(&model.from_folder(), Dtype::F16);
        let error = relative_error(&logits(&half, &TOKENS), &expected);
        assert!(error < 5e-3, "{architecture} f16: {error}");
    }
}

#[test]
fn gguf_and_safetensors_give_the_same_bits() {
    for architecture in ["llama", "qwen2", "qwen3"] {
        let model = Tiny::new(architecture, 2);
        let gguf = logits(&tiny::load(&model.from_gguf(), Dtype::F32), &TOKENS);
        let folder = logits(&tiny::load(&model.from_folder(), Dtype::F32), &TOKENS);
        assert_eq!(gguf, folder, "{architecture}");
    }
}

#[test]
fn the_reference_operations_run_a_whole_model() {
    let model = Tiny::new("llama", 3);
    let reference = Arc::new(Reference(burn::tensor::Device::flex()));
    let options = LoadOptions {
        dtype: Some(Dtype::F32),
        context: None,
    };
    let slow = Transformer::load(&model.from_gguf(), reference, options, |_, _| {}).unwrap();
    let fast = tiny::load(&model.from_gguf(), Dtype::F32);
    assert!(relative_error(&logits(&fast, &TOKENS), &logits(&slow, &TOKENS)) < 1e-5);
}

#[test]
fn taps_are_the_residual_stream_between_layers() {
    let target = Tiny::new("llama", 4).load(Dtype::F32);
    let ops = target.ops();
    let heads = target.config().attention_heads();
    let dtype = burn::tensor::DType::F32;
    let mut pool = eaglet_core::cache::KvPool::new(&**ops, 2, 4, heads, dtype).unwrap();
    let slots = pool.reserve(1).unwrap();
    let mut rows = Rows::default();
    let table = rows.add_table(&slots);
    rows.push(7, slots[0], table, 1, &[]);
    let features = target.forward(&rows, &mut pool, &[0, 2]).unwrap();
    let read = |t: &burn::tensor::Tensor<2>| pollster::block_on(ops.read(t.clone())).unwrap();
    let model = Tiny::new("llama", 4);
    let embedding = model.values(eaglet_core::weights::Role::Embedding).unwrap();
    assert_eq!(
        read(&features.taps[0]),
        embedding[7 * tiny::HIDDEN..8 * tiny::HIDDEN]
    );
    assert_eq!(read(&features.taps[1]), read(&features.last));
}

#[test]
fn tokens_and_positions_out_of_range_are_errors() {
    let target = Tiny::new("llama", 5).load(Dtype::F32);
    let mut session: Session = decode::session(&target, 1);
    session
        .open(decode::options(&Sampling::default(), 4, Box::new(Plain)))
        .unwrap();
    let mut prompt = |tokens: &[u32]| {
        let mut watch = |_: usize, _: u32| false;
        pollster::block_on(session.prompt(0, tokens, &mut watch)).map_err(|e| e.to_string())
    };
    assert!(prompt(&[]).unwrap_err().contains("empty"));
    assert!(
        prompt(&[tiny::VOCAB as u32])
            .unwrap_err()
            .contains("vocabulary of 96")
    );
    assert!(
        prompt(&[0; tiny::CONTEXT])
            .unwrap_err()
            .contains("context of 256")
    );
    assert!(prompt(&[0; 3]).is_ok());
}

#[test]
fn random_weights_make_a_model_of_the_shape_asked_for() {
    for architecture in ARCHITECTURES {
        let (config, _) = Tiny::new(architecture, 6).folder();
        for dtype in Dtype::ALL {
            let name = std::path::Path::new("shape");
            let made = RandomWeights::new(name, &config, dtype).unwrap();
            let target = tiny::load(&made, dtype);
            assert_eq!(target.dtype(), dtype);
            let logits = logits(&target, &TOKENS);
            assert!(logits.iter().all(|logit| logit.is_finite()));
            // A final norm and a head of 1 / sqrt(hidden) give logits of about 1.
            let square = logits.iter().map(|l| l * l).sum::<f32>() / logits.len() as f32;
            assert!(
                (0.3..3.0).contains(&square),
                "{architecture} {dtype}: {square}"
            );
        }
    }
}
