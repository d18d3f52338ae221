//! Levels of a drafted tree: which candidates are expanded, and what their rows are made of.

use cubecl::prelude::*;
use eaglet_core::ops::ranking::HOPELESS;

use super::largest::{NOTHING, before, is_nan};
use super::rows::{FIELDS, PATH, POSITION, PREFIX, TOKEN};

/// The score of a candidate: `HOPELESS` where its chance is no number (minus infinity is none to
/// all devices), and below that where there is no candidate. `above` is its parent's.
#[cube]
pub fn score(index: f32, log_chance: f32, above: f32) -> f32 {
    let mut score = f32::new(NOTHING);
    if index >= 0.0 {
        score = f32::new(HOPELESS);
        if !is_nan(log_chance) {
            score = score.max(above + log_chance.min(0.0));
        }
    }
    score
}

/// The `k` best of `items` candidates, the pairs in `found`, by rising place, as pairs of a
/// place and a score; -1 where there are no more. `above` has such pairs of the level's own
/// rows, unless the level is the root's. One workgroup of `units`, `most` items at most.
#[cube(launch_unchecked)]
pub fn frontier(
    found: &[f32],
    above: &[f32],
    chosen: &mut [f32],
    k: usize,
    items: usize,
    #[comptime] root: bool,
    #[comptime] most: usize,
    #[comptime] units: usize,
) {
    let unit = UNIT_POS as usize;
    let mut scores = Shared::<[f32]>::new_slice(most);
    let mut kept = Shared::<[u32]>::new_slice(most);
    for item in range_stepped(unit, items, units) {
        let mut above_it = 0.0f32;
        if comptime!(!root) {
            above_it = above[item / k * 2 + 1];
        }
        scores[item] = score(found[item * 2], found[item * 2 + 1], above_it);
    }
    sync_cube();
    for item in range_stepped(unit, items, units) {
        let score = scores[item];
        let mut better = 0u32;
        for other in 0..items {
            if before(scores[other], other as u32, score, item as u32) {
                better += 1u32;
            }
        }
        let mut keep = 0u32;
        if better < k as u32 && score > NOTHING {
            keep = 1u32;
        }
        kept[item] = keep;
    }
    sync_cube();
    for item in range_stepped(unit, items, units) {
        if kept[item] == 1u32 {
            let mut at = 0u32;
            for earlier in 0..item {
                at += kept[earlier];
            }
            chosen[at as usize * 2] = f32::cast_from(item);
            chosen[at as usize * 2 + 1] = scores[item];
        }
    }
    if unit == 0 {
        let mut there = 0u32;
        for item in 0..items {
            there += kept[item];
        }
        for at in there as usize..k {
            chosen[at * 2] = f32::new(-1.0);
            chosen[at * 2 + 1] = f32::new(HOPELESS);
        }
    }
}

/// Sizes of a launch of [`descend`].
#[derive(Clone, Copy, Debug, CubeType, CubeLaunch)]
pub struct Below {
    /// Rows of the level.
    pub rows: usize,
    /// Columns of outputs and features.
    pub width: usize,
    /// Candidates of a row of the level above.
    pub k: usize,
    /// All candidates.
    pub items: usize,
    /// Tokens that indices can stand for.
    pub known: usize,
}

/// Gives rows, staged with their slots, the tokens of candidates and the paths of the rows
/// `above` that these were found after; copies the outputs of those to `features`. `found` and
/// `chosen` are pairs as [`frontier`] takes and leaves them. An invocation copies one value.
#[allow(clippy::too_many_arguments, clippy::manual_memcpy)] // Kernels have no slices.
#[cube(launch_unchecked)]
pub fn descend(
    found: &[f32],
    chosen: &[f32],
    ids: &[f32],
    outputs: &[f32],
    above: &[u32],
    rows: &mut [u32],
    features: &mut [f32],
    below: Below,
    #[comptime] mapped: bool,
    #[comptime] root: bool,
) {
    let item = ABSOLUTE_POS;
    if item >= below.rows * below.width {
        terminate!();
    }
    let row = item / below.width;
    let column = item % below.width;
    let place = usize::cast_from(chosen[row * 2].max(0.0));
    let place = select(place < below.items, place, 0);
    let parent = place / below.k;
    features[item] = outputs[parent * below.width + column];
    if column == 0 {
        let index = u32::cast_from(found[place * 2].max(0.0));
        let mut token = index;
        if comptime!(mapped) {
            token = 0u32;
            if (index as usize) < below.known {
                token = u32::cast_from(ids[index as usize]);
            }
        }
        rows[row * FIELDS + TOKEN] = token;
        if comptime!(!root) {
            // All of the row's path but its own slot, which is there.
            let length = rows[row * FIELDS + POSITION] - rows[row * FIELDS + PREFIX];
            let to = rows[row * FIELDS + PATH] as usize;
            let from = above[parent * FIELDS + PATH] as usize;
            for i in 0..length as usize {
                rows[to + i] = above[from + i];
            }
        }
    }
}
