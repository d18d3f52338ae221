//! Lookahead decoding: the target drafts for itself, a few tokens ahead at a time.
//!
//! Fu et al., "Break the Sequential Dependency of LLM Inference Using Lookahead
//! Decoding" (2024). Beside the root, each forward pass runs a *window*, a block of
//! guesses that the target refines by Jacobi iteration, and *guesses*, n-grams from the
//! *pool* that begin with the root. What the window gives goes into the pool.
//!
//! Both parts are branches of one tree, which verification may walk wherever it agrees.

mod pool;
mod window;

use std::future::{Future, ready};
use std::pin::Pin;

use self::pool::Pool;
use self::window::Window;
use super::{Budget, Drafter};
use crate::error::{Error, Result};
use crate::tree::Tree;

/// The three numbers of the paper.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LookaheadOptions {
    /// N: tokens of an n-gram. The window has N - 1 levels.
    pub ngram: usize,
    /// W: columns of the window.
    pub window: usize,
    /// G: n-grams that are tried in a round, and kept for each first token.
    pub guesses: usize,
}

impl Default for LookaheadOptions {
    fn default() -> Self {
        Self {
            ngram: 5,
            window: 7,
            guesses: 7,
        }
    }
}

impl LookaheadOptions {
    /// Refuses what is no window.
    ///
    /// # Errors
    /// N is below 2, W or G is 0, or a round would run more than 256 tokens.
    pub fn check(&self) -> Result<()> {
        let Self {
            ngram,
            window,
            guesses,
        } = *self;
        if ngram < 2 || window == 0 || guesses == 0 {
            return Err(Error::Invalid(format!(
                "lookahead needs n-grams of 2 tokens or more, a window and guesses of 1 or \
                 more; got {ngram},{window},{guesses}"
            )));
        }
        let nodes = (ngram - 1).checked_mul(window.saturating_add(guesses));
        if nodes.is_none_or(|nodes| nodes > MOST_NODES) {
            return Err(Error::Invalid(format!(
                "lookahead with {ngram},{window},{guesses} would run (N - 1) (W + G) tokens a \
                 round: {MOST_NODES} are the most"
            )));
        }
        Ok(())
    }

    /// What a round drafts at most.
    pub fn budget(&self) -> Budget {
        let levels = self.ngram - 1;
        // While it fills, the window has more columns and fewer levels.
        let nodes = levels * (self.window + self.guesses) + levels * levels / 4;
        Budget::new(nodes, self.window + levels)
    }
}

const MOST_NODES: usize = 256;

/// The estimate of a guess, and of a window's token, to be right if its parent is: the
/// window is run for what comes of it.
const GUESS: f32 = 0.3;
const WINDOW: f32 = 0.05;

/// The lookahead drafter.
pub struct Lookahead {
    options: LookaheadOptions,
    pool: Pool,
    /// None until the first round of an answer.
    window: Option<Window>,
}

impl Lookahead {
    /// A drafter for one sequence.
    ///
    /// # Errors
    /// As [`LookaheadOptions::check`].
    pub fn new(options: LookaheadOptions) -> Result<Self> {
        options.check()?;
        Ok(Self {
            options,
            pool: Pool::new(options.guesses),
            window: None,
        })
    }

    fn draft(&mut self, context: &[u32], budget: Budget) -> Tree {
        let Some(&root) = context.last() else {
            return Tree::new(0);
        };
        let (options, pool) = (self.options, &mut self.pool);
        let window = self.window.get_or_insert_with(|| {
            // The pool begins with the prompt's own n-grams.
            context.windows(options.ngram).for_each(|n| pool.insert(n));
            Window::new(options, context)
        });
        let mut tree = Tree::new(root);
        for guess in self.pool.after(root) {
            let mut node = Some(0);
            for &token in guess {
                node = node.and_then(|node| place(&mut tree, node, token, GUESS, budget));
            }
        }
        window.plant(&mut tree, budget);
        tree
    }
}

/// The child of a node that holds a token, added if the budget has room for it.
fn place(tree: &mut Tree, parent: usize, token: u32, chance: f32, budget: Budget) -> Option<usize> {
    let room = tree.len() <= budget.nodes && tree.depth(parent) < budget.depth;
    match tree.child(parent, token) {
        None if room => Some(tree.add(parent, token, chance)),
        child => child,
    }
}

impl Drafter for Lookahead {
    fn name(&self) -> &'static str {
        "lookahead"
    }

    fn propose<'a>(
        &'a mut self,
        context: &'a [u32],
        budget: Budget,
    ) -> Pin<Box<dyn Future<Output = Result<Tree>> + 'a>> {
        Box::pin(ready(Ok(self.draft(context, budget))))
    }

    fn wants_choices(&self) -> bool {
        true
    }

    fn note_choices(&mut self, tree: &Tree, choices: &[u32]) {
        let ngrams = self.window.as_mut().map(|w| w.advance(tree, choices));
        for ngram in ngrams.unwrap_or_default() {
            self.pool.insert(&ngram);
        }
    }

    fn truncate(&mut self, len: usize) -> usize {
        // A new prompt: its window begins anew, what the pool knows stays.
        self.window = None;
        len
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const OPTIONS: LookaheadOptions = LookaheadOptions {
        ngram: 3,
        window: 2,
        guesses: 2,
    };
    const ROOM: Budget = Budget::new(99, 99);

    #[test]
    fn guesses_come_from_the_prompt_at_first_and_budgets_bind() {
        let mut drafter = Lookahead::new(OPTIONS).unwrap();
        let prompt = [5, 1, 2, 5, 3, 4, 5, 6, 7, 5];
        let tree = drafter.draft(&prompt, ROOM);
        // The two most recent continuations of 5.
        let first = tree.child(0, 6).unwrap();
        assert!(tree.child(first, 7).is_some());
        let second = tree.child(0, 3).unwrap();
        assert!(tree.child(second, 4).is_some());
        assert_eq!(tree.chance(first), GUESS);
        for (nodes, depth) in [(0, 9), (9, 0), (1, 1), (3, 9), (5, 2)] {
            let budget = Budget::new(nodes, depth);
            let tree = drafter.draft(&prompt, budget);
            assert!(tree.len() <= nodes + 1 && tree.height() <= depth);
        }
    }

    /// A target that counts: after t comes t + 1. Its n-grams are found by the window
    /// alone, and a budget as promised is enough for every round.
    #[test]
    fn what_the_window_gives_is_guessed_later() {
        let options = LookaheadOptions::default();
        let mut drafter = Lookahead::new(options).unwrap();
        let mut context = vec![50, 10, 30];
        let mut accepted = Vec::new();
        for _ in 0..60 {
            let tree = drafter.draft(&context, ROOM);
            let promised = options.budget();
            assert!(tree.len() <= promised.nodes + 1 && tree.height() <= promised.depth);
            let choices: Vec<u32> = (0..tree.len()).map(|n| (tree.token(n) + 1) % 64).collect();
            drafter.note_choices(&tree, &choices);
            let (mut node, mut depth) = (0, 0);
            loop {
                context.push(choices[node]);
                let Some(child) = tree.child(node, choices[node]) else {
                    break;
                };
                (node, depth) = (child, depth + 1);
            }
            accepted.push(depth);
        }
        assert!(accepted[..2].iter().sum::<usize>() < 4, "{accepted:?}");
        assert!(accepted[30..].iter().all(|&n| n >= 4), "{accepted:?}");
    }

    #[test]
    fn numbers_that_make_no_window_are_refused() {
        for (ngram, window, guesses) in [(1, 7, 7), (5, 0, 7), (5, 7, 0), (5, 60, 60)] {
            let options = LookaheadOptions {
                ngram,
                window,
                guesses,
            };
            let error = options.check().unwrap_err().to_string();
            assert!(error.contains(&format!("{ngram},{window},{guesses}")));
        }
        let most = LookaheadOptions {
            ngram: usize::MAX,
            window: usize::MAX,
            guesses: usize::MAX,
        };
        assert!(most.check().is_err());
    }
}
