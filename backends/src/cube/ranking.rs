//! The nodes of a tree that grew, over all its levels: which they are, and what the rows that
//! verify them are made of.

use cubecl::prelude::*;
use eaglet_core::ops::ranking::{HOPELESS, RANKED, WIDTH};

use super::largest::before;
use super::levels::score;
use super::rows::{FIELDS, PATH, POSITION, PREFIX, SLOT, TOKEN};

/// Sizes of a launch of [`rank`].
#[derive(Clone, Copy, Debug, CubeType, CubeLaunch)]
pub struct Grown {
    /// Children of a node.
    pub k: usize,
    /// Candidates of all levels.
    pub items: usize,
    /// Tokens that indices can stand for.
    pub known: usize,
}

/// Where a candidate lies in what was found, in pairs, and what it was found after.
#[derive(CubeType)]
struct Item {
    /// Its own pair.
    at: usize,
    /// The pair of the node above it, as that was chosen; none above the root's.
    chosen: usize,
    /// The first candidate of the level above.
    above: usize,
    depth: u32,
}

#[cube]
fn locate(item: usize, k: usize) -> Item {
    let mut found = Item {
        at: item,
        chosen: 0usize,
        above: 0usize,
        depth: 1u32,
    };
    if item >= k {
        let below = item - k;
        let level = below / (k * k);
        let within = below % (k * k);
        let first = k + level * (k + 1) * k;
        found.at = first + k + within;
        found.chosen = first + within / k;
        found.depth = level as u32 + 2u32;
        if level > 0 {
            found.above = k + (level - 1) * k * k;
        }
    }
    found
}

/// How many candidates come before one.
#[cube]
fn ahead(scores: &Shared<[f32]>, items: usize, item: usize) -> u32 {
    let score = scores[item];
    let mut better = 0u32;
    for other in 0..items {
        if before(scores[other], other as u32, score, item as u32) {
            better += 1u32;
        }
    }
    better
}

/// Puts candidates, pairs in `grown`, in the place of their rank in `ranked`, [`WIDTH`] each. An
/// invocation a candidate; each workgroup of `units` scores all of them, `most` at most.
#[cube(launch_unchecked)]
pub fn rank(
    grown: &[f32],
    ids: &[f32],
    ranked: &mut [f32],
    sizes: Grown,
    #[comptime] mapped: bool,
    #[comptime] most: usize,
    #[comptime] units: usize,
) {
    let items = sizes.items;
    let mut scores = Shared::<[f32]>::new_slice(most);
    for item in range_stepped(UNIT_POS as usize, items, units) {
        let place = locate(item, sizes.k);
        let mut above = 0.0f32;
        if place.depth > 1u32 {
            above = grown[place.chosen * 2 + 1];
        }
        scores[item] = score(grown[place.at * 2], grown[place.at * 2 + 1], above);
    }
    sync_cube();
    let item = ABSOLUTE_POS;
    let mut rank = item as u32;
    let mut there = false;
    if item < items {
        rank = ahead(&scores, items, item);
        there = scores[item] > HOPELESS;
    }
    if rank < comptime!(RANKED as u32) {
        let to = rank as usize * WIDTH;
        ranked[to] = f32::new(-1.0);
        ranked[to + 1] = f32::new(0.0);
        ranked[to + 2] = f32::new(0.0);
        ranked[to + 3] = f32::new(0.0);
        if there {
            let place = locate(item, sizes.k);
            let mut token = grown[place.at * 2];
            if comptime!(mapped) {
                let index = usize::cast_from(token);
                token = f32::new(0.0);
                if index < sizes.known {
                    token = ids[index];
                }
            }
            let mut parent = 0u32;
            if place.depth > 1u32 {
                let above = place.above + usize::cast_from(grown[place.chosen * 2].max(0.0));
                parent = ahead(&scores, items, above.min(items - 1)) + 1u32;
            }
            ranked[to] = token;
            ranked[to + 1] = f32::cast_from(parent);
            ranked[to + 2] = grown[place.at * 2 + 1];
            ranked[to + 3] = f32::cast_from(place.depth);
        }
    }
}

/// Makes rows, staged with their slots and room for paths, of the nodes in `ranked`: row n of
/// the n-th. An invocation a node.
#[cube(launch_unchecked)]
pub fn settle(ranked: &[f32], rows: &mut [u32], nodes: usize) {
    if ABSOLUTE_POS >= nodes {
        terminate!();
    }
    let row = ABSOLUTE_POS + 1;
    let node = ABSOLUTE_POS * WIDTH;
    let mut token = 0u32;
    let mut depth = 1u32;
    if ranked[node] >= 0.0 {
        token = u32::cast_from(ranked[node]);
        depth = u32::cast_from(ranked[node + 3]);
    }
    let prefix = rows[row * FIELDS + PREFIX];
    // Of a row that was settled already the room is its own depth, which is the same again.
    let room = rows[row * FIELDS + POSITION] - prefix;
    depth = depth.min(room);
    rows[row * FIELDS + TOKEN] = token;
    rows[row * FIELDS + POSITION] = prefix + depth;
    let path = rows[row * FIELDS + PATH] as usize;
    let mut at = row;
    for step in 0..depth as usize {
        rows[path + depth as usize - step] = rows[at * FIELDS + SLOT];
        if ranked[(at - 1) * WIDTH] >= 0.0 {
            at = usize::cast_from(ranked[(at - 1) * WIDTH + 1]).max(1);
        }
    }
    rows[path] = rows[SLOT];
}
