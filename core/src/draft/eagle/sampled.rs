//! EAGLE-1's way above temperature 0: a tree of fixed shape whose tokens are drawn.

use super::drafter::Eagle;
use super::grown::Grown;
use crate::draft::{Budget, Drawn, Growth, Shaping};
use crate::error::Result;
use crate::sample::{Sampling, Stream, uniform_in};
use crate::tree::Tree;

impl Eagle {
    /// A tree whose shape is settled before any token is drawn.
    pub(super) async fn draw(
        &mut self,
        context: &[u32],
        budget: Budget,
        sampling: &Sampling,
    ) -> Result<(Tree, Drawn)> {
        let root = context.last().copied().unwrap_or_default();
        let mut drawing = Drawing {
            tree: Tree::new(root),
            drawn: Drawn::default(),
            context,
            sampling,
        };
        if let Some(mut level) = self.begin(context, budget)? {
            let places = match &self.shaping {
                Shaping::Dynamic(growth) => cheapest(growth.within(budget)),
                Shaping::Static(shape) => shape.ranks(budget.nodes, budget.depth),
            };
            let done = self.draw_levels(&mut drawing, &mut level, &places).await;
            self.end(level);
            done?;
        }
        Ok((drawing.tree, drawing.drawn))
    }

    async fn draw_levels(
        &mut self,
        drawing: &mut Drawing<'_>,
        level: &mut Grown,
        shape: &Tree,
    ) -> Result<()> {
        // Nodes that are about to have children, each with its place in the shape.
        let mut parents = vec![(0, 0)];
        loop {
            let logits = self.target_logits(level).await?;
            let mut next = Vec::new();
            for (&(node, place), mut logits) in parents.iter().zip(logits) {
                let places: Vec<usize> = shape.children(place).collect();
                let children = drawing.children(node, &mut logits, places.len());
                next.extend(children.into_iter().zip(places));
            }
            next.retain(|&(_, place)| shape.children(place).next().is_some());
            parents = next;
            let frontier: Vec<usize> = parents.iter().map(|&(node, _)| node).collect();
            if frontier.is_empty() {
                return Ok(());
            }
            self.expand(level, &drawing.tree, &frontier)?;
        }
    }
}

/// A tree that is being drawn.
struct Drawing<'a> {
    tree: Tree,
    drawn: Drawn,
    context: &'a [u32],
    sampling: &'a Sampling,
}

impl Drawing<'_> {
    /// Draws a node's children from what its logits are once processed as the target's.
    fn children(&mut self, node: usize, logits: &mut [f32], count: usize) -> Vec<usize> {
        let path = self.tree.path(node);
        let path = path[1..].iter().map(|&node| self.tree.token(node));
        let history = self.context.iter().copied().chain(path);
        // A head whose output is not a number drafts nothing.
        let Ok(draft) = self.sampling.distribution(logits, history) else {
            return Vec::new();
        };
        let seed = self.sampling.seed;
        let position = (self.context.len() + self.tree.depth(node)) as u64;
        let uniform = |child| uniform_in(Stream::Draft, seed, position, child as u32);
        self.drawn.draw(&mut self.tree, node, draft, count, uniform)
    }
}

/// Where children are drawn if no shape is given: a tree whose tokens are ranks, 0 the
/// child drawn first. The ranks of a path are what it costs, plus one each; the cheapest
/// paths are taken. Which these are depends on no token.
fn cheapest(growth: Growth) -> Tree {
    let mut shape = Tree::new(0);
    let mut costs = vec![0];
    while shape.len() <= growth.nodes {
        let next = (0..shape.len()).map(|node| (node, shape.children(node).count()));
        let room = |&(node, rank): &(usize, usize)| {
            shape.depth(node) < growth.depth && rank < growth.top_k
        };
        let cost = |(node, rank): (usize, usize)| costs[node] + rank + 1;
        let Some(cheapest) = next.filter(room).min_by_key(|&place| cost(place)) else {
            break;
        };
        costs.push(cost(cheapest));
        shape.add(cheapest.0, cheapest.1 as u32, 1.0);
    }
    shape
}

#[cfg(test)]
mod tests {
    use super::*;

    fn paths(top_k: usize, depth: usize, nodes: usize) -> Vec<Vec<u32>> {
        let shape = cheapest(Growth {
            top_k,
            depth,
            nodes,
        });
        let ranks = |node| {
            let path = shape.path(node);
            path[1..].iter().map(|&n| shape.token(n)).collect()
        };
        (1..shape.len()).map(ranks).collect()
    }

    #[test]
    fn the_earliest_draws_have_the_most_descendants() {
        let expected: [&[u32]; 7] = [&[0], &[1], &[0, 0], &[2], &[0, 1], &[1, 0], &[0, 0, 0]];
        assert_eq!(paths(3, 3, 7), expected);
        assert_eq!(paths(1, 4, 9), [&[0][..], &[0, 0], &[0; 3], &[0; 4]]);
        assert_eq!(paths(2, 1, 9), [[0], [1]]);
        assert!(paths(0, 3, 4).is_empty() && paths(3, 0, 4).is_empty());
        assert_eq!(paths(3, 3, 0).len(), 0);
    }
}
