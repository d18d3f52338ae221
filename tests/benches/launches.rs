//! What launches cost: passes of a model whose arithmetic is next to nothing, run and
//! repeated from a recording, on each GPU (or what plays one).
//!
//! `cargo bench -p eaglet-tests --bench launches` prints medians of passes that take turns;
//! one id a row is read back.

#![allow(missing_docs, clippy::unwrap_used)]

use std::time::{Duration, Instant};

use burn::tensor::{DType, Tensor};
use eaglet_core::cache::KvPool;
use eaglet_core::error::Result;
use eaglet_core::ops::Rows;
use eaglet_core::weights::Dtype;
use eaglet_tests::devices::{Gpu, gpus};
use eaglet_tests::tiny::Tiny;

/// As many as the default model has.
const LAYERS: usize = 30;
const ROUNDS: usize = 200;

fn main() {
    for gpu in gpus() {
        println!("{}: {LAYERS} layers of next to nothing, q4", gpu.name);
        println!("  N   us a pass, run   repeated   dispatches");
        for rows in [1, 8] {
            report(gpu, rows);
        }
    }
}

fn report(gpu: &Gpu, rows: usize) {
    let target = Tiny::talking_with(2, LAYERS).load_on(&gpu.ops, Dtype::Q4);
    let config = target.config();
    let heads = config.attention_heads();
    let mut pool = KvPool::new(&*gpu.ops, config.layers, 64, heads, DType::F32).unwrap();
    let slots: Vec<u32> = (0..rows as u32).collect();
    let all = || {
        let mut all = Rows::default();
        let table = all.add_table(&slots);
        for &slot in &slots {
            all.push(1, slot, table, slot + 1, &[]);
        }
        all
    };
    let timed = |logits: Result<Tensor<2>>, start: Instant| {
        pollster::block_on(gpu.ops.argmax(&logits.unwrap())).unwrap();
        start.elapsed()
    };
    let mut times: [Vec<Duration>; 2] = Default::default();
    let before = gpu.ops.counters().dispatches;
    for _ in 0..ROUNDS {
        let start = Instant::now();
        let run = target.forward(&all(), &mut pool, &[]);
        let logits = run.and_then(|features| target.logits(&features.last));
        times[0].push(timed(logits, start));
        let start = Instant::now();
        let repeated = target.repeat(all(), None, &mut pool, &[]);
        times[1].push(timed(repeated.map(|(_, logits)| logits), start));
    }
    let dispatches = (gpu.ops.counters().dispatches - before) / (2 * ROUNDS as u64);
    let [run, repeated] = times.map(|mut times| {
        times.sort_unstable();
        times[times.len() / 2].as_secs_f64() * 1e6
    });
    println!("{rows:3}  {run:13.0}  {repeated:9.0}  {dispatches:10}");
}
