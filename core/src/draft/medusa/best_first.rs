//! The likeliest products of independent candidates.

use crate::draft::{Candidates, Growth};
use crate::tree::Tree;

/// A child that could be added next.
struct Next {
    /// The chance of the child and all its ancestors, as a logarithm.
    score: f32,
    parent: usize,
    /// That of the parent.
    above: f32,
    rank: usize,
}

/// Grows the tree of the `growth.nodes` likeliest nodes. All nodes at one depth have the
/// same candidates, `levels[depth]`, so that only a node's first child and its next
/// sibling can come after it.
pub(super) fn best_first(root: u32, levels: &[Candidates], growth: Growth) -> Tree {
    let mut tree = Tree::new(root);
    let next = |parent, depth: usize, above: f32, rank| {
        let level = levels.get(depth).filter(|_| depth < growth.depth);
        let chance = level?.iter().take(growth.top_k).nth(rank)?.1;
        // A head whose output is not a number has no candidates.
        (!chance.is_nan()).then(|| Next {
            score: above + chance.min(0.0),
            parent,
            above,
            rank,
        })
    };
    let mut open: Vec<Next> = next(0, 0, 0.0, 0).into_iter().collect();
    while tree.len() <= growth.nodes {
        let likeliest = (0..open.len()).reduce(|best, other| {
            // Where scores tie, what came first.
            match open[other].score > open[best].score {
                true => other,
                false => best,
            }
        });
        let Some(at) = likeliest else { break };
        let Next {
            score,
            parent,
            above,
            rank,
        } = open.remove(at);
        let depth = tree.depth(parent);
        let (token, chance) = levels[depth][rank];
        let node = tree.add(parent, token, chance.exp());
        open.extend(next(node, depth + 1, score, 0));
        open.extend(next(parent, depth, above, rank + 1));
    }
    tree
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sample::uniform;

    /// Candidates of four heads, likeliest first.
    fn levels() -> Vec<Candidates> {
        let level = |depth: u64| {
            let mut chances: Vec<f32> = (0..6)
                .map(|rank| (uniform(depth, rank) as f32 * 0.3 + 0.01).ln())
                .collect();
            chances.sort_by(|a, b| b.total_cmp(a));
            let named = chances.iter().zip(0..);
            named
                .map(|(&chance, rank)| (10 * depth as u32 + rank, chance))
                .collect()
        };
        (0..4).map(level).collect()
    }

    /// All paths of ranks below `top_k`, with their scores.
    fn all(levels: &[Candidates], top_k: usize) -> Vec<(Vec<u32>, f32)> {
        let mut all = Vec::new();
        let mut last = vec![(Vec::new(), 0.0)];
        for level in levels {
            let extended = last.iter().flat_map(|(path, score)| {
                level.iter().take(top_k).map(move |(token, chance)| {
                    let path: Vec<u32> = path.iter().chain([token]).copied().collect();
                    (path, score + chance)
                })
            });
            last = extended.collect();
            all.extend(last.clone());
        }
        all.sort_by(|a, b| b.1.total_cmp(&a.1));
        all
    }

    #[test]
    fn the_likeliest_products_are_kept() {
        let levels = levels();
        for (top_k, depth, nodes) in [(6, 4, 30), (2, 4, 12), (3, 2, 100), (1, 3, 3), (6, 4, 1)] {
            let growth = Growth {
                top_k,
                depth,
                nodes,
            };
            let tree = best_first(99, &levels, growth);
            let mut expected = all(&levels[..depth], top_k);
            expected.truncate(nodes);
            let mut expected: Vec<_> = expected.into_iter().map(|e| e.0).collect();
            let path = |node| -> Vec<u32> {
                let path = tree.path(node);
                path[1..].iter().map(|&n| tree.token(n)).collect()
            };
            let mut found: Vec<_> = (1..tree.len()).map(path).collect();
            expected.sort();
            found.sort();
            assert_eq!(found, expected, "{growth:?}");
        }
    }

    #[test]
    fn what_is_not_a_number_is_no_candidate() {
        let growth = Growth {
            top_k: 2,
            depth: 2,
            nodes: 9,
        };
        let levels = [vec![(1, -0.1), (2, f32::NAN)], vec![(3, f32::NAN)]];
        assert_eq!(best_first(9, &levels, growth).len(), 2);
        assert_eq!(best_first(9, &[], growth), Tree::new(9));
    }
}
