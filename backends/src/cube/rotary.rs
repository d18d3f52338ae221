//! Queries, keys and values on their way into attention: head norms, rotation, cache.

use cubecl::prelude::*;

use super::rows::{FIELDS, POSITION, SLOT};

/// What the kernel is compiled for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Plan {
    /// Query heads.
    pub query: usize,
    /// Key heads.
    pub kv: usize,
    /// Dimensions of a head.
    pub dim: usize,
    /// Whether queries and keys go through RMS norms first.
    pub norms: bool,
}

/// Sizes of one launch.
#[derive(Clone, Copy, Debug, CubeType, CubeLaunch)]
pub struct Sizes {
    /// Rows.
    pub rows: usize,
    /// From one position's angles to the next's.
    pub stride: usize,
    /// Added to the mean square by the norm over queries.
    pub query_epsilon: f32,
    /// The same over keys.
    pub key_epsilon: f32,
}

/// `qkv` is `[rows, query + 2 kv, dim]`, `cos` and `sin` `[positions, dim / 2]`, the norms
/// `[dim]`, `queries` `[rows, query, dim]`, `keys` and `values` `[slots, kv, dim]`. An
/// invocation takes two dimensions, `dim / 2` apart, of one head of one row.
#[allow(clippy::too_many_arguments)]
#[cube(launch_unchecked)]
pub fn rotate<C: Float>(
    qkv: &[f32],
    cos: &[f32],
    sin: &[f32],
    query_norm: &[f32],
    key_norm: &[f32],
    rows: &[u32],
    queries: &mut [f32],
    keys: &mut [C],
    values: &mut [C],
    sizes: Sizes,
    #[comptime] plan: Plan,
) {
    let half = comptime!(plan.dim / 2);
    let heads = comptime!(plan.query + 2 * plan.kv);
    let item = ABSOLUTE_POS;
    if item >= sizes.rows * comptime!(heads * half) {
        terminate!();
    }
    let i = item % half;
    let head = item / half % heads;
    let row = item / comptime!(half * heads);
    let at = (row * heads + head) * plan.dim;
    let position = rows[row * FIELDS + POSITION] as usize;
    let slot = rows[row * FIELDS + SLOT] as usize;
    let mut low = qkv[at + i];
    let mut high = qkv[at + half + i];
    if head < comptime!(plan.query + plan.kv) {
        if comptime!(plan.norms) {
            let mut squares = f32::new(0.0);
            for d in 0..plan.dim {
                squares = fma(qkv[at + d], qkv[at + d], squares);
            }
            let mean = squares / f32::new(comptime!(plan.dim as f32));
            if head < plan.query {
                let root = f32::new(1.0) / (mean + sizes.query_epsilon).sqrt();
                low *= root * query_norm[i];
                high *= root * query_norm[half + i];
            } else {
                let root = f32::new(1.0) / (mean + sizes.key_epsilon).sqrt();
                low *= root * key_norm[i];
                high *= root * key_norm[half + i];
            }
        }
        let c = cos[position * sizes.stride + i];
        let s = sin[position * sizes.stride + i];
        let turned = low * c - high * s;
        high = high * c + low * s;
        low = turned;
    }
    if head < plan.query {
        let to = (row * plan.query + head) * plan.dim + i;
        queries[to] = low;
        queries[to + half] = high;
    } else if head < comptime!(plan.query + plan.kv) {
        let to = (slot * plan.kv + head - plan.query) * plan.dim + i;
        keys[to] = C::cast_from(low);
        keys[to + half] = C::cast_from(high);
    } else {
        let to = (slot * plan.kv + head - comptime!(plan.query + plan.kv)) * plan.dim + i;
        values[to] = C::cast_from(low);
        values[to + half] = C::cast_from(high);
    }
}
