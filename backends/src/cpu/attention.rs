//! Path attention: softmax over the slots a row sees, in the order of their positions.
//!
//! Everything is summed in that order whatever slots hold the keys, so a drafted row
//! gets the same bits as it would have had in plain decoding.

use eaglet_core::ops::{Heads, Rows};
use half::f16;

use super::simd::{Isa, Kernel, LANES, Simd, exp};
use super::threads::Threads;
use super::unshared::Unshared;

/// An element type that the cache can hold.
pub trait Element: bytemuck::Pod + Sync {
    /// Loads sixteen, widened.
    ///
    /// # Safety
    /// As [`Simd::load`].
    unsafe fn load<S: Simd>(from: *const Self) -> S::F;
    /// Stores sixteen, rounded.
    ///
    /// # Safety
    /// As [`Simd::store`].
    unsafe fn store<S: Simd>(to: *mut Self, value: S::F);
    /// One, widened.
    fn widen(self) -> f32;
    /// One, rounded.
    fn round(value: f32) -> Self;
}

impl Element for f32 {
    #[inline(always)]
    unsafe fn load<S: Simd>(from: *const Self) -> S::F {
        unsafe { S::load(from) }
    }
    #[inline(always)]
    unsafe fn store<S: Simd>(to: *mut Self, value: S::F) {
        unsafe { S::store(to, value) }
    }
    #[inline(always)]
    fn widen(self) -> f32 {
        self
    }
    #[inline(always)]
    fn round(value: f32) -> Self {
        value
    }
}

impl Element for f16 {
    #[inline(always)]
    unsafe fn load<S: Simd>(from: *const Self) -> S::F {
        unsafe { S::load_f16(from.cast()) }
    }
    #[inline(always)]
    unsafe fn store<S: Simd>(to: *mut Self, value: S::F) {
        unsafe { S::store_f16(to.cast(), value) }
    }
    #[inline(always)]
    fn widen(self) -> f32 {
        self.to_f32()
    }
    #[inline(always)]
    fn round(value: f32) -> Self {
        f16::from_f32(value)
    }
}

/// Attends with `queries` (`[rows, heads * dim]`) to keys and values
/// (`[slots, kv heads, dim]`), into `mixed`, of the queries' shape. What `dim` has beyond
/// whole vectors (OpenLLaMA-3B has 100) goes one number at a time.
#[allow(clippy::too_many_arguments)] // Buffers, shapes and machine: no pair belongs together.
pub fn attend<E: Element>(
    queries: &[f32],
    keys: &[E],
    values: &[E],
    heads: Heads,
    rows: &Rows<'_>,
    mixed: &mut [f32],
    isa: Isa,
    threads: &Threads,
) {
    let mixed = &Unshared::new(mixed);
    threads.ranges(rows.len() * heads.query, |range| {
        isa.run(Attend {
            range,
            queries,
            keys,
            values,
            heads,
            rows,
            mixed,
        });
    });
}

/// A range of (row, query head) pairs.
struct Attend<'a, E> {
    range: std::ops::Range<usize>,
    queries: &'a [f32],
    keys: &'a [E],
    values: &'a [E],
    heads: Heads,
    rows: &'a Rows<'a>,
    mixed: &'a Unshared<'a, f32>,
}

impl<E: Element> Kernel for Attend<'_, E> {
    #[inline(always)]
    unsafe fn run<S: Simd>(self) {
        let heads = self.heads;
        let stride = heads.kv * heads.dim;
        let mut scores = Vec::new();
        for item in self.range.clone() {
            let (row, head) = (item / heads.query, item % heads.query);
            let offset = head / (heads.query / heads.kv) * heads.dim;
            let (committed, path) = self.rows.visible(row);
            let seen = committed.len() + path.len();
            scores.clear();
            scores.resize(seen.next_multiple_of(LANES), f32::NEG_INFINITY);
            let query = &self.queries[item * heads.dim..(item + 1) * heads.dim];
            // SAFETY: items are disjoint; the slices bound every load below.
            unsafe {
                let mixed = self.mixed.slice(item * heads.dim..(item + 1) * heads.dim);
                let slots = || committed.iter().chain(path).map(|&slot| slot as usize);
                for (score, slot) in scores.iter_mut().zip(slots()) {
                    let start = slot * stride + offset;
                    *score = dot::<S, E>(query, &self.keys[start..start + heads.dim]);
                }
                let scale = 1.0 / (heads.dim as f32).sqrt();
                let total = softmax_weights::<S>(&mut scores, seen, scale);
                let whole = heads.dim - heads.dim % LANES;
                for d in whole..heads.dim {
                    mixed[d] = self.mix_one(slots(), &scores, total, offset + d);
                }
                for d in (0..whole).step_by(LANES * 4) {
                    let width = LANES * 4;
                    if d + width <= whole {
                        self.mix::<S, 4>(slots(), &scores, total, offset + d, &mut mixed[d..]);
                    } else {
                        for d in (d..whole).step_by(LANES) {
                            self.mix::<S, 1>(slots(), &scores, total, offset + d, &mut mixed[d..]);
                        }
                    }
                }
            }
        }
    }
}

impl<E: Element> Attend<'_, E> {
    /// The weighted mean of `V` vectors of values, from column `offset` of each slot.
    #[inline(always)]
    unsafe fn mix<S: Simd, const V: usize>(
        &self,
        slots: impl Iterator<Item = usize>,
        weights: &[f32],
        total: f32,
        offset: usize,
        to: &mut [f32],
    ) {
        let stride = self.heads.kv * self.heads.dim;
        // SAFETY: each slice holds `V` vectors.
        unsafe {
            let mut sums = [S::splat(0.0); V];
            for (slot, &weight) in slots.zip(weights) {
                let start = slot * stride + offset;
                let value = self.values[start..start + V * LANES].as_ptr();
                for (v, sum) in sums.iter_mut().enumerate() {
                    *sum = S::fma(S::splat(weight), E::load::<S>(value.add(v * LANES)), *sum);
                }
            }
            for (v, sum) in sums.into_iter().enumerate() {
                let mean = S::div(sum, S::splat(total));
                S::store(to[v * LANES..(v + 1) * LANES].as_mut_ptr(), mean);
            }
        }
    }

    /// The weighted mean of column `column` of each slot.
    #[inline(always)]
    fn mix_one(
        &self,
        slots: impl Iterator<Item = usize>,
        weights: &[f32],
        total: f32,
        column: usize,
    ) -> f32 {
        let stride = self.heads.kv * self.heads.dim;
        let value = |slot: usize| self.values[slot * stride + column].widen();
        let weighed = slots
            .zip(weights)
            .map(|(slot, weight)| weight * value(slot));
        weighed.sum::<f32>() / total
    }
}

/// The dot product of two slices of one length.
#[inline(always)]
unsafe fn dot<S: Simd, E: Element>(a: &[f32], b: &[E]) -> f32 {
    let whole = a.len() - a.len() % LANES;
    let rest = a[whole..].iter().zip(&b[whole..]);
    let rest: f32 = rest.map(|(a, b)| a * b.widen()).sum();
    // SAFETY: steps of sixteen inside both slices.
    unsafe {
        let mut sum = S::splat(0.0);
        for i in (0..whole).step_by(LANES) {
            sum = S::fma(
                S::load(a.as_ptr().add(i)),
                E::load::<S>(b.as_ptr().add(i)),
                sum,
            );
        }
        S::sum(sum) + rest
    }
}

/// Turns `seen` scores (padded with minus infinity to whole vectors) into unnormalised
/// softmax weights and returns their sum.
#[inline(always)]
unsafe fn softmax_weights<S: Simd>(scores: &mut [f32], seen: usize, scale: f32) -> f32 {
    // SAFETY: steps of sixteen inside the padded slice.
    unsafe {
        let at = scores.as_mut_ptr();
        let mut largest = S::splat(f32::NEG_INFINITY);
        for i in (0..scores.len()).step_by(LANES) {
            largest = S::max(S::load(at.add(i)), largest);
        }
        let mut lanes = [0.0; LANES];
        S::store(lanes.as_mut_ptr(), largest);
        let largest = S::splat(lanes.into_iter().fold(f32::NEG_INFINITY, f32::max));
        for i in (0..scores.len()).step_by(LANES) {
            let below = S::sub(S::load(at.add(i)), largest);
            S::store(at.add(i), exp::<S>(S::mul(below, S::splat(scale))));
        }
        // `exp` clamps, so the padding came out tiny and not zero.
        scores[seen..].fill(0.0);
        let mut total = S::splat(0.0);
        for i in (0..scores.len()).step_by(LANES) {
            total = S::add(total, S::load(at.add(i)));
        }
        S::sum(total)
    }
}
