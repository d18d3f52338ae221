//! What a forward pass costs, beside what this machine could do at best.
//!
//! `cargo bench -p eaglet-tests` prints, for each instruction set and dtype: plain
//! decoding in tokens/s and as a share of the measured read bandwidth, and the cost of
//! verifying N rows in plain steps, c(N). Every figure is a median over rounds in which
//! all widths take turns, so that a noisy neighbour disturbs them alike.

#![allow(missing_docs, clippy::unwrap_used)]

use std::hint::black_box;
use std::sync::Arc;
use std::time::{Duration, Instant};

use burn::tensor::DType;
use eaglet_backends::cpu::{CpuOps, read_bandwidth, simd::Isa};
use eaglet_core::cache::KvPool;
use eaglet_core::model::{LoadOptions, Transformer};
use eaglet_core::ops::Rows;
use eaglet_core::weights::{Dtype, ModelFile};
use eaglet_tests::default_model;

const WIDTHS: [usize; 9] = [1, 2, 3, 4, 6, 8, 16, 32, 64];
/// Committed positions before each pass: the middle of a short answer.
const CONTEXT: usize = 160;
const ROUNDS: usize = 25;

fn main() {
    let Some(path) = default_model::path() else {
        return;
    };
    let file = ModelFile::open(&path).unwrap();
    let cores = std::thread::available_parallelism().map_or(1, |n| n.get());
    let bandwidth = [1, cores].map(|threads| read_bandwidth(threads) / 1e9);
    println!(
        "read bandwidth: {:.1} GB/s with 1 thread, {:.1} with {cores}",
        bandwidth[0], bandwidth[1]
    );
    let mut sets = Isa::available();
    if sets.len() > 1 {
        sets.pop(); // Portable code is for machines that have nothing else.
    }
    for isa in sets {
        for dtype in [Dtype::Q4, Dtype::Q8, Dtype::F16, Dtype::F32] {
            let options = LoadOptions {
                dtype: Some(dtype),
                context: Some(512),
            };
            let ops = Arc::new(CpuOps::with_isa(cores, isa));
            let target = Transformer::load(&file, ops, options, |_, _| {}).unwrap();
            report(&target, &format!("{isa} {dtype}"), bandwidth[1]);
        }
    }
}

fn report(target: &Transformer, name: &str, bandwidth: f64) {
    let steps = passes(target);
    let plain = steps[0].as_secs_f64();
    let bytes = target.bytes_per_pass() as f64;
    println!(
        "\n{name}: plain {:.1} tokens/s, {:.0} % of the bandwidth limit ({:.1} MB a pass)",
        1.0 / plain,
        100.0 * bytes / plain / bandwidth / 1e9,
        bytes / 1e6
    );
    println!("  N   ms a pass  c(N)  rows/s");
    for (n, time) in WIDTHS.iter().zip(steps) {
        let time = time.as_secs_f64();
        println!(
            "{n:3}  {:10.2}  {:4.2}  {:6.0}",
            time * 1e3,
            time / plain,
            *n as f64 / time
        );
    }
}

/// The median time of a pass of each width, logits and their argmax included.
fn passes(target: &Transformer) -> Vec<Duration> {
    let ops = target.ops();
    let config = target.config();
    let dtype = match target.dtype() {
        Dtype::F32 => DType::F32,
        _ => DType::F16,
    };
    let slots = CONTEXT + WIDTHS[WIDTHS.len() - 1];
    let heads = config.attention_heads();
    let mut pool = KvPool::new(&**ops, config.layers, slots, heads, dtype).unwrap();
    let slots = pool.reserve(slots).unwrap();
    let (committed, free) = slots.split_at(CONTEXT);
    // Keys and values that were never written are not really there, and cost nothing to read.
    let mut past = Rows::default();
    let table = past.add_table(&[]);
    for i in 0..CONTEXT {
        past.push(100, committed[i], table, 0, &committed[..=i]);
    }
    target.forward(&past, &mut pool, &[]).unwrap();
    let mut times = vec![Vec::new(); WIDTHS.len()];
    for _ in 0..ROUNDS {
        for (times, &width) in times.iter_mut().zip(&WIDTHS) {
            let mut rows = Rows::default();
            let table = rows.add_table(committed);
            for i in 0..width {
                rows.push(100 + i as u32, free[i], table, CONTEXT as u32, &free[..=i]);
            }
            let start = Instant::now();
            let features = target.forward(&rows, &mut pool, &[]).unwrap();
            let logits = target.logits(&features.last).unwrap();
            black_box(pollster::block_on(ops.argmax(&logits)).unwrap());
            times.push(start.elapsed());
        }
    }
    times.iter_mut().map(|times| median(times)).collect()
}

fn median(times: &mut [Duration]) -> Duration {
    times.sort_unstable();
    times[times.len() / 2]
}
