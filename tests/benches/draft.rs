//! What drafting costs: a step of a head in each dtype, and choosing its candidates.
//!
//! `cargo bench -p eaglet-tests --bench draft` makes a random EAGLE-3 head for a random
//! target of the default model's widths. All variants take turns, so that a noisy
//! neighbour disturbs them alike; figures are medians.

#![allow(missing_docs, clippy::unwrap_used)]

use std::hint::black_box;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use burn::tensor::{DType, Tensor, TensorData};
use eaglet_backends::cpu::CpuOps;
use eaglet_core::cache::{KvPool, Table};
use eaglet_core::draft::{Head, HeadFile, load_head, probe};
use eaglet_core::model::{LoadOptions, Transformer};
use eaglet_core::ops::{Ops, Reference};
use eaglet_core::weights::{Dtype, ModelFile, NamedTensors};
use eaglet_tests::default_model;
use eaglet_tests::numbers::spread;

const HIDDEN: usize = 576;
const INNER: usize = 1536;
const DRAFT_VOCAB: usize = 8192;
/// Rows of a pass: the first level of a draft, and a level of a tree.
const ROWS: [usize; 2] = [1, 4];
const ROUNDS: usize = 40;

fn main() {
    let Some(path) = default_model::path() else {
        return;
    };
    let cores = std::thread::available_parallelism().map_or(1, |n| n.get());
    let ops = Arc::new(CpuOps::new(cores));
    let file = ModelFile::open(&path).unwrap();
    let options = LoadOptions {
        dtype: None,
        context: Some(512),
    };
    let target = Transformer::load(&file, ops.clone(), options, |_, _| {}).unwrap();
    let head = head().safetensors(Dtype::F32).unwrap();
    let heads = Dtype::ALL.map(|dtype| {
        let file = NamedTensors::from_bytes(Path::new("head"), &head).unwrap();
        load_head(file, CONFIG, &target, dtype).unwrap()
    });
    println!("milliseconds of a pass with logits, and of top-4 beside it");
    for rows in ROWS {
        let mut times = vec![Vec::new(); Dtype::ALL.len()];
        for _ in 0..ROUNDS {
            for (times, head) in times.iter_mut().zip(&heads) {
                times.push(step(&**head, &target, rows));
            }
        }
        for (dtype, times) in Dtype::ALL.iter().zip(&mut times) {
            println!("{rows} rows, {dtype}: {:.3}", median(times));
        }
    }
    let tokens: Vec<u32> = (100..124).collect();
    let mut times: Vec<_> = (0..ROUNDS / 4)
        .map(|_| {
            let start = Instant::now();
            black_box(pollster::block_on(probe(&*heads[2], &target, &tokens)).unwrap());
            start.elapsed()
        })
        .collect();
    println!("trying a head on 24 tokens: {:.0}", median(&mut times));
    let reference = Reference(ops.device().clone());
    for width in [DRAFT_VOCAB, 49152] {
        for rows in ROWS {
            let values = TensorData::new(spread(1, rows * width), [rows, width]);
            let logits = Tensor::<2>::from_data(values, ops.device());
            let mut times = [vec![], vec![], vec![]];
            for _ in 0..ROUNDS {
                let mut time = |at: usize, job: &dyn Fn()| {
                    let start = Instant::now();
                    job();
                    times[at].push(start.elapsed());
                };
                time(0, &|| {
                    drop(black_box(pollster::block_on(reference.top_k(&logits, 4))))
                });
                time(1, &|| {
                    drop(black_box(pollster::block_on(ops.top_k(&logits, 4))))
                });
                time(2, &|| {
                    drop(black_box(pollster::block_on(ops.argmax(&logits))))
                });
            }
            let [reference, own, argmax] = times.each_mut().map(|times| median(times));
            println!(
                "{rows} rows of {width}: top-4 {own:.3} (reference {reference:.3}), \
                 argmax {argmax:.3}"
            );
        }
    }
}

const CONFIG: &[u8] = br#"{"num_attention_heads": 9, "head_dim": 64, "rms_norm_eps": 1e-5}"#;

fn head() -> HeadFile {
    let layer = "midlayer";
    let shapes: [(String, Vec<usize>); 13] = [
        (
            format!("{layer}.self_attn.q_proj.weight"),
            vec![576, 2 * HIDDEN],
        ),
        (
            format!("{layer}.self_attn.k_proj.weight"),
            vec![192, 2 * HIDDEN],
        ),
        (
            format!("{layer}.self_attn.v_proj.weight"),
            vec![192, 2 * HIDDEN],
        ),
        (
            format!("{layer}.self_attn.o_proj.weight"),
            vec![HIDDEN, 576],
        ),
        (format!("{layer}.mlp.gate_proj.weight"), vec![INNER, HIDDEN]),
        (format!("{layer}.mlp.up_proj.weight"), vec![INNER, HIDDEN]),
        (format!("{layer}.mlp.down_proj.weight"), vec![HIDDEN, INNER]),
        (format!("{layer}.input_layernorm.weight"), vec![HIDDEN]),
        (format!("{layer}.hidden_norm.weight"), vec![HIDDEN]),
        (
            format!("{layer}.post_attention_layernorm.weight"),
            vec![HIDDEN],
        ),
        ("fc.weight".into(), vec![HIDDEN, 3 * HIDDEN]),
        ("norm.weight".into(), vec![HIDDEN]),
        ("lm_head.weight".into(), vec![DRAFT_VOCAB, HIDDEN]),
    ];
    let tensors = shapes.into_iter().zip(0..).map(|((name, shape), seed)| {
        let values = spread(seed, shape.iter().product());
        (name, shape, values.iter().map(|v| v * 0.05).collect())
    });
    HeadFile {
        tensors: tensors.collect(),
        ids: Some((0..DRAFT_VOCAB as u32).collect()),
        config: serde_json::Value::Null,
    }
}

/// One level of a draft, as the drafter takes it.
fn step(head: &dyn Head, target: &Transformer, rows: usize) -> Duration {
    let ops = target.ops();
    let mut pool = KvPool::new(&**ops, 1, 64 + rows, head.heads(), DType::F32).unwrap();
    let slots = pool.reserve(64 + rows).unwrap();
    let mut table = Table::default();
    drop(table.extend(&[7; 64], &slots[..64]));
    let data = TensorData::new(spread(3, rows * HIDDEN), [rows, HIDDEN]);
    let features = Tensor::<2>::from_data(data, ops.device());
    let rows = table.extend(&[9; 4][..rows], &slots[64..]);
    let start = Instant::now();
    let embedded = ops.embed(head.embedding(), &rows.tokens).unwrap();
    let outputs = head
        .pass(&features, embedded, &rows, pool.layer(0))
        .unwrap();
    let logits = head.logits(&outputs).unwrap();
    black_box(pollster::block_on(ops.top_k(&logits, 4)).unwrap());
    start.elapsed()
}

fn median(times: &mut [Duration]) -> f64 {
    times.sort_unstable();
    times[times.len() / 2].as_secs_f64() * 1e3
}
