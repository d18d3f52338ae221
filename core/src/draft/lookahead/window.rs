//! The window: W columns of tokens that the target keeps refining.
//!
//! Level 0 is a guess of what comes; each further level is what the target made of the
//! level before, one round later. A column from top to bottom is thus a run of tokens
//! that each follow from the one above, and with the target's newest answer an n-gram.
//!
//! Token (level l, column j) stands at position root + 1 + j + l and sees level 0 up to
//! column j, then its own column down to itself. That is a path: level 0 hangs below the
//! root as a chain, each column below its own token of level 0. Tokens that agree share a
//! node, which sees the same and therefore has the same answer.

use super::{LookaheadOptions, WINDOW, place};
use crate::draft::Budget;
use crate::sample::uniform;
use crate::tree::Tree;

/// The tokens, level by level; all levels have as many columns.
pub(super) struct Window {
    levels: Vec<Vec<u32>>,
    /// The levels of a full window: N - 1.
    height: usize,
}

/// Seeds the first level. Drafts must not depend on the sampler's draws; these do not.
const SEED: u64 = 0x100C;

impl Window {
    /// One level, of tokens of the context picked at random. Each round that adds a level
    /// uses up a column, so that W are left when the window is full.
    pub fn new(options: LookaheadOptions, context: &[u32]) -> Self {
        let height = options.ngram - 1;
        let pick = |column: usize| {
            let at = uniform(SEED, column as u64) * context.len() as f64;
            context[at as usize]
        };
        let columns = options.window + height - 1;
        Self {
            levels: vec![(0..columns).map(pick).collect()],
            height,
        }
    }

    /// Adds the window below the root, as far as the budget goes.
    pub fn plant(&self, tree: &mut Tree, budget: Budget) {
        let mut above = Some(0);
        for column in 0..self.levels[0].len() {
            let mut node = above;
            for (index, level) in self.levels.iter().enumerate() {
                let token = level[column];
                node = node.and_then(|node| place(tree, node, token, WINDOW, budget));
                if index == 0 {
                    above = node;
                }
            }
        }
    }

    /// Takes the target's choices after the nodes of a tree and moves on by one position.
    /// Returns the n-grams that they complete. Where the tree does not hold the whole
    /// window it stays as it is: that is the end of an answer.
    pub fn advance(&mut self, tree: &Tree, choices: &[u32]) -> Vec<Vec<u32>> {
        let newest = self.deepest(tree);
        let newest: Option<Vec<u32>> = newest
            .into_iter()
            .map(|node| node.map(|node| choices[node]))
            .collect();
        let Some(newest) = newest else {
            return Vec::new();
        };
        self.levels.push(newest);
        if self.levels.len() <= self.height {
            // Everything comes one position nearer.
            for level in &mut self.levels {
                level.remove(0);
            }
            return Vec::new();
        }
        let column = |j: usize| self.levels.iter().map(|level| level[j]).collect();
        let ngrams = (0..self.levels[0].len()).map(column).collect();
        // So it does here: (l, j) takes the place of (l - 1, j).
        self.levels.remove(0);
        ngrams
    }

    /// The node of each column's last token.
    fn deepest(&self, tree: &Tree) -> Vec<Option<usize>> {
        let child = |node: Option<usize>, token| tree.child(node?, token);
        let mut above = Some(0);
        let mut nodes = Vec::new();
        for column in 0..self.levels[0].len() {
            above = child(above, self.levels[0][column]);
            let rest = self.levels[1..].iter();
            nodes.push(rest.fold(above, |node, level| child(node, level[column])));
        }
        nodes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const OPTIONS: LookaheadOptions = LookaheadOptions {
        ngram: 4,
        window: 3,
        guesses: 1,
    };
    const ROOM: Budget = Budget::new(99, 99);

    /// A stand-in for the target: what follows depends on the whole path.
    fn answer(tree: &Tree, node: usize) -> u32 {
        let path = tree.path(node);
        let mixed = path
            .iter()
            .fold(7u32, |h, &n| h.wrapping_mul(31) ^ tree.token(n));
        mixed % 1000
    }

    fn window(levels: &[&[u32]]) -> Window {
        Window {
            levels: levels.iter().map(|level| level.to_vec()).collect(),
            height: 3,
        }
    }

    #[test]
    fn tokens_see_level_0_up_to_their_column_and_their_own_column() {
        let window = window(&[&[1, 2, 3], &[11, 12, 13], &[21, 22, 23]]);
        let mut tree = Tree::new(9);
        window.plant(&mut tree, ROOM);
        assert_eq!(tree.len(), 1 + 9);
        let paths: Vec<Vec<u32>> = window
            .deepest(&tree)
            .into_iter()
            .map(|node| tree.path(node.unwrap()))
            .map(|path| path.into_iter().map(|n| tree.token(n)).collect())
            .collect();
        assert_eq!(
            paths,
            [
                vec![9, 1, 11, 21],
                vec![9, 1, 2, 12, 22],
                vec![9, 1, 2, 3, 13, 23]
            ]
        );
    }

    #[test]
    fn tokens_that_agree_share_a_node() {
        // Column 0 goes on as level 0 does.
        let window = window(&[&[1, 2, 3], &[2, 12, 13], &[3, 22, 23]]);
        let mut tree = Tree::new(9);
        window.plant(&mut tree, ROOM);
        assert_eq!(tree.len(), 1 + 7);
        assert_eq!(tree.path(window.deepest(&tree)[0].unwrap()).len(), 4);
    }

    #[test]
    fn it_fills_level_by_level_and_then_gives_w_ngrams_a_round() {
        let mut window = Window::new(OPTIONS, &[5, 6, 7, 8]);
        let sizes =
            |window: &Window| -> Vec<usize> { window.levels.iter().map(Vec::len).collect() };
        assert_eq!(sizes(&window), [5]);
        for (round, expected) in [&[4, 4][..], &[3, 3, 3], &[3, 3, 3], &[3, 3, 3]]
            .into_iter()
            .enumerate()
        {
            let before = window.levels.clone();
            let mut tree = Tree::new(100 + round as u32);
            window.plant(&mut tree, ROOM);
            let choices: Vec<u32> = (0..tree.len()).map(|n| answer(&tree, n)).collect();
            let newest: Vec<u32> = window
                .deepest(&tree)
                .iter()
                .map(|node| choices[node.unwrap()])
                .collect();
            let ngrams = window.advance(&tree, &choices);
            assert_eq!(sizes(&window), expected);
            if round < 2 {
                assert!(ngrams.is_empty());
                assert_eq!(window.levels[0], before[0][1..]);
                assert_eq!(window.levels[round + 1], newest[1..]);
                continue;
            }
            for j in 0..3 {
                let column = [before[0][j], before[1][j], before[2][j], newest[j]];
                assert_eq!(ngrams[j], column);
            }
            assert_eq!(window.levels[..2], before[1..]);
            assert_eq!(window.levels[2], newest);
        }
    }

    #[test]
    fn a_window_that_did_not_fit_waits() {
        let mut cut = window(&[&[1, 2, 3], &[11, 12, 13], &[21, 22, 23]]);
        let before = cut.levels.clone();
        for budget in [Budget::new(8, 9), Budget::new(9, 4)] {
            let mut tree = Tree::new(9);
            cut.plant(&mut tree, budget);
            assert!(tree.len() <= budget.nodes + 1 && tree.height() <= budget.depth);
            assert!(cut.advance(&tree, &[0; 10]).is_empty());
            assert_eq!(cut.levels, before);
        }
    }
}
