//! How fast this machine reads memory: what bounds decoding, whatever the kernels.

use std::hint::black_box;
use std::time::{Duration, Instant};

/// More than any cache holds.
const BYTES: usize = 1 << 30;
const PASSES: usize = 7;

/// Bytes a second at which `threads` threads read memory that no cache holds: the median
/// of a few passes over a GiB.
pub fn read_bandwidth(threads: usize) -> f64 {
    let memory = vec![1u64; BYTES / 8];
    let mut times: Vec<Duration> = (0..PASSES).map(|_| pass(&memory, threads)).collect();
    times.sort_unstable();
    BYTES as f64 / times[PASSES / 2].as_secs_f64()
}

fn pass(memory: &[u64], threads: usize) -> Duration {
    let start = Instant::now();
    std::thread::scope(|scope| {
        for part in memory.chunks(memory.len().div_ceil(threads.max(1))) {
            scope.spawn(move || {
                // Eight sums, so that additions never wait for one another.
                let mut sums = [0u64; 8];
                for eight in part.chunks_exact(8) {
                    sums.iter_mut().zip(eight).for_each(|(sum, v)| *sum ^= v);
                }
                black_box(sums);
            });
        }
    });
    start.elapsed()
}
