//! Drafters that no one would ship: wrong, right, and random ones.

use std::future::{Future, ready};
use std::pin::Pin;

use eaglet_core::Result;
use eaglet_core::draft::{Budget, Drafter};
use eaglet_core::sample::uniform;
use eaglet_core::tree::Tree;

type Proposal<'a> = Pin<Box<dyn Future<Output = Result<Tree>> + 'a>>;

/// Knows the answer and drafts it. `offset` 0 is perfect; any other is always wrong,
/// since every token is shifted by it within the vocabulary.
pub struct Oracle {
    /// Prompt and answer.
    pub tokens: Vec<u32>,
    pub offset: u32,
    pub vocab: u32,
}

impl Drafter for Oracle {
    fn name(&self) -> &'static str {
        "oracle"
    }

    fn propose<'a>(&'a mut self, context: &'a [u32], budget: Budget) -> Proposal<'a> {
        let from = context.len().min(self.tokens.len());
        let rest = &self.tokens[from..];
        let depth = budget.depth.min(budget.nodes).min(rest.len());
        let drafted: Vec<u32> = rest[..depth]
            .iter()
            .map(|t| (t + self.offset) % self.vocab)
            .collect();
        let root = *context.last().unwrap();
        Box::pin(ready(Ok(Tree::chain(root, &drafted))))
    }
}

/// Random trees, the right token among the children now and then.
pub struct Bushy {
    pub tokens: Vec<u32>,
    pub vocab: u32,
}

impl Drafter for Bushy {
    fn name(&self) -> &'static str {
        "bushy"
    }

    fn propose<'a>(&'a mut self, context: &'a [u32], budget: Budget) -> Proposal<'a> {
        let root = *context.last().unwrap();
        let mut tree = Tree::new(root);
        let mut counter = context.len() as u64 * 1000;
        let mut pick = |below: usize| {
            counter += 1;
            (uniform(7, counter) * below as f64) as usize
        };
        for _ in 0..4 * budget.nodes {
            if tree.len() > budget.nodes {
                break;
            }
            let parent = pick(tree.len());
            if tree.depth(parent) >= budget.depth {
                continue;
            }
            let right = self.tokens.get(context.len() + tree.depth(parent));
            let token = match (right, pick(2)) {
                (Some(&token), 0) => token,
                _ => pick(self.vocab as usize) as u32,
            };
            tree.add(parent, token, 0.5);
        }
        Box::pin(ready(Ok(tree)))
    }
}
