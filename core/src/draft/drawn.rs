//! Children that are drawn, and what they were drawn from.

use std::collections::HashMap;

use crate::sample::Distribution;
use crate::tree::Tree;

/// What the children of a tree's nodes were drawn from. Children of a node that is not
/// here were chosen: each is certain, given the text.
#[derive(Clone, Debug, Default)]
pub struct Drawn(HashMap<usize, Distribution>);

impl Drawn {
    /// Draws up to `count` children of a node without replacement, each from what `draft`
    /// is without those before it, and returns them. There are fewer where `draft` has no
    /// more tokens. `uniform` gives each child its random number, in [0, 1).
    ///
    /// A node's children are drawn in one go, and stay: a tree that is pruned afterwards
    /// by what they hold was not drawn from `draft`.
    pub fn draw(
        &mut self,
        tree: &mut Tree,
        parent: usize,
        draft: Distribution,
        count: usize,
        mut uniform: impl FnMut(usize) -> f64,
    ) -> Vec<usize> {
        let mut left = draft.clone();
        let mut children = Vec::with_capacity(count);
        for _ in 0..count {
            let token = left.draw(uniform(tree.len()));
            children.push(tree.add(parent, token, left.probability(token) as f32));
            if !left.remove(token) {
                break;
            }
        }
        self.0.insert(parent, draft);
        children
    }

    /// What a node's children were drawn from, if they were.
    pub fn from(&self, node: usize) -> Option<&Distribution> {
        self.0.get(&node)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn children_are_drawn_without_replacement() {
        let (mut tree, mut drawn) = (Tree::new(9), Drawn::default());
        let draft = Distribution::new(vec![1.0, 0.0, 1.0, 2.0]);
        let numbers = [0.0, 0.3, 0.6, 0.9];
        let children = drawn.draw(&mut tree, 0, draft.clone(), 4, |node| numbers[node]);
        // 0.3 of all is 2, 0.6 of what is left is 3, and after 0 nothing is left.
        let tokens: Vec<u32> = children.iter().map(|&node| tree.token(node)).collect();
        assert_eq!(tokens, [2, 3, 0]);
        let chances: Vec<f32> = children.iter().map(|&node| tree.chance(node)).collect();
        assert_eq!(chances, [0.25, 2.0 / 3.0, 1.0]);
        assert_eq!(drawn.from(0), Some(&draft));
        assert_eq!(drawn.from(1), None);
    }
}
