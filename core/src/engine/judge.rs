//! Which nodes of a tree stand, by the rule that its sequence asks for.

use super::draws::Draws;
use super::sequence::Sequence;
use super::watch::Watch;
use crate::draft::Drawn;
use crate::error::Result;
use crate::sample::{Stream, uniform_in};
use crate::tree::Tree;
use crate::verify::{self, Verdict, Verification};

impl Draws {
    /// Judges the tree whose root is row `first_row`. Each row is asked for once; `watch`
    /// sees those that tokens of sequence `index` are drawn from.
    pub(super) fn judge(
        &mut self,
        first_row: usize,
        tree: &Tree,
        drawn: &Drawn,
        (index, sequence): (usize, &Sequence),
        watch: &mut dyn Watch,
    ) -> Result<Verdict> {
        let path = |node| {
            let path = tree.path(node);
            let path: Vec<u32> = path[1..].iter().map(|&n| tree.token(n)).collect();
            path.into_iter()
        };
        // A child is accepted, and a bonus drawn, at the position that it would take.
        let uniform = |stream, node: usize| {
            let (parent, index) = match stream {
                Stream::Target => (node, 0),
                _ => (tree.parent(node), node as u32),
            };
            let position = (sequence.tokens.len() + tree.depth(parent)) as u64;
            uniform_in(stream, sequence.options.sampling.seed, position, index)
        };
        let mut target = |node| self.distribution(first_row + node, sequence, path(node));
        match sequence.options.rule() {
            Verification::Exact => verify::walk(tree, |node| {
                if let Some(logits) = self.logits(first_row + node) {
                    watch.logits(index, logits);
                }
                self.at(first_row + node, sequence, path(node))
            }),
            Verification::Rejection => {
                verify::rejection(tree, target, |node| drawn.from(node), uniform)
            }
            Verification::Typical => {
                verify::typical(tree, &mut target, |node| uniform(Stream::Target, node))
            }
        }
    }
}
