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
    fn slots(&self, first: usize) -> impl Iterator<Item = usize> {
        let (committed, path) = (self.committed[first..].iter(), self.path.iter());
        committed.chain(path).map(|&slot| slot as usize)
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
        let key = |slot: usize| {
            let start = slot * self.heads.kv * dim + offset;
            &self.keys[start..start + dim]
        };
        let whole = dim - dim % LANES;
        // SAFETY: steps of sixteen inside queries and keys.
        unsafe {
            // One query has nothing to share; few registers are better left to one key.
            let (fours, _) = match Q {
                1 => (&[][..], common),
                _ => common.as_chunks::<KEYS>(),
            };
            for (index, slots) in fours.iter().enumerate() {
                for &slot in common.iter().skip(index * KEYS + AHEAD).take(KEYS) {
                    ask::<S, E>(key(slot as usize));
                }
                let keys = slots.map(|slot| key(slot as usize));
                let mut sums = [[S::splat(0.0); KEYS]; Q];
                for d in (0..whole).step_by(LANES) {
                    let keys = keys.map(|key| E::load::<S>(key.as_ptr().add(d)));
                    for (sums, query) in sums.iter_mut().zip(queries) {
                        let query = S::load(query.values.as_ptr().add(d));
                        for k in 0..KEYS {
                            sums[k] = S::fma(query, keys[k], sums[k]);
                        }
                    }
                }
                for (q, sums) in sums.into_iter().enumerate() {
                    let at = q * stride + index * KEYS;
                    let mut sums = S::sums(sums);
                    for (sum, key) in sums.iter_mut().zip(keys) {
                        *sum += rest(&queries[q].values[whole..], &key[whole..]);
                    }
                    scores[at..at + KEYS].copy_from_slice(&sums);
                }
            }
            let done = fours.len() * KEYS;
            for (q, query) in queries.iter().enumerate() {
                let scores = &mut scores[q * stride + done..];
                for (score, slot) in scores.iter_mut().zip(query.slots(done)) {
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
        let value = |slot: usize| {
            let start = slot * self.heads.kv * self.heads.dim + at.0;
            &self.values[start..start + V * LANES]
        };
        // SAFETY: each slice holds `V` vectors.
        unsafe {
            let mut sums = [[S::splat(0.0); V]; Q];
            for (position, &slot) in common.iter().enumerate() {
                if Q > 1
                    && let Some(&slot) = common.get(position + AHEAD)
                {
                    ask::<S, E>(value(slot as usize));
                }
                let value = value(slot as usize).as_ptr();
                // Weights in registers and values one by one: there are fewer of the former.
                let weights: [S::F; Q] = std::array::from_fn(|q| {
                    S::splat(*weights.get_unchecked(q * stride + position))
                });
                for v in 0..V {
                    let value = E::load::<S>(value.add(v * LANES));
                    for q in 0..Q {
                        sums[q][v] = S::fma(weights[q], value, sums[q][v]);
                    }
                }
            }
            for (q, query) in queries.iter().enumerate() {
                let weights = &weights[q * stride + common.len()..];
                for (&weight, slot) in weights.iter().zip(query.slots(common.len())) {
                    let value = value(slot).as_ptr();
                    for (v, sum) in sums[q].iter_mut().enumerate() {
                        let value = E::load::<S>(value.add(v * LANES));
                        *sum = S::fma(S::splat(weight), value, *sum);
                    }
                }
                let start = query.start + at.1;
                let mixed = self.mixed.slice(start..start + V * LANES);
                for (v, &sum) in sums[q].iter().enumerate() {
                    let mean = S::div(sum, S::splat(totals[q]));
                    S::store(mixed[v * LANES..].as_mut_ptr(), mean);
                }
            }
        }
        V * LANES
    }

    /// The weighted mean of one column of each slot.
    #[inline(always)]
    fn mix_one(&self, query: &Query<'_>, weights: &[f32], total: f32, column: usize) -> f32 {
        let stride = self.heads.kv * self.heads.dim;
        let value = |slot: usize| self.values[slot * stride + column].widen();
        let weighed = query.slots(0).zip(weights);
        let weighed = weighed.map(|(slot, weight)| weight * value(slot));
        weighed.sum::<f32>() / total
    }
}

/// Asks for a slice that will be read soon.
#[inline(always)]
fn ask<S: Simd, E>(soon: &[E]) {
    for line in soon.chunks(64 / size_of::<E>()) {
        S::prefetch(line.as_ptr());
    }
}

/// The dot product of two slices of one length.
#[inline(always)]
unsafe fn dot<S: Simd, E: Element>(a: &[f32], b: &[E]) -> f32 {
    let whole = a.len() - a.len() % LANES;
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
        S::sum(sum) + rest(&a[whole..], &b[whole..])
    }
}

/// The part of a dot product that is less than a vector.
#[inline(always)]
fn rest<E: Element>(a: &[f32], b: &[E]) -> f32 {
    a.iter().zip(b).map(|(a, b)| a * b.widen()).sum()
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
