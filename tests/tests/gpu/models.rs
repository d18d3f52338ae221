//! Whole models beside a forward pass that shares no code with them.

use eaglet_core::model::Transformer;
use eaglet_core::ops::Rows;
use eaglet_core::weights::Dtype;
use eaglet_tests::devices::gpus;
use eaglet_tests::naive;
use eaglet_tests::numbers::relative_error;
use eaglet_tests::tiny::Tiny;

const TOKENS: [u32; 9] = [5, 17, 95, 0, 33, 5, 17, 64, 2];

/// Logits of the last token, all run in one pass.
fn logits(target: &Transformer, tokens: &[u32]) -> Vec<f32> {
    let ops = target.ops();
    let (layers, heads) = (target.config().layers, target.config().attention_heads());
    let dtype = match target.dtype() {
        Dtype::F32 => burn::tensor::DType::F32,
        _ => burn::tensor::DType::F16,
    };
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
    for gpu in gpus() {
        for architecture in ["llama", "mistral", "qwen2", "qwen3"] {
            let model = Tiny::new(architecture, 1);
            let expected = naive::logits(&model, &TOKENS);
            for (dtype, bound) in [(Dtype::F32, 2e-5), (Dtype::F16, 5e-3)] {
                let target = model.load_on(&gpu.ops, dtype);
                let error = relative_error(&logits(&target, &TOKENS), &expected);
                assert!(
                    error < bound,
                    "{} {architecture} {dtype}: {error}",
                    gpu.name
                );
            }
        }
    }
}

#[test]
fn quantised_models_agree_with_the_cpu() {
    // The CPU rounds activations to 8 bits; GPUs do not. Both stay near the f32 model.
    for gpu in gpus() {
        let model = Tiny::new("llama", 1);
        for dtype in [Dtype::Q8, Dtype::Q4] {
            let here = logits(&model.load_on(&gpu.ops, dtype), &TOKENS);
            let error = relative_error(&here, &logits(&model.load(dtype), &TOKENS));
            assert!(error < 0.05, "{} {dtype}: {error}", gpu.name);
        }
    }
}
