//! EAGLE-2's dynamic tree: grow where the drafter is confident, keep what is likeliest.
//!
//! Li et al., "EAGLE-2: Faster Inference of Language Models with Dynamic Draft Trees"
//! (2024), section 4: the most likely nodes of a level are expanded, and of all that was
//! drafted the most likely are verified.

use crate::draft::{Candidates, Growth};
use crate::error::Result;
use crate::ops::levels::score;
use crate::ops::ranking::HOPELESS;
use crate::tree::Tree;

/// Grows a tree. `first` are the root's candidates; `expand` gives those of each node of
/// a level, in one pass of the head, for which the level must be worth `price`.
pub(super) async fn grow(
    root: u32,
    first: Candidates,
    growth: Growth,
    price: f32,
    mut expand: impl AsyncFnMut(&Tree, &[usize]) -> Result<Vec<Candidates>>,
) -> Result<Tree> {
    let mut tree = Tree::new(root);
    if growth.depth == 0 || growth.nodes == 0 {
        return Ok(tree);
    }
    // The chance of each node, its ancestors included, as a logarithm.
    let mut scores = vec![0.0];
    let mut level = add(&mut tree, &mut scores, 0, &first);
    for _ in 1..growth.depth {
        let frontier = most_likely(&level, &scores, growth.top_k);
        let mass: f32 = frontier.iter().map(|&node| scores[node].exp()).sum();
        // A head whose output is not a number has no candidates.
        if frontier.is_empty() || mass < price {
            break;
        }
        let candidates = expand(&tree, &frontier).await?;
        level = Vec::new();
        for (&node, candidates) in frontier.iter().zip(&candidates) {
            level.extend(add(&mut tree, &mut scores, node, candidates));
        }
    }
    // A candidate whose chance is no number is none.
    let hopes = (1..tree.len()).filter(|&node| scores[node] > HOPELESS);
    let all: Vec<usize> = hopes.collect();
    let mut keep = vec![false; tree.len()];
    for node in most_likely(&all, &scores, growth.nodes) {
        keep[node] = true;
    }
    tree.retain(&keep);
    Ok(tree)
}

/// Adds the children of a node; returns their numbers.
fn add(
    tree: &mut Tree,
    scores: &mut Vec<f32>,
    parent: usize,
    candidates: &Candidates,
) -> Vec<usize> {
    let mut children = Vec::with_capacity(candidates.len());
    for &(token, log_chance) in candidates {
        let child = tree.add(parent, token, log_chance.exp());
        if child == scores.len() {
            scores.push(score(scores[parent], log_chance));
            children.push(child);
        }
    }
    children
}

/// The `count` nodes of highest score, in ascending order. Where scores tie the earlier
/// node wins, so that a parent is never behind its child.
fn most_likely(nodes: &[usize], scores: &[f32], count: usize) -> Vec<usize> {
    let mut nodes = nodes.to_vec();
    nodes.sort_by(|&a, &b| scores[b].total_cmp(&scores[a]).then(a.cmp(&b)));
    nodes.truncate(count);
    nodes.sort_unstable();
    nodes
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::draft::testing::now;
    use crate::sample::uniform;

    /// Candidates of a node that depend on its path alone.
    fn candidates(path: &[u32], top_k: usize) -> Candidates {
        let seed = path
            .iter()
            .fold(17, |h: u64, &t| h.wrapping_mul(31).wrapping_add(t.into()));
        let weights: Vec<f64> = (0..12).map(|t| uniform(seed, t).powi(3) + 1e-3).collect();
        let total: f64 = weights.iter().sum();
        let mut all: Vec<(u32, f32)> = (0..12u32)
            .map(|t| (t, (weights[t as usize] / total).ln() as f32))
            .collect();
        all.sort_by(|a, b| b.1.total_cmp(&a.1).then(a.0.cmp(&b.0)));
        all.truncate(top_k);
        all
    }

    fn tokens(tree: &Tree, node: usize) -> Vec<u32> {
        tree.path(node)[1..]
            .iter()
            .map(|&n| tree.token(n))
            .collect()
    }

    fn grown(growth: Growth, price: f32) -> Tree {
        now(grow(
            99,
            candidates(&[], growth.top_k),
            growth,
            price,
            async |tree, level| {
                let of = |&node: &usize| candidates(&tokens(tree, node), growth.top_k);
                Ok(level.iter().map(of).collect())
            },
        ))
        .unwrap()
    }

    /// All paths that the growth rule can reach, by brute force: level by level.
    fn pool(growth: Growth) -> Vec<(Vec<u32>, f32)> {
        let mut pool = Vec::new();
        let mut beam = vec![(Vec::new(), 0.0)];
        for _ in 0..growth.depth {
            let mut level: Vec<(Vec<u32>, f32)> = Vec::new();
            for (path, score) in &beam {
                for (token, chance) in candidates(path, growth.top_k) {
                    let mut child: Vec<u32> = path.clone();
                    child.push(token);
                    level.push((child, score + chance));
                }
            }
            pool.extend(level.clone());
            level.sort_by(|a, b| b.1.total_cmp(&a.1));
            level.truncate(growth.top_k);
            beam = level;
        }
        pool
    }

    #[test]
    fn the_likeliest_of_the_pool_are_kept_and_are_connected() {
        for (top_k, depth, nodes) in [(4, 3, 10), (10, 5, 59), (2, 6, 5), (3, 1, 3), (1, 4, 4)] {
            let growth = Growth {
                top_k,
                depth,
                nodes,
            };
            let tree = grown(growth, 0.0);
            let mut expected = pool(growth);
            expected.sort_by(|a, b| b.1.total_cmp(&a.1));
            expected.truncate(nodes);
            let mut expected: Vec<_> = expected.into_iter().map(|e| e.0).collect();
            let mut found: Vec<_> = (1..tree.len()).map(|n| tokens(&tree, n)).collect();
            expected.sort();
            found.sort();
            assert_eq!(found, expected, "{growth:?}");
            assert!(tree.height() <= depth);
        }
    }

    #[test]
    fn a_tree_stops_where_another_level_is_not_worth_its_price() {
        let growth = Growth {
            top_k: 3,
            depth: 6,
            nodes: 40,
        };
        let heights = [0.0, 0.2, 0.4, 1.0].map(|price| grown(growth, price).height());
        assert_eq!(heights[0], 6);
        assert_eq!(
            heights[3], 1,
            "three of twelve candidates are never certain"
        );
        assert!(heights.is_sorted_by(|a, b| a >= b), "{heights:?}");
        // What is there is what a tree of that depth would have been.
        let (cheap, depth) = (grown(growth, 0.2), heights[1]);
        assert!((2..6).contains(&depth), "{heights:?}");
        assert_eq!(cheap, grown(Growth { depth, ..growth }, 0.0));
    }

    #[test]
    fn certain_children_do_not_outlive_their_parents() {
        let growth = Growth {
            top_k: 2,
            depth: 4,
            nodes: 2,
        };
        let sure = || vec![(1, 0.0), (2, f32::NEG_INFINITY)];
        let tree = now(grow(9, sure(), growth, 0.0, async |_, level| {
            Ok(level.iter().map(|_| sure()).collect())
        }))
        .unwrap();
        assert_eq!(tokens(&tree, 2), [1, 1]);
    }
}
