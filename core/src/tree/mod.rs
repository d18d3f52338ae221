//! A tree of drafted tokens. No tensors here: a forward pass sees it as rows with paths.

pub mod published;
mod shape;

pub use shape::Shape;

use crate::ops::ranking::Node;

/// Drafted tokens that continue the last emitted one, the root.
///
/// Node 0 is the root; every other node comes after its parent, so a path is read by
/// walking parents down to 0. Each node carries an estimate of how likely it is to be
/// accepted, which decides what is worth verifying and never what is emitted.
#[derive(Clone, Debug, PartialEq)]
pub struct Tree {
    tokens: Vec<u32>,
    parents: Vec<u32>,
    depths: Vec<u32>,
    chances: Vec<f32>,
}

impl Tree {
    /// The root alone: nothing is drafted.
    pub fn new(root: u32) -> Self {
        Self {
            tokens: vec![root],
            parents: vec![0],
            depths: vec![0],
            chances: vec![1.0],
        }
    }

    /// The root and a chain of tokens, each the child of the one before, all sure.
    pub fn chain(root: u32, tokens: &[u32]) -> Self {
        let mut tree = Self::new(root);
        tree.graft(0, tokens, 1.0);
        tree
    }

    /// Adds a child and returns its node; `chance` is that of the child being accepted
    /// if its parent is. Adding a token that the parent has already returns the node
    /// that is there: two children of one token would be one too many.
    pub fn add(&mut self, parent: usize, token: u32, chance: f32) -> usize {
        self.child(parent, token)
            .unwrap_or_else(|| self.push(parent, token, chance))
    }

    fn push(&mut self, parent: usize, token: u32, chance: f32) -> usize {
        self.tokens.push(token);
        self.parents.push(parent as u32);
        self.depths.push(self.depths[parent] + 1);
        // NaN counts as hopeless.
        let chance = if chance > 0.0 { chance.min(1.0) } else { 0.0 };
        self.chances.push(chance);
        self.tokens.len() - 1
    }

    /// Of nodes that a device ranked, each after its parent, the first `count`: node n is the
    /// n-th of them.
    pub fn ranked(root: u32, nodes: impl Iterator<Item = Node>, count: usize) -> Self {
        let mut tree = Self::new(root);
        for node in nodes.take(count) {
            if node.parent >= tree.len() {
                break; // It is no tree.
            }
            tree.push(node.parent, node.token, node.log_chance.exp());
        }
        tree
    }

    /// Adds a chain of tokens below a node, sharing the prefix that is there already.
    pub fn graft(&mut self, parent: usize, tokens: &[u32], chance: f32) {
        let add = |node, &token: &u32| self.add(node, token, chance);
        tokens.iter().fold(parent, add);
    }

    /// Raises the estimate of a node that another source of drafts believes in too;
    /// never lowers it.
    pub fn raise(&mut self, node: usize, chance: f32) {
        self.chances[node] = self.chances[node].max(chance.min(1.0));
    }

    /// Drops all but the first `count` nodes below the root.
    pub fn truncate(&mut self, count: usize) {
        self.tokens.truncate(count + 1);
        self.parents.truncate(count + 1);
        self.depths.truncate(count + 1);
        self.chances.truncate(count + 1);
    }

    /// Drops all but the `count` nodes below the root that are likeliest to be accepted,
    /// their ancestors included. Where chances tie the earlier node stays, so that no
    /// child outlives its parent.
    pub fn keep_likeliest(&mut self, count: usize) {
        if self.len() <= count + 1 {
            return;
        }
        let mut reach = vec![1.0f32];
        for node in 1..self.len() {
            reach.push(reach[self.parent(node)] * self.chances[node]);
        }
        let mut order: Vec<usize> = (1..self.len()).collect();
        order.sort_by(|&a, &b| reach[b].total_cmp(&reach[a]).then(a.cmp(&b)));
        let mut keep = vec![false; self.len()];
        order[..count].iter().for_each(|&node| keep[node] = true);
        self.retain(&keep);
    }

    /// Drops every node that `keep` (one entry a node) does not hold, and with a node
    /// all its descendants. The root stays.
    pub fn retain(&mut self, keep: &[bool]) {
        let old = std::mem::replace(self, Self::new(self.tokens[0]));
        let mut moved = vec![None; old.len()];
        moved[0] = Some(0);
        for node in 1..old.len() {
            if let (true, Some(parent)) = (keep[node], moved[old.parents[node] as usize]) {
                moved[node] = Some(self.add(parent, old.tokens[node], old.chances[node]));
            }
        }
    }

    /// The child of `parent` that holds `token`.
    pub fn child(&self, parent: usize, token: u32) -> Option<usize> {
        self.children(parent)
            .find(|&node| self.tokens[node] == token)
    }

    /// The children of a node, in the order in which they were added.
    pub fn children(&self, parent: usize) -> impl Iterator<Item = usize> {
        (parent + 1..self.len()).filter(move |&node| self.parents[node] as usize == parent)
    }

    /// The number of nodes, the root included; never 0.
    #[allow(clippy::len_without_is_empty)] // A tree has a root.
    pub fn len(&self) -> usize {
        self.tokens.len()
    }

    /// A node's token.
    pub fn token(&self, node: usize) -> u32 {
        self.tokens[node]
    }

    /// A node's parent; the root is its own.
    pub fn parent(&self, node: usize) -> usize {
        self.parents[node] as usize
    }

    /// The estimated chance that a node is accepted if its parent is; 1 for the root.
    pub fn chance(&self, node: usize) -> f32 {
        self.chances[node]
    }

    /// A node's distance from the root.
    pub fn depth(&self, node: usize) -> usize {
        self.depths[node] as usize
    }

    /// The deepest node's depth: 0 for a root alone.
    pub fn height(&self) -> usize {
        self.depths.iter().copied().max().unwrap_or(0) as usize
    }

    /// The nodes from the root to `node`, both included.
    pub fn path(&self, node: usize) -> Vec<usize> {
        let mut path = vec![node];
        let mut at = node;
        while at != 0 {
            at = self.parents[at] as usize;
            path.push(at);
        }
        path.reverse();
        path
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn chains_share_their_prefix() {
        let mut tree = Tree::chain(7, &[1, 2, 3]);
        tree.graft(0, &[1, 2, 4], 0.5);
        tree.graft(0, &[5], f32::NAN);
        assert_eq!((tree.len(), tree.height()), (6, 3));
        assert_eq!(tree.path(4), [0, 1, 2, 4]);
        assert_eq!((tree.token(4), tree.chance(4)), (4, 0.5));
        assert_eq!(tree.child(0, 5), Some(5));
        assert_eq!(tree.child(1, 5), None);
        assert_eq!(tree.children(2).collect::<Vec<_>>(), [3, 4]);
        assert_eq!(tree.chance(5), 0.0);
    }

    #[test]
    fn a_dropped_node_takes_its_descendants_along() {
        let mut tree = Tree::chain(7, &[1, 2, 3]);
        tree.graft(0, &[1, 4], 1.0);
        tree.retain(&[true, true, false, true, true]);
        let mut expected = Tree::chain(7, &[1]);
        expected.graft(0, &[1, 4], 1.0);
        assert_eq!(tree, expected);
    }

    #[test]
    fn the_likeliest_nodes_stay_and_stay_connected() {
        let mut tree = Tree::new(7);
        tree.graft(0, &[1, 2], 0.5);
        tree.graft(0, &[3, 4], 0.9);
        tree.graft(0, &[5], 0.5);
        tree.keep_likeliest(3);
        let mut expected = Tree::new(7);
        expected.graft(0, &[1], 0.5);
        expected.graft(0, &[3, 4], 0.9);
        assert_eq!(tree, expected);
        // Certain and hopeless children tie with their parents and come after them.
        for chance in [1.0, 0.0] {
            let mut tree = Tree::new(7);
            tree.graft(0, &[1, 2, 3], chance);
            tree.keep_likeliest(2);
            assert_eq!((tree.len(), tree.height()), (3, 2));
        }
    }

    #[test]
    fn estimates_only_rise() {
        let mut tree = Tree::new(7);
        let node = tree.add(0, 1, 0.5);
        tree.raise(node, 0.3);
        assert_eq!(tree.chance(node), 0.5);
        tree.raise(node, 2.0);
        assert_eq!(tree.chance(node), 1.0);
    }
}
