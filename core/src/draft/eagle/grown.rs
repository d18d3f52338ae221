//! A tree that is looked at level by level, as far as it has grown.

use std::collections::HashMap;

use burn::tensor::Tensor;

use crate::cache::Table;
use crate::ops::Rows;
use crate::tree::Tree;

/// The outputs that the next level of a tree goes on from.
pub(super) struct Grown {
    /// `[nodes, hidden]`
    pub(super) outputs: Tensor<2>,
    /// The nodes of the rows of `outputs`.
    pub(super) nodes: Vec<usize>,
    /// The slot of every node that was expanded.
    slots: HashMap<usize, u32>,
    /// The same, in the order in which they were taken from the cache.
    pub(super) borrowed: Vec<u32>,
}

impl Grown {
    /// The root's own output.
    pub(super) fn new(outputs: Tensor<2>) -> Self {
        Self {
            outputs,
            nodes: vec![0],
            slots: Default::default(),
            borrowed: Vec::new(),
        }
    }

    /// The rows of a frontier, and where each one's parent is among the outputs.
    pub(super) fn rows<'a>(
        &mut self,
        pairs: &'a Table,
        tree: &Tree,
        frontier: &[usize],
        slots: &[u32],
    ) -> (Vec<u32>, Rows<'a>) {
        let mut rows = Rows::default();
        let table = rows.add_table(pairs.slots());
        let mut parents = Vec::with_capacity(frontier.len());
        for (&node, &slot) in frontier.iter().zip(slots) {
            self.slots.insert(node, slot);
            // The root has its pair in the table; its descendants have their slots.
            let path = tree.path(node);
            let path: Vec<u32> = path[1..].iter().map(|n| self.slots[n]).collect();
            rows.push(tree.token(node), slot, table, pairs.len() as u32, &path);
            let parent = tree.parent(node);
            let row = self.nodes.iter().position(|&n| n == parent);
            parents.push(row.unwrap_or(0) as u32);
        }
        (parents, rows)
    }
}
