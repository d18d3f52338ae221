//! The rule for drafts that were drawn, as EAGLE-1 published it.
//!
//! Li et al., "EAGLE: Speculative Sampling Requires Rethinking Feature Uncertainty"
//! (2024), appendix A. With one child a node it is the rule of Leviathan et al., "Fast
//! Inference from Transformers via Speculative Decoding" (2023); with children that were
//! chosen, not drawn, it is that of EAGLE-2 and -3.

use super::Verdict;
use crate::error::Result;
use crate::sample::{Distribution, Stream};
use crate::tree::Tree;

/// One node's children, judged one after the other.
///
/// They were drawn without replacement: each from what the draft distribution is without
/// those before it. A child is accepted with chance p / q; after one that is not, the
/// target's distribution goes on as what is left of p above q. Whatever q is, the
/// accepted child, or else a draw from what is left, is distributed as p.
#[derive(Clone, Debug)]
pub struct Trial {
    /// p: the target's distribution, less what rejected children had their chance of.
    target: Distribution,
    /// q: what the next child was drawn from; `None` where children were chosen, so that
    /// each was certain.
    draft: Option<Distribution>,
}

impl Trial {
    /// A node's target distribution, and what its children were drawn from, if they were.
    pub fn new(target: Distribution, draft: Option<Distribution>) -> Self {
        Self { target, draft }
    }

    /// The chance with which the next child is accepted. It is 0 for one that cannot have
    /// been drawn, such as a repeated one.
    pub fn chance(&self, token: u32) -> f64 {
        let drafted = self.draft.as_ref().map_or(1.0, |q| q.probability(token));
        match drafted > 0.0 {
            true => (self.target.probability(token) / drafted).min(1.0),
            false => 0.0,
        }
    }

    /// Takes note that the next child was not accepted.
    pub fn reject(&mut self, token: u32) {
        match &mut self.draft {
            // One that cannot have been drawn says nothing.
            Some(draft) if draft.probability(token) <= 0.0 => {}
            Some(draft) => {
                self.target.subtract(draft);
                draft.remove(token);
            }
            None => self.target.subtract(&Distribution::point(token)),
        }
    }

    /// What the bonus token is drawn from once every child was rejected.
    pub fn residual(&self) -> &Distribution {
        &self.target
    }
}

/// Multi-round rejection sampling: children are tried in their order, one that is
/// accepted is descended to, and where none is the bonus token is drawn from what is left.
///
/// `target` is the target's distribution at a node, asked for once at each node of the
/// path; `draft` what the node's children were drawn from without replacement, in their
/// order, or `None` where they were chosen. `uniform` is a source of random numbers in
/// [0, 1): [`Stream::Accept`] with a child, [`Stream::Target`] with the node that the
/// bonus follows.
///
/// The tokens are distributed as the target's own if the tree's shape does not depend on
/// what was drawn: a tree that was pruned by its tokens afterwards is another draft than
/// the one that `draft` tells of.
///
/// # Errors
/// Those of `target`.
pub fn rejection<'a>(
    tree: &Tree,
    mut target: impl FnMut(usize) -> Result<Distribution>,
    mut draft: impl FnMut(usize) -> Option<&'a Distribution>,
    mut uniform: impl FnMut(Stream, usize) -> f64,
) -> Result<Verdict> {
    let mut accepted = Vec::new();
    let mut node = 0;
    loop {
        let mut trial = Trial::new(target(node)?, draft(node).cloned());
        let stands = tree.children(node).find(|&child| {
            let token = tree.token(child);
            let stands = uniform(Stream::Accept, child) < trial.chance(token);
            if !stands {
                trial.reject(token);
            }
            stands
        });
        match stands {
            Some(child) => {
                accepted.push(child);
                node = child;
            }
            None => {
                let bonus = trial.residual().draw(uniform(Stream::Target, node));
                return Ok(Verdict { accepted, bonus });
            }
        }
    }
}

#[cfg(test)]
mod tests;
