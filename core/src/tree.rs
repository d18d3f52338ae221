//! A tree of drafted tokens. No tensors here: a forward pass sees it as rows with paths.

/// Drafted tokens that continue the last emitted one, the root.
///
/// Node 0 is the root; every other node comes after its parent, so a path is read by
/// walking parents down to 0.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tree {
    tokens: Vec<u32>,
    parents: Vec<u32>,
    depths: Vec<u32>,
}

impl Tree {
    /// The root alone: nothing is drafted.
    pub fn new(root: u32) -> Self {
        Self {
            tokens: vec![root],
            parents: vec![0],
            depths: vec![0],
        }
    }

    /// The root and a chain of tokens, each the child of the one before.
    pub fn chain(root: u32, tokens: &[u32]) -> Self {
        let mut tree = Self::new(root);
        tree.graft(0, tokens);
        tree
    }

    /// Adds a child and returns its node. Adding a token that the parent has already
    /// returns the node that is there: two children of one token would be one too many.
    pub fn add(&mut self, parent: usize, token: u32) -> usize {
        if let Some(node) = self.child(parent, token) {
            return node;
        }
        self.tokens.push(token);
        self.parents.push(parent as u32);
        self.depths.push(self.depths[parent] + 1);
        self.tokens.len() - 1
    }

    /// Adds a chain of tokens below a node, sharing the prefix that is there already.
    pub fn graft(&mut self, parent: usize, tokens: &[u32]) {
        tokens
            .iter()
            .fold(parent, |node, &token| self.add(node, token));
    }

    /// The child of `parent` that holds `token`.
    pub fn child(&self, parent: usize, token: u32) -> Option<usize> {
        (parent + 1..self.len())
            .find(|&node| self.parents[node] as usize == parent && self.tokens[node] == token)
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
        tree.graft(0, &[1, 2, 4]);
        tree.graft(0, &[5]);
        assert_eq!((tree.len(), tree.height()), (6, 3));
        assert_eq!(tree.path(4), [0, 1, 2, 4]);
        assert_eq!(tree.token(4), 4);
        assert_eq!(tree.child(0, 5), Some(5));
        assert_eq!(tree.child(1, 5), None);
    }
}
