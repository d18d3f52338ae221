//! A drafter that knows the answer: what the engine costs, whatever the head.

use std::cell::RefCell;
use std::future::{Future, ready};
use std::pin::Pin;
use std::rc::Rc;

use eaglet_core::Result;
use eaglet_core::draft::{Budget, Drafter};
use eaglet_core::sample::uniform;
use eaglet_core::tree::Tree;

/// Prompt and answer of what is being answered, shared with who knows them.
pub type Truth = Rc<RefCell<Vec<u32>>>;

/// Proposes a chain whose every token is right with a chosen probability, at no cost.
///
/// A position is put to the test once, since a token is emitted there whatever becomes of
/// the draft; so numbers drawn by position make each test independent of all others.
pub struct Synthetic {
    /// What plain decoding said; nothing is proposed beyond it.
    pub truth: Truth,
    /// The chance of each token to be right, given that those before it are.
    pub acceptance: f64,
    pub seed: u64,
    pub vocab: u32,
}

impl Synthetic {
    fn draft(&self, context: &[u32], budget: Budget) -> Tree {
        let truth = self.truth.borrow();
        let start = context.len();
        let rest = truth.get(start..).unwrap_or_default();
        let token = |(position, &right): (usize, &u32)| match uniform(self.seed, position as u64)
            < self.acceptance
        {
            true => right,
            false => (right + 1) % self.vocab,
        };
        let depth = budget.depth.min(budget.nodes);
        let tokens: Vec<u32> = (start..).zip(rest).take(depth).map(token).collect();
        let mut tree = Tree::new(context.last().copied().unwrap_or_default());
        tree.graft(0, &tokens, self.acceptance as f32);
        tree
    }
}

impl Drafter for Synthetic {
    fn name(&self) -> &'static str {
        "synthetic"
    }

    fn propose<'a>(
        &'a mut self,
        context: &'a [u32],
        budget: Budget,
    ) -> Pin<Box<dyn Future<Output = Result<Tree>> + 'a>> {
        Box::pin(ready(Ok(self.draft(context, budget))))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Tokens a round, by the definition of a walk along the answer.
    fn tau(acceptance: f64, nodes: usize) -> f64 {
        let answer: Vec<u32> = (0..20_000).map(|i| i % 50).collect();
        let drafter = Synthetic {
            truth: Rc::new(RefCell::new(answer.clone())),
            acceptance,
            seed: 3,
            vocab: 50,
        };
        let budget = Budget::new(nodes, nodes);
        let (mut at, mut rounds) = (1, 0);
        while at < answer.len() {
            let tree = drafter.draft(&answer[..at], budget);
            let mut node = 0;
            while let Some(child) = answer.get(at).and_then(|&token| tree.child(node, token)) {
                (node, at) = (child, at + 1);
            }
            (at, rounds) = (at + 1, rounds + 1);
        }
        (answer.len() - 1) as f64 / f64::from(rounds)
    }

    #[test]
    fn acceptance_is_what_was_asked_for() {
        assert!((tau(1.0, 4) - 5.0).abs() < 0.01);
        assert!((tau(0.0, 4) - 1.0).abs() < 0.01);
        for a in [0.3f64, 0.8] {
            // 1 + a + .. + a^4.
            let expected = (1.0 - a.powi(5)) / (1.0 - a);
            assert!((tau(a, 4) / expected - 1.0).abs() < 0.03, "{a}");
        }
    }

    #[test]
    fn nothing_is_known_beyond_the_answer() {
        let drafter = Synthetic {
            truth: Rc::new(RefCell::new(vec![1, 2, 3])),
            acceptance: 1.0,
            seed: 0,
            vocab: 9,
        };
        let room = Budget::new(8, 8);
        assert_eq!(drafter.draft(&[1], room), Tree::chain(1, &[2, 3]));
        assert_eq!(drafter.draft(&[1, 2, 3], room), Tree::new(3));
        assert_eq!(drafter.draft(&[1, 2, 3, 4], room), Tree::new(4));
    }
}
