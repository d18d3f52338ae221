//! Static trees: the nodes of a fixed shape, filled with a drafter's candidates.

use super::{Budget, Candidates};
use crate::error::Result;
use crate::tree::{Shape, Tree};

/// Fills a shape. `first` are the root's candidates; `expand` gives those of the nodes
/// of a level that have children, in one pass: it is told their numbers in the tree and in
/// the shape. Where there are fewer candidates than the shape has children, or no room in
/// the budget, nodes are left out with all below them, and so is a level that is not worth
/// the budget's price.
pub(super) async fn fill(
    root: u32,
    first: Candidates,
    shape: &Shape,
    budget: Budget,
    mut expand: impl AsyncFnMut(&Tree, &[usize], &[usize]) -> Result<Vec<Candidates>>,
) -> Result<Tree> {
    let mut tree = Tree::new(root);
    // The tree's node of each of the shape's.
    let mut nodes = vec![None; shape.len()];
    nodes[0] = Some(0);
    let (mut expanded, mut candidates) = (vec![0], vec![first]);
    // The chance of each of the tree's nodes, its ancestors included.
    let mut chances = vec![1.0];
    for depth in 1..=shape.height().min(budget.depth) {
        if depth > 1 {
            let inner = shape.level(depth - 1).filter(|&node| !shape.is_leaf(node));
            let inner = inner.filter_map(|place| Some((nodes[place]?, place)));
            let places: Vec<usize>;
            (expanded, places) = inner.unzip();
            let mass: f32 = expanded.iter().map(|&node| chances[node]).sum();
            if expanded.is_empty() || mass < budget.price {
                break;
            }
            candidates = expand(&tree, &expanded, &places).await?;
        }
        for node in shape.level(depth) {
            let parent = nodes[shape.parent(node)];
            let Some(at) = expanded.iter().position(|&n| Some(n) == parent) else {
                continue;
            };
            if let Some(&(token, log_chance)) = candidates[at].get(shape.rank(node))
                && tree.len() <= budget.nodes
            {
                let added = tree.add(expanded[at], token, log_chance.exp());
                if added == chances.len() {
                    chances.push(chances[expanded[at]] * tree.chance(added));
                }
                nodes[node] = Some(added);
            }
        }
    }
    Ok(tree)
}

#[cfg(test)]
mod tests {
    use super::super::testing::now;
    use super::*;
    use crate::tree::published::EAGLE1;

    /// Ten candidates that name their parent's depth and their own rank.
    fn ranked(depth: usize) -> Candidates {
        (0..10)
            .map(|rank| (10 * depth as u32 + rank, -(rank as f32)))
            .collect()
    }

    fn filled(shape: &Shape, budget: Budget) -> (Tree, Vec<usize>) {
        let mut passes = Vec::new();
        let tree = now(fill(7, ranked(0), shape, budget, async |tree, nodes, _| {
            passes.push(nodes.len());
            Ok(nodes.iter().map(|&node| ranked(tree.depth(node))).collect())
        }));
        (tree.unwrap(), passes)
    }

    #[test]
    fn a_filled_tree_has_the_shape_and_only_inner_nodes_are_expanded() {
        let shape: Shape = EAGLE1.parse().unwrap();
        let room = Budget::new(25, 5);
        let (tree, passes) = filled(&shape, room);
        assert_eq!(passes, [4, 4, 1, 1]);
        assert_eq!(tree.len(), shape.len());
        for node in 1..tree.len() {
            let rank = shape.rank(node);
            assert_eq!(tree.parent(node), shape.parent(node));
            let token = 10 * (tree.depth(node) as u32 - 1) + rank as u32;
            let chance = (-(rank as f32)).exp();
            assert_eq!((tree.token(node), tree.chance(node)), (token, chance));
        }
    }

    #[test]
    fn budgets_and_missing_candidates_leave_nodes_out() {
        let shape: Shape = EAGLE1.parse().unwrap();
        let (tree, passes) = filled(&shape, Budget::new(9, 2));
        assert_eq!((tree.len(), tree.height(), passes.len()), (10, 2, 1));
        let (tree, passes) = filled(&shape, Budget::new(9, 0));
        assert_eq!((tree.len(), passes.len()), (1, 0));
        let few = || vec![(1, -0.5), (2, -1.0)];
        let room = Budget::new(25, 5);
        let tree = now(fill(7, few(), &shape, room, async |_, nodes, _| {
            Ok(vec![few(); nodes.len()])
        }));
        // Ranks 2 and 3 are not there: of 4/8/8/3/2 nodes 2/4/5/2/2 are left.
        let tree = tree.unwrap();
        assert_eq!((tree.len(), tree.height()), (16, 5));
        // The inner nodes of the third level are one, whose chance is 1.
        let dear = Budget { price: 1.1, ..room };
        let (tree, passes) = filled(&shape, dear);
        assert_eq!((passes.len(), tree.height()), (2, 3));
        let (tree, passes) = filled(&shape, Budget { price: 9.0, ..room });
        assert_eq!((passes.len(), tree.height()), (0, 1));
        let none = fill(7, vec![], &shape, room, async |_, _, _| Ok(vec![]));
        assert_eq!(now(none).unwrap(), Tree::new(7));
    }
}
