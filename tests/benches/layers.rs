//! What the layers of a model cost by themselves: each of LLaMA2-7B's, in f16, q8 and q4, for
//! 1 to 32 rows, on each GPU (or what plays one).
//!
//! `cargo bench -p eaglet-tests --bench layers` prints medians; `-- 256 512` after it asks for
//! other hidden and inner sizes. A recording runs a layer over more weights than a cache holds
//! (of small sizes 24), so what is measured is the kernel and the gap before the next one.

#![allow(missing_docs, clippy::unwrap_used)]

use std::path::Path;
use std::time::Instant;

use burn::tensor::{Tensor, TensorData};
use eaglet_core::ops::{Norm, Ops, Recorded, Rows, Weight};
use eaglet_core::weights::{Checkpoint, Dtype, Matrix, RandomWeights, Role};
use eaglet_tests::devices::gpus;

const ROWS: [usize; 6] = [1, 4, 8, 16, 26, 32];
/// Bytes of weights that are read in turn, in so many weights at most.
const BYTES: usize = 256 << 20;
const WEIGHTS: usize = 24;
/// Times that the recording runs between two looks at the clock, and looks.
const BATCH: usize = 10;
const LOOKS: usize = 5;
/// Passes until it is recorded.
const WARM_UP: usize = 10;

struct Layer {
    name: &'static str,
    /// What is stacked in its weight.
    roles: &'static [Role],
    inputs: usize,
    run: fn(&dyn Ops, &Tensor<2>, &Norm, &Weight) -> Tensor<2>,
}

fn main() {
    let sizes = std::env::args().filter_map(|arg| arg.parse().ok());
    let [hidden, inner] = match sizes.collect::<Vec<usize>>()[..] {
        [hidden, inner] => [hidden, inner],
        _ => [4096, 11008],
    };
    let layers = [
        Layer {
            name: "norm, q, k and v",
            roles: &[
                Role::QueryWeight(0),
                Role::KeyWeight(0),
                Role::ValueWeight(0),
            ],
            inputs: hidden,
            run: |ops, x, norm, weight| {
                ops.norm_linear(x, Some(norm), &weight.clone().into())
                    .unwrap()
            },
        },
        Layer {
            name: "attention's output",
            roles: &[Role::AttentionOutput(0)],
            inputs: hidden,
            run: |ops, x, _, weight| {
                ops.linear_add(x, &weight.clone().into(), x.clone())
                    .unwrap()
            },
        },
        Layer {
            name: "norm, gate and up",
            roles: &[Role::Gate(0), Role::Up(0)],
            inputs: hidden,
            run: |ops, x, norm, weight| ops.norm_gate_up(x, norm, weight).unwrap(),
        },
        Layer {
            name: "down",
            roles: &[Role::Down(0)],
            inputs: inner,
            run: |ops, x, _, weight| ops.norm_linear(x, None, &weight.clone().into()).unwrap(),
        },
    ];
    for gpu in gpus() {
        for dtype in [Dtype::F16, Dtype::Q8, Dtype::Q4] {
            println!("\n{}, {dtype}: us (GB/s of weights) by rows", gpu.name);
            print!("{:20}", "");
            ROWS.iter().for_each(|rows| print!("{rows:>15}"));
            println!();
            for layer in &layers {
                print!("{:20}", layer.name);
                let weights = weights(&*gpu.ops, layer, hidden, inner, dtype);
                for rows in ROWS {
                    let seconds = seconds(&*gpu.ops, layer, &weights, rows);
                    let speed = weights[0].bytes as f64 / seconds / 1e9;
                    print!("{:>15}", format!("{:.1} ({speed:.0})", seconds * 1e6));
                }
                println!();
            }
        }
    }
}

/// The same weight as often as no cache can hold.
fn weights(ops: &dyn Ops, layer: &Layer, hidden: usize, inner: usize, dtype: Dtype) -> Vec<Weight> {
    let config = serde_json::json!({
        "model_type": "llama",
        "hidden_size": hidden,
        "intermediate_size": inner,
        "num_hidden_layers": 1,
        "num_attention_heads": hidden / 128,
        "num_key_value_heads": hidden / 128,
        "vocab_size": 256,
        "max_position_embeddings": 512,
        "rms_norm_eps": 1e-5,
    });
    let made = RandomWeights::new(Path::new("made up"), config.to_string().as_bytes(), dtype);
    let made = made.unwrap();
    let matrix = |role: &Role| {
        let view = made.tensor(*role).unwrap().unwrap();
        Matrix::new(made.path(), view, dtype).unwrap()
    };
    let parts: Vec<Matrix> = layer.roles.iter().map(matrix).collect();
    let first = ops.pack(&parts).unwrap();
    let count = BYTES.div_ceil(first.bytes).min(WEIGHTS);
    let others = (1..count).map(|_| ops.pack(&parts).unwrap());
    std::iter::once(first.clone()).chain(others).collect()
}

/// Of one launch, the median.
fn seconds(ops: &dyn Ops, layer: &Layer, weights: &[Weight], rows: usize) -> f64 {
    let values: Vec<f32> = (0..rows * layer.inputs)
        .map(|i| (i % 97) as f32 / 97.0)
        .collect();
    let x = Tensor::<2>::from_data(TensorData::new(values, [rows, layer.inputs]), ops.device());
    let ones = TensorData::new(vec![1f32; layer.inputs], [layer.inputs]);
    let norm = Norm {
        weight: Tensor::from_data(ones, ops.device()),
        epsilon: 1e-5,
    };
    let mut recorded = Recorded::default();
    let mut all = |inputs: &[Tensor<2>], _: &mut [Rows<'_>]| {
        let found = weights
            .iter()
            .map(|weight| (layer.run)(ops, &inputs[0], &norm, weight));
        Ok(found.last().into_iter().collect())
    };
    let mut pass = |runs: usize| {
        let mut last = Vec::new();
        for _ in 0..runs {
            let inputs = std::slice::from_ref(&x);
            last = ops
                .repeat(&mut recorded, inputs, &mut [], &mut all)
                .unwrap();
        }
        // One number is enough to wait for.
        pollster::block_on(ops.argmax(&last[0])).unwrap();
    };
    pass(WARM_UP);
    let mut times: Vec<f64> = (0..LOOKS)
        .map(|_| {
            let start = Instant::now();
            pass(BATCH);
            start.elapsed().as_secs_f64() / (BATCH * weights.len()) as f64
        })
        .collect();
    times.sort_by(f64::total_cmp);
    times[LOOKS / 2]
}
