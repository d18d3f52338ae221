//! Queries, keys and values on their way into attention: head norms, rotation, cache.

use eaglet_core::ops::{Heads, Rows};

use super::activation::NormSlice;
use super::attention::Element;
use super::simd::{Isa, Kernel, LANES, Simd};

/// What turns `qkv` into rotated queries and cache entries.
pub struct Rotate<'a, E> {
    /// `[rows, (query + 2 kv) * dim]`; rotated in place.
    pub qkv: &'a mut [f32],
    /// How a row splits.
    pub heads: Heads,
    /// Cosines and sines, `[positions, dim / 2]` each.
    pub angles: (&'a [f32], &'a [f32]),
    /// Norms over each query and each key head.
    pub norms: Option<(NormSlice<'a>, NormSlice<'a>)>,
    /// Cache of keys, `[slots, kv heads, dim]`.
    pub keys: &'a mut [E],
    /// Cache of values, likewise.
    pub values: &'a mut [E],
    /// Positions and slots.
    pub rows: &'a Rows<'a>,
    /// Rotated queries, `[rows, query * dim]`.
    pub queries: &'a mut [f32],
}

impl<E: Element> Rotate<'_, E> {
    /// Rotates and writes every row.
    pub fn run(self, isa: Isa) {
        isa.run(self);
    }
}

impl<E: Element> Kernel for Rotate<'_, E> {
    #[inline(always)]
    unsafe fn run<S: Simd>(self) {
        let Heads { query, kv, dim } = self.heads;
        let (width, half) = ((query + 2 * kv) * dim, dim / 2);
        for row in 0..self.rows.len() {
            let qkv = &mut self.qkv[row * width..(row + 1) * width];
            let position = self.rows.positions[row] as usize;
            let (cos, sin) = self.angles;
            let cos = &cos[position * half..(position + 1) * half];
            let sin = &sin[position * half..(position + 1) * half];
            for (head, x) in qkv[..(query + kv) * dim].chunks_exact_mut(dim).enumerate() {
                if let Some((q, k)) = self.norms {
                    norm_head(x, if head < query { q } else { k });
                }
                // SAFETY: `x` holds two halves, `cos` and `sin` one each.
                unsafe { rotate::<S>(x, cos, sin) };
            }
            let (queries, rest) = qkv.split_at(query * dim);
            let (keys, values) = rest.split_at(kv * dim);
            self.queries[row * query * dim..][..query * dim].copy_from_slice(queries);
            let at = self.rows.slots[row] as usize * kv * dim;
            // SAFETY: the slices are of one length.
            unsafe {
                store::<S, E>(keys, &mut self.keys[at..at + kv * dim]);
                store::<S, E>(values, &mut self.values[at..at + kv * dim]);
            }
        }
    }
}

/// RMS norm of one head. Scalar: only Qwen3 has it, and heads are short.
#[inline(always)]
fn norm_head(x: &mut [f32], (weight, epsilon): NormSlice<'_>) {
    let squares: f32 = x.iter().map(|x| x * x).sum();
    let scale = 1.0 / (squares / x.len() as f32 + epsilon).sqrt();
    for (x, weight) in x.iter_mut().zip(weight) {
        *x *= scale * weight;
    }
}

/// Rotates one head, its dimensions paired across the two halves.
#[inline(always)]
unsafe fn rotate<S: Simd>(x: &mut [f32], cos: &[f32], sin: &[f32]) {
    let half = cos.len();
    let (low, high) = x.split_at_mut(half);
    let whole = half - half % LANES;
    // SAFETY: `whole` values of four slices that are `half` long.
    unsafe {
        for i in (0..whole).step_by(LANES) {
            let (a, b) = (low.as_mut_ptr().add(i), high.as_mut_ptr().add(i));
            let (x, y) = (S::load(a), S::load(b));
            let (c, s) = (S::load(cos.as_ptr().add(i)), S::load(sin.as_ptr().add(i)));
            S::store(a, S::sub(S::mul(x, c), S::mul(y, s)));
            S::store(b, S::add(S::mul(y, c), S::mul(x, s)));
        }
    }
    for i in whole..half {
        let (x, y) = (low[i], high[i]);
        low[i] = x * cos[i] - y * sin[i];
        high[i] = y * cos[i] + x * sin[i];
    }
}

/// Converts and stores one row.
#[inline(always)]
unsafe fn store<S: Simd, E: Element>(from: &[f32], to: &mut [E]) {
    let whole = from.len() - from.len() % LANES;
    // SAFETY: steps of sixteen inside slices of one length.
    unsafe {
        for i in (0..whole).step_by(LANES) {
            E::store::<S>(to.as_mut_ptr().add(i), S::load(from.as_ptr().add(i)));
        }
    }
    for (to, from) in to[whole..].iter_mut().zip(&from[whole..]) {
        *to = E::round(*from);
    }
}
