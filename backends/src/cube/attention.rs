//! Path attention: softmax over the slots that a row sees, in the order of their logical
//! positions.
//!
//! A workgroup serves one head of one row. It walks the positions in tiles of one size,
//! an invocation for each position of a tile and then for each dimension of the head, with
//! a running maximum. Which slots hold the keys never enters the sums.

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
    /// Positions of a tile, and invocations of a workgroup.
    pub tile: usize,
}

/// Below every score, and far enough from the end that differences are finite.
const NOTHING: f32 = -1e38;

/// `queries` and `mixed` are `[rows, query heads, dim]`, `keys` and `values` `[slots, kv
/// heads, dim]`, the former in vectors of four. The grid is `[query heads, rows]`.
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
    for first in range_stepped(0, seen, plan.tile) {
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
        let mut highest = most;
        for i in 0..plan.tile {
            highest = highest.max(scores[i]);
        }
        weights[unit] = (score - highest).exp();
        slots[unit] = slot;
        sync_cube();
        let fade = (most - highest).exp();
        total *= fade;
        #[unroll]
        for c in 0..columns {
            sums[c] *= fade;
        }
        let count = select(seen - first < plan.tile, seen - first, plan.tile);
        for i in 0..count {
            let weight = weights[i];
            let value = (slots[i] as usize * plan.kv + kv_head) * plan.dim;
            total += weight;
            #[unroll]
            for c in 0..columns {
                let d = unit + c * plan.tile;
                if d < plan.dim {
                    sums[c] = fma(weight, f32::cast_from(values[value + d]), sums[c]);
                }
            }
        }
        most = highest;
    }
    #[unroll]
    for c in 0..columns {
        let d = unit + c * plan.tile;
        if d < plan.dim {
            mixed[query * 4 + d] = sums[c] / total;
        }
    }
}
