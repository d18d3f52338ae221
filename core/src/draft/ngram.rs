//! Prompt lookup: what followed the last few tokens when they occurred before.
//!
//! Saxena, "Prompt Lookup Decoding" (2023). No model, no training; it pays where an
//! answer repeats its context: summaries, edits, code.

use std::future::{Future, ready};
use std::pin::Pin;

use super::{Budget, Drafter};
use crate::error::Result;
use crate::tree::Tree;

/// How much context must repeat itself, and how much is copied from it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NgramOptions {
    /// Suffixes longer than this are not looked for.
    pub longest: usize,
    /// Suffixes shorter than this are no evidence.
    pub shortest: usize,
    /// Tokens copied after a match.
    pub copied: usize,
    /// Different continuations that are drafted, the latest first.
    pub branches: usize,
}

impl NgramOptions {
    /// What is copied onto a head's tree: longer matches say more.
    pub const GRAFTED: Self = Self {
        longest: 8,
        shortest: 2,
        copied: 5,
        branches: 1,
    };
}

impl Default for NgramOptions {
    fn default() -> Self {
        Self {
            longest: 4,
            shortest: 2,
            copied: 5,
            branches: 1,
        }
    }
}

/// The n-gram drafter.
pub struct Ngram(pub NgramOptions);

impl Ngram {
    /// The longest suffix of `context` that occurred before, as its length, and the tree of
    /// what followed it, its latest occurrence first. Length 0: none did.
    pub(super) fn lookup(&self, context: &[u32], budget: Budget) -> (usize, Tree) {
        let end = context.len();
        let mut tree = Tree::new(context.last().copied().unwrap_or_default());
        let copied = self.0.copied.min(budget.depth);
        let longest = self.0.longest.min(end.saturating_sub(1));
        for n in (self.0.shortest.max(1)..=longest).rev() {
            let suffix = &context[end - n..];
            let matches = (0..end - n)
                .rev()
                .filter(|&start| &context[start..start + n] == suffix);
            let mut branches = 0;
            for start in matches {
                let from = start + n;
                let room = budget.nodes + 1 - tree.len();
                let continuation = &context[from..end.min(from + copied.min(room))];
                let before = tree.len();
                tree.graft(0, continuation, chance(n));
                branches += usize::from(tree.len() > before);
                if branches == self.0.branches || tree.len() > budget.nodes {
                    break;
                }
            }
            if branches > 0 {
                return (n, tree);
            }
        }
        (0, tree)
    }
}

/// How likely each copied token is to be right after a match of `n` tokens: a rough
/// guess, which the engine corrects by what it sees.
pub(super) fn chance(n: usize) -> f32 {
    1.0 - 0.8f32.powi(n as i32)
}

impl Drafter for Ngram {
    fn name(&self) -> &'static str {
        "ngram"
    }

    fn propose<'a>(
        &'a mut self,
        context: &'a [u32],
        budget: Budget,
    ) -> Pin<Box<dyn Future<Output = Result<Tree>> + 'a>> {
        Box::pin(ready(Ok(self.lookup(context, budget).1)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ROOM: Budget = Budget::new(8, 8);

    fn lookup(options: NgramOptions, context: &[u32], budget: Budget) -> Tree {
        Ngram(options).lookup(context, budget).1
    }

    fn chain(root: u32, tokens: &[u32], n: usize) -> Tree {
        let mut tree = Tree::new(root);
        tree.graft(0, tokens, chance(n));
        tree
    }

    #[test]
    fn the_longest_suffix_wins_then_the_latest_occurrence() {
        let options = NgramOptions {
            copied: 2,
            ..Default::default()
        };
        // "2 3" occurs twice before, "1 2 3" once: the longer match decides.
        let context = [1, 2, 3, 10, 11, 9, 2, 3, 20, 21, 1, 2, 3];
        assert_eq!(lookup(options, &context, ROOM), chain(3, &[10, 11], 3));
        let context = [2, 3, 10, 11, 2, 3, 20, 21, 2, 3];
        assert_eq!(lookup(options, &context, ROOM), chain(3, &[20, 21], 2));
    }

    #[test]
    fn branches_are_different_continuations() {
        let options = NgramOptions {
            copied: 2,
            branches: 2,
            ..Default::default()
        };
        let context = [2, 3, 10, 11, 2, 3, 10, 12, 2, 3];
        let mut tree = chain(3, &[10, 12], 2);
        tree.graft(0, &[10, 11], chance(2));
        assert_eq!(lookup(options, &context, ROOM), tree);
    }

    #[test]
    fn nothing_repeats_nothing_is_drafted_and_budgets_bind() {
        let options = NgramOptions::default();
        assert_eq!(lookup(options, &[1, 2, 3], ROOM), Tree::new(3));
        assert_eq!(lookup(options, &[1], ROOM), Tree::new(1));
        let context = [2, 3, 4, 5, 6, 7, 2, 3];
        let nodes = Budget::new(2, 8);
        assert_eq!(lookup(options, &context, nodes), chain(3, &[4, 5], 2));
        let depth = Budget::new(8, 0);
        assert_eq!(lookup(options, &context, depth), Tree::new(3));
    }
}
