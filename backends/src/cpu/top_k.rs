//! The largest of each row of logits, and what turns them into log-probabilities.
//!
//! A row is cut into chunks of one size, whatever the number of threads or rows, and what
//! its chunks found is put together in their order: the result is row-invariant.

use std::ops::Range;

use eaglet_core::sample::Largest;

use super::simd::{Isa, Kernel, LANES, Simd, exp};
use super::threads::Threads;
use super::unshared::Unshared;

/// Values that are looked at in one go: some three microseconds.
const CHUNK: usize = 4096;

/// Chunks that are worth sharing among threads: below, forking costs more than it saves.
const PARALLEL: usize = 16;

/// Values whose largest is compared before they are looked at one by one.
const BLOCK: usize = 8 * LANES;

/// The `k` largest values of each row of `width`, as
/// [`Ops::top_k`](eaglet_core::ops::Ops::top_k) wants them.
pub fn top_k(
    values: &[f32],
    width: usize,
    k: usize,
    isa: Isa,
    threads: &Threads,
) -> Vec<Vec<(u32, f32)>> {
    let rows = values.len() / width;
    let chunks = width.div_ceil(CHUNK);
    let mut found: Vec<Found> = Vec::with_capacity(rows * chunks);
    found.resize_with(rows * chunks, || Found::new(k));
    let places = Unshared::new(&mut found);
    let job = |range: Range<usize>| {
        for at in range {
            let (row, first) = (at / chunks, at % chunks * CHUNK);
            let row = &values[row * width..(row + 1) * width];
            // SAFETY: ranges do not overlap, so neither do the places.
            let found = unsafe { &mut places.slice(at..at + 1)[0] };
            isa.run(Scan {
                values: &row[first..width.min(first + CHUNK)],
                first: first as u32,
                found,
            });
        }
    };
    match rows * chunks {
        few if few < PARALLEL => job(0..few),
        many => threads.ranges(many, job),
    }
    found
        .chunks_exact(chunks)
        .map(|row| put_together(row, k))
        .collect()
}

/// What one chunk holds.
struct Found {
    largest: Largest,
    max: f32,
    /// Of `e^(value - max)`; not a number where a value is none.
    sum: f32,
}

impl Found {
    fn new(k: usize) -> Self {
        Self {
            largest: Largest::new(k),
            max: f32::NEG_INFINITY,
            sum: 0.0,
        }
    }
}

fn put_together(chunks: &[Found], k: usize) -> Vec<(u32, f32)> {
    let max = chunks
        .iter()
        .map(|c| c.max)
        .fold(f32::NEG_INFINITY, f32::max);
    let mut largest = Largest::new(k);
    let mut sum = 0.0;
    for chunk in chunks {
        for &(index, value) in chunk.largest.as_slice() {
            largest.offer(index, value);
        }
        sum += f64::from(chunk.sum) * f64::from(chunk.max - max).exp();
    }
    largest.less(max + sum.ln() as f32)
}

struct Scan<'a> {
    values: &'a [f32],
    /// Index of the first of them.
    first: u32,
    found: &'a mut Found,
}

impl Kernel for Scan<'_> {
    #[inline(always)]
    unsafe fn run<S: Simd>(self) {
        let Self {
            values,
            first,
            found,
        } = self;
        let (blocks, rest) = values.as_chunks::<BLOCK>();
        for (index, block) in blocks.iter().enumerate() {
            // SAFETY: a block is whole vectors.
            let most = unsafe { max_of::<S>(block) };
            found.max = found.max.max(most);
            if most > found.largest.floor() {
                offer(found, first + (index * BLOCK) as u32, block);
            }
        }
        found.max = rest.iter().copied().fold(found.max, f32::max);
        offer(found, first + (blocks.len() * BLOCK) as u32, rest);
        // SAFETY: whole vectors, and a buffer of one for what is left.
        unsafe {
            // Minus infinity from itself would be no number.
            let max = S::splat(found.max.max(f32::MIN));
            let mut sums = S::splat(0.0);
            let (vectors, rest) = values.as_chunks::<LANES>();
            for vector in vectors {
                sums = S::add(sums, exp::<S>(S::sub(S::load(vector.as_ptr()), max)));
            }
            if !rest.is_empty() {
                let mut last = [f32::NEG_INFINITY; LANES];
                last[..rest.len()].copy_from_slice(rest);
                sums = S::add(sums, exp::<S>(S::sub(S::load(last.as_ptr()), max)));
            }
            found.sum = S::sum(sums);
        }
    }
}

/// The largest value of a block, of those that are not NaN.
///
/// # Safety
/// As for the methods of [`Simd`].
#[inline(always)]
unsafe fn max_of<S: Simd>(block: &[f32; BLOCK]) -> f32 {
    let mut lanes = [0.0; LANES];
    // SAFETY: the caller keeps the contract of `Simd`; the block is whole vectors.
    unsafe {
        let mut most = S::splat(f32::NEG_INFINITY);
        for vector in block.as_chunks::<LANES>().0 {
            // In this order of arguments a NaN is passed over.
            most = S::max(S::load(vector.as_ptr()), most);
        }
        S::store(lanes.as_mut_ptr(), most);
    }
    lanes.into_iter().fold(f32::NEG_INFINITY, f32::max)
}

#[inline(always)]
fn offer(found: &mut Found, first: u32, values: &[f32]) {
    for (index, &value) in (first..).zip(values) {
        found.largest.offer(index, value);
    }
}
