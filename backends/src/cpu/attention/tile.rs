//! Several queries over the same keys and values, which are read and widened once.

use std::ops::Range;

use eaglet_core::ops::{Heads, Rows};

use super::Element;
use crate::cpu::simd::{Kernel, LANES, Simd, exp};
use crate::cpu::unshared::Unshared;

/// Keys that are scored side by side.
const KEYS: usize = 4;
/// How many positions ahead several queries ask for keys and values: those of one head lie
/// apart in memory, and no machine guesses where. Queries one by one find them in the cache.
const AHEAD: usize = 16;

/// A range of queries, those of one key head one after another: query i is head
/// `i % groups` of row `i / groups` in the key head `i / (rows * groups)`.
pub struct Attend<'a, E> {
    pub items: Range<usize>,
    /// `[rows, heads * dim]`
    pub queries: &'a [f32],
    /// `[slots, kv heads, dim]`
    pub keys: &'a [E],
    pub values: &'a [E],
    pub heads: Heads,
    pub rows: &'a Rows<'a>,
    /// `[rows, heads * dim]`
    pub mixed: &'a Unshared<'a, f32>,
}

impl<E: Element> Kernel for Attend<'_, E> {
    #[inline(always)]
    unsafe fn run<S: Simd>(self) {
        let mut scores = Vec::new();
        let mut item = self.items.start;
        while item < self.items.end {
            // SAFETY: the range holds as many items, all of one table and key head.
            item += unsafe {
                match self.alike(item, S::QUERIES) {
                    6.. if S::QUERIES >= 6 => self.tile::<S, 6>(item, &mut scores),
                    4.. if S::QUERIES >= 4 => self.tile::<S, 4>(item, &mut scores),
                    3 if S::QUERIES >= 3 => self.tile::<S, 3>(item, &mut scores),
                    2 if S::QUERIES >= 2 => self.tile::<S, 2>(item, &mut scores),
                    _ => self.tile::<S, 1>(item, &mut scores),
                }
            };
        }
    }
}

/// One query.
#[derive(Clone, Copy)]
struct Query<'a> {
    values: &'a [f32],
    /// Where its values, and its result, begin.
    start: usize,
    /// The slots that it sees, in the order of their positions, in two parts.
    committed: &'a [u32],
    path: &'a [u32],
}

impl Query<'_> {
    /// The slots from the `first`th on.
    fn slots(&self, first: usize) -> impl Iterator<Item = u32> {
        let (committed, path) = (self.committed[first..].iter(), self.path.iter());
        committed.chain(path).copied()
    }

    fn seen(&self) -> usize {
        self.committed.len() + self.path.len()
    }
}

impl<E: Element> Attend<'_, E> {
    fn groups(&self) -> usize {
        self.heads.query / self.heads.kv
    }

    fn kv_head(&self, item: usize) -> usize {
        item / (self.rows.len() * self.groups())
    }

    fn query(&self, item: usize) -> Query<'_> {
        let (groups, dim) = (self.groups(), self.heads.dim);
        let (kv, rest) = (self.kv_head(item), item % (self.rows.len() * groups));
        let (row, head) = (rest / groups, kv * groups + rest % groups);
        let start = (row * self.heads.query + head) * dim;
        let (committed, path) = self.rows.visible(row);
        Query {
            values: &self.queries[start..start + dim],
            start,
            committed,
            path,
        }
    }

    /// The vector of a slot from a column on.
    ///
    /// # Safety
    /// The cache holds the slot, and the column is one of it.
    #[inline(always)]
    unsafe fn vector(&self, of: &[E], slot: u32, column: usize) -> *const E {
        let start = slot as usize * self.heads.kv * self.heads.dim + column;
        debug_assert!(start < of.len());
        // SAFETY: the caller's.
        unsafe { of.as_ptr().add(start) }
    }

    /// How many items from one on, `most` at most, have its key head and its table.
    fn alike(&self, item: usize, most: usize) -> usize {
        let (kv, table) = (self.kv_head(item), self.query(item).committed.as_ptr());
        let same = |next: &usize| {
            self.kv_head(*next) == kv && self.query(*next).committed.as_ptr() == table
        };
        let end = self.items.end.min(item + most);
        1 + (item + 1..end).take_while(same).count()
    }

    /// `Q` queries, from one on. Returns `Q`.
    #[inline(always)]
    unsafe fn tile<S: Simd, const Q: usize>(&self, item: usize, scores: &mut Vec<f32>) -> usize {
        let dim = self.heads.dim;
        let offset = self.kv_head(item) * dim;
        let queries: [Query<'_>; Q] = std::array::from_fn(|q| self.query(item + q));
        let common = queries.iter().map(|query| query.committed.len()).min();
        let common = &queries[0].committed[..common.unwrap_or(0)];
        let longest = queries.iter().map(Query::seen).max().unwrap_or(0);
        let stride = longest.next_multiple_of(LANES);
        scores.clear();
        scores.resize(Q * stride, f32::NEG_INFINITY);
        let scale = 1.0 / (dim as f32).sqrt();
        // SAFETY: items are disjoint; the slices bound every load below.
        unsafe {
            self.score::<S, Q>(&queries, common, offset, scores, stride);
            let mut totals = [0.0; Q];
            for q in 0..Q {
                let seen = queries[q].seen();
                let scores = &mut scores[q * stride..][..seen.next_multiple_of(LANES)];
                totals[q] = softmax_weights::<S>(scores, seen, scale);
            }
            let whole = dim - dim % LANES;
            for (q, query) in queries.iter().enumerate() {
                let mixed = self.mixed.slice(query.start + whole..query.start + dim);
                for (d, mixed) in mixed.iter_mut().enumerate() {
                    let weights = &scores[q * stride..];
                    *mixed = self.mix_one(query, weights, totals[q], offset + whole + d);
                }
            }
            let mut d = 0;
            while d < whole {
                let wide = d + 4 * LANES <= whole;
                let at = (offset + d, d);
                d += match wide {
                    true => self.mix::<S, Q, 4>(&queries, common, at, scores, stride, &totals),
                    false => self.mix::<S, Q, 1>(&queries, common, at, scores, stride, &totals),
                };
            }
        }
        Q
    }

    /// Dot products of every query with the keys of the slots that it sees.
    #[inline(always)]
    unsafe fn score<S: Simd, const Q: usize>(
        &self,
        queries: &[Query<'_>; Q],
        common: &[u32],
        offset: usize,
        scores: &mut [f32],
        stride: usize,
    ) {
        let dim = self.heads.dim;
        let whole = dim - dim % LANES;
        // SAFETY: steps of sixteen inside queries and keys, and scores of four slots.
        unsafe {
            let key = |slot: u32| self.vector(self.keys, slot, offset);
            // One query has nothing to share; few registers are better left to one key.
            let (fours, _) = match Q {
                1 => (&[][..], common),
                _ => common.as_chunks::<KEYS>(),
            };
            for (index, slots) in fours.iter().enumerate() {
                for &slot in common.iter().skip(index * KEYS + AHEAD).take(KEYS) {
                    ask::<S, E>(key(slot), dim);
                }
                let keys = slots.map(key);
                let mut sums = [[S::splat(0.0); KEYS]; Q];
                for d in (0..whole).step_by(LANES) {
                    let keys = keys.map(|key| E::load::<S>(key.add(d)));
                    for q in 0..Q {
                        let query = S::load(queries[q].values.as_ptr().add(d));
                        for k in 0..KEYS {
                            sums[q][k] = S::fma(query, keys[k], sums[q][k]);
                        }
                    }
                }
                for q in 0..Q {
                    let to = scores.as_mut_ptr().add(q * stride + index * KEYS);
                    to.cast::<[f32; KEYS]>().write_unaligned(S::sums(sums[q]));
                }
            }
            let done = fours.len() * KEYS;
            for (q, query) in queries.iter().enumerate() {
                let (shared, own) = scores[q * stride..].split_at_mut(done);
                if whole < dim {
                    for (score, slot) in shared.iter_mut().zip(query.slots(0)) {
                        let key = key(slot).add(whole);
                        *score += rest(&query.values[whole..], key);
                    }
                }
                for (score, slot) in own.iter_mut().zip(query.slots(done)) {
                    *score = dot::<S, E>(query.values, key(slot));
                }
            }
        }
    }

    /// The weighted means of `V` vectors of values: `at` is their first column among a
    /// slot's values, and among a query's. Returns the columns.
    #[inline(always)]
    unsafe fn mix<S: Simd, const Q: usize, const V: usize>(
        &self,
        queries: &[Query<'_>; Q],
        common: &[u32],
        at: (usize, usize),
        weights: &[f32],
        stride: usize,
        totals: &[f32; Q],
    ) -> usize {
        // SAFETY: a slot has `V` vectors from the column on, and a weight for each query.
        unsafe {
            let value = |slot: u32| self.vector(self.values, slot, at.0);
            let mut sums = [[S::splat(0.0); V]; Q];
            for (position, &slot) in common.iter().enumerate() {
                if Q > 1 && position + AHEAD < common.len() {
                    let soon = *common.get_unchecked(position + AHEAD);
                    ask::<S, E>(value(soon), V * LANES);
                }
                // Values in registers and weights one by one: there are fewer of the former.
                let value = value(slot);
                let values: [S::F; V] = std::array::from_fn(|v| E::load::<S>(value.add(v * LANES)));
                for q in 0..Q {
                    let weight = S::splat(*weights.as_ptr().add(q * stride + position));
                    for v in 0..V {
                        sums[q][v] = S::fma(weight, values[v], sums[q][v]);
                    }
                }
            }
            for q in 0..Q {
                let (query, mut sums) = (&queries[q], sums[q]);
                let weights = &weights[q * stride + common.len()..];
                for (&weight, slot) in weights.iter().zip(query.slots(common.len())) {
                    for v in 0..V {
                        let value = E::load::<S>(value(slot).add(v * LANES));
                        sums[v] = S::fma(S::splat(weight), value, sums[v]);
                    }
                }
                let start = query.start + at.1;
                let mixed = self.mixed.slice(start..start + V * LANES);
                for v in 0..V {
                    let mean = S::div(sums[v], S::splat(totals[q]));
                    S::store(mixed.as_mut_ptr().add(v * LANES), mean);
                }
            }
        }
        V * LANES
    }

    /// The weighted mean of one column of each slot.
    #[inline(always)]
    fn mix_one(&self, query: &Query<'_>, weights: &[f32], total: f32, column: usize) -> f32 {
        let stride = self.heads.kv * self.heads.dim;
        let value = |slot: u32| self.values[slot as usize * stride + column].widen();
        let weighed = query.slots(0).zip(weights);
        let weighed = weighed.map(|(slot, weight)| weight * value(slot));
        weighed.sum::<f32>() / total
    }
}

/// Asks for values that will be read soon.
#[inline(always)]
fn ask<S: Simd, E>(soon: *const E, values: usize) {
    for at in (0..values).step_by(64 / size_of::<E>()) {
        S::prefetch(soon.wrapping_add(at));
    }
}

/// The dot product of a slice and as many elements.
#[inline(always)]
unsafe fn dot<S: Simd, E: Element>(a: &[f32], b: *const E) -> f32 {
    let whole = a.len() - a.len() % LANES;
    // SAFETY: steps of sixteen inside both.
    unsafe {
        let mut sum = S::splat(0.0);
        for i in (0..whole).step_by(LANES) {
            sum = S::fma(S::load(a.as_ptr().add(i)), E::load::<S>(b.add(i)), sum);
        }
        S::sum(sum) + rest(&a[whole..], b.add(whole))
    }
}

/// The part of a dot product that is less than a vector.
#[inline(always)]
unsafe fn rest<E: Element>(a: &[f32], b: *const E) -> f32 {
    let b = |i| unsafe { (*b.add(i)).widen() };
    a.iter().enumerate().map(|(i, a)| a * b(i)).sum()
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
