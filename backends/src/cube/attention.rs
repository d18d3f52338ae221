//! Path attention: softmax over the slots that a row sees, in the order of their logical
//! positions.
//!
//! Positions are cut into spans of one length, whoever looks at them. Within a span they are
//! walked in tiles of one size, an invocation for each position of a tile and then for each
//! dimension of the head, with a running maximum; what spans gave is merged in their order.
//! Few rows of a long text have a workgroup for each head and span ([`attend`] leaves parts,
//! [`join`] merges them, as in flash-decoding); many rows, or short ones, a workgroup for each
//! head, which merges as it goes. Both make the same bits, and which slots hold the keys
//! never enters the sums.

use cubecl::prelude::*;

use super::linear::across;
use super::rows::{FIELDS, PATH, POSITION, PREFIX, TABLE};

/// What the kernel is compiled for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Plan {
    /// Query heads.
    pub query: usize,
    /// Key heads.
    pub kv: usize,
    /// Dimensions of a head, a multiple of four.
    pub dim: usize,
    /// Positions of a tile, and invocations of a workgroup; a divisor of [`SPAN`].
    pub tile: usize,
    /// Whether each span has a workgroup of its own.
    pub split: bool,
}

/// Positions of a span.
pub const SPAN: usize = 256;
/// Numbers that a span leaves beside its sums: its maximum and its total.
pub const MORE: usize = 2;

/// Below every score, and far enough from the end that differences are finite.
const NOTHING: f32 = -1e38;

/// What scores of an earlier maximum weigh beside a higher one.
#[cube]
fn fade(most: f32, highest: f32) -> f32 {
    // No exponential is needed for what must be exact.
    select(most == highest, f32::new(1.0), (most - highest).exp())
}

/// `queries` and `mixed` are `[rows, query heads, dim]`, `keys` and `values` `[slots, kv
/// heads, dim]`, the former in vectors of four. The grid is `[query heads, rows]`; where
/// the work is split `[query heads, rows, spans]`, and `mixed` is `[rows, query heads,
/// spans, dim + MORE]`.
#[cube(launch_unchecked)]
pub fn attend<C: Float>(
    queries: &[Vector<f32, Const<4>>],
    keys: &[Vector<C, Const<4>>],
    values: &[C],
    rows: &[u32],
    mixed: &mut [f32],
    #[comptime] plan: Plan,
) {
    let unit = UNIT_POS as usize;
    let head = CUBE_POS_X as usize;
    let row = CUBE_POS_Y as usize;
    let quads = comptime!(plan.dim / 4);
    let columns = comptime!(plan.dim.div_ceil(plan.tile));
    let kv_head = head / comptime!(plan.query / plan.kv);
    let fields = row * FIELDS;
    let prefix = rows[fields + PREFIX] as usize;
    let table = rows[fields + TABLE] as usize;
    let path = rows[fields + PATH] as usize;
    let query = (row * plan.query + head) * quads;

    let mut seen_by_all = Shared::<[u32]>::new_slice(1usize);
    if unit == 0 {
        seen_by_all[0] = rows[fields + POSITION] + 1;
    }
    sync_cube();
    let seen = workgroup_uniform_load(&seen_by_all[0]) as usize;

    let mut scores = Shared::<[f32]>::new_slice(plan.tile);
    let mut weights = Shared::<[f32]>::new_slice(plan.tile);
    let mut slots = Shared::<[u32]>::new_slice(plan.tile);
    let scale = f32::new(comptime!(1.0 / (plan.dim as f32).sqrt()));
    let mut most = f32::new(NOTHING);
    let mut total = f32::new(0.0);
    let mut sums = Array::<f32>::new(columns);
    #[unroll]
    for c in 0..columns {
        sums[c] = f32::new(0.0);
    }
    let mut begin = 0usize;
    let mut end = seen;
    if comptime!(plan.split) {
        begin = CUBE_POS_Z as usize * SPAN;
        end = select(begin + SPAN < seen, begin + SPAN, seen);
    }
    for span in range_stepped(begin, end, SPAN) {
        let mut span_most = f32::new(NOTHING);
        let mut span_total = f32::new(0.0);
        let mut span_sums = Array::<f32>::new(columns);
        #[unroll]
        for c in 0..columns {
            span_sums[c] = f32::new(0.0);
        }
        let last = select(span + SPAN < seen, span + SPAN, seen);
        for first in range_stepped(span, last, plan.tile) {
            let position = first + unit;
            let mut score = f32::new(NOTHING);
            let mut slot = 0u32;
            if position < seen {
                slot = rows[select(
                    position < prefix,
                    table + position,
                    path + position - prefix,
                )];
                let key = (slot as usize * plan.kv + kv_head) * quads;
                let mut dot = Vector::<f32, Const<4>>::new(0.0);
                for q in 0..quads {
                    let k = Vector::<f32, Const<4>>::cast_from(keys[key + q]);
                    dot = fma(queries[query + q], k, dot);
                }
                score = across(dot) * scale;
            }
            scores[unit] = score;
            sync_cube();
            let mut highest = span_most;
            for i in 0..plan.tile {
                highest = highest.max(scores[i]);
            }
            weights[unit] = (score - highest).exp();
            slots[unit] = slot;
            sync_cube();
            let before = (span_most - highest).exp();
            let mut tile_total = f32::new(0.0);
            #[unroll]
            for c in 0..columns {
                span_sums[c] *= before;
            }
            let count = select(seen - first < plan.tile, seen - first, plan.tile);
            for i in 0..count {
                let weight = weights[i];
                let value = (slots[i] as usize * plan.kv + kv_head) * plan.dim;
                tile_total += weight;
                #[unroll]
                for c in 0..columns {
                    let d = unit + c * plan.tile;
                    if d < plan.dim {
                        span_sums[c] = fma(weight, f32::cast_from(values[value + d]), span_sums[c]);
                    }
                }
            }
            // Fused here, since some compilers would, and not in every variant.
            span_total = fma(span_total, before, tile_total);
            span_most = highest;
        }
        let highest = most.max(span_most);
        let (old, new) = (fade(most, highest), fade(span_most, highest));
        total = fma(total, old, span_total * new);
        #[unroll]
        for c in 0..columns {
            sums[c] = fma(sums[c], old, span_sums[c] * new);
        }
        most = highest;
    }
    if comptime!(plan.split) {
        let spans = CUBE_COUNT_Z as usize;
        let part = (row * plan.query + head) * spans + CUBE_POS_Z as usize;
        let to = part * comptime!(plan.dim + MORE);
        #[unroll]
        for c in 0..columns {
            let d = unit + c * plan.tile;
            if d < plan.dim {
                mixed[to + d] = sums[c];
            }
        }
        if unit == 0 {
            mixed[to + plan.dim] = most;
            mixed[to + plan.dim + 1] = total;
        }
    } else {
        #[unroll]
        for c in 0..columns {
            let d = unit + c * plan.tile;
            if d < plan.dim {
                mixed[query * 4 + d] = sums[c] / total;
            }
        }
    }
}

/// Merges `parts`, which a split [`attend`] left for `spans` spans, into `mixed`. An
/// invocation takes one dimension of one head of one row.
#[cube(launch_unchecked)]
pub fn join(
    parts: &[f32],
    rows: &[u32],
    mixed: &mut [f32],
    count: usize,
    spans: usize,
    #[comptime] plan: Plan,
) {
    let item = ABSOLUTE_POS;
    if item >= count {
        terminate!();
    }
    let (head, d) = (item / plan.dim, item % plan.dim);
    let row = head / plan.query;
    let seen = rows[row * FIELDS + POSITION] as usize + 1;
    let mut most = f32::new(NOTHING);
    let mut total = f32::new(0.0);
    let mut sum = f32::new(0.0);
    for span in 0..seen.div_ceil(SPAN) {
        let from = (head * spans + span) * comptime!(plan.dim + MORE);
        let span_most = parts[from + plan.dim];
        let highest = most.max(span_most);
        let (old, new) = (fade(most, highest), fade(span_most, highest));
        total = fma(total, old, parts[from + plan.dim + 1] * new);
        sum = fma(sum, old, parts[from + d] * new);
        most = highest;
    }
    mixed[item] = sum / total;
}
