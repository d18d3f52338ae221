//! What proposes tokens for the target to verify.

mod drawn;
mod eagle;
mod fill;
mod lookahead;
mod medusa;
mod ngram;
mod plain;
pub(crate) mod rest;
mod shaping;
mod small_model;
#[cfg(test)]
mod testing;
mod union;
mod unseen;

use std::future::Future;
use std::pin::Pin;

use shaping::Candidates;

pub use drawn::Drawn;
pub use eagle::{
    Agreement, Eagle, Eagle1, Eagle3, Head, HeadCheckpoint, HeadFile, HeadInfo, HeadKind,
    HeadValues, load_head, probe,
};
pub use lookahead::{Lookahead, LookaheadOptions};
pub use medusa::{Medusa, MedusaHeads, load_medusa};
pub use ngram::{Ngram, NgramOptions};
pub use plain::Plain;
pub use shaping::{Growth, Shaping};
pub use small_model::SmallModel;
pub use union::Union;
pub use unseen::Unseen;

use crate::error::Result;
use crate::model::Features;
use crate::ops::Async;
use crate::sample::Sampling;
use crate::tree::Tree;

/// How much a round may draft.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Budget {
    /// Nodes below the root.
    pub nodes: usize,
    /// Depth of the deepest node: beyond it lies the end of the answer or the context.
    pub depth: usize,
    /// What the chances that a drafter gives to nodes (their ancestors' included) must add
    /// up to for another level below them to be worth a pass: [`Budget::cost`], corrected by
    /// how far its chances are to be believed. 0 where everything is to be drafted. On devices
    /// where to look costs more than a pass, levels are worth what they were on average.
    pub price: f32,
    /// What a further pass of the drafter costs, in tokens; 0 likewise.
    pub cost: f32,
}

impl Budget {
    /// Room for nodes, whatever they cost.
    pub const fn new(nodes: usize, depth: usize) -> Self {
        Self {
            nodes,
            depth,
            price: 0.0,
            cost: 0.0,
        }
    }
}

/// What the target made of tokens that are now final.
#[derive(Clone, Copy, Debug)]
pub struct Observation<'a> {
    /// The tokens that were run, in order of position: a chunk of the prompt, or the
    /// root and the accepted nodes of a round.
    pub tokens: &'a [u32],
    /// The position of the first of them.
    pub position: usize,
    /// The target's features of a forward pass. The next pass may overwrite them: what is to
    /// be kept has to be copied (see [`Features::rows`]).
    pub features: &'a Features,
    /// Which row of the features belongs to each token.
    pub rows: &'a [u32],
}

/// A source of drafts. Whatever it proposes, the emitted tokens are the target's own:
/// a bad drafter costs time and never changes the text.
pub trait Drafter {
    /// The method's name, as in `--method`.
    fn name(&self) -> &'static str;

    /// The points of the target's residual stream whose features this drafter wants
    /// (see [`Features::taps`]). Empty for drafters that only look at tokens.
    fn taps(&self) -> &[usize] {
        &[]
    }

    /// Proposes a tree below the last token of `context`, all tokens so far. Nodes
    /// beyond the budget are an error of the drafter; fewer are always fine.
    fn propose<'a>(
        &'a mut self,
        context: &'a [u32],
        budget: Budget,
    ) -> Pin<Box<dyn Future<Output = Result<Tree>> + 'a>>;

    /// The same, queued without being looked at: the round then waits for the device once and
    /// not twice. [`Drafter::see`] is called once it is known what was drafted. Nothing where
    /// this drafter, or this round, has no such tree: [`Drafter::propose`] is asked then.
    ///
    /// # Errors
    /// Those of the device.
    fn propose_unseen(&mut self, context: &[u32], budget: Budget) -> Result<Option<Unseen>> {
        let _ = (context, budget);
        Ok(None)
    }

    /// Sees the tree that it proposed unseen, all its nodes, likeliest first; nothing where the
    /// round failed.
    fn see(&mut self, tree: Option<&Tree>) {
        let _ = tree;
    }

    /// [`Drafter::propose`], but each token may be drawn at random from the drafter's own
    /// distribution, processed by `sampling`: also returns what the children were drawn
    /// from. The tree's shape must not depend on what was drawn.
    ///
    /// A drafter that cannot draw proposes what it always does.
    fn sample<'a>(
        &'a mut self,
        context: &'a [u32],
        budget: Budget,
        sampling: &'a Sampling,
    ) -> Async<'a, (Tree, Drawn)> {
        let _ = sampling;
        let tree = self.propose(context, budget);
        Box::pin(async { Ok((tree.await?, Drawn::default())) })
    }

    /// How often its network ran for the last proposal, which is what its time is worth;
    /// `None` for drafters without one.
    fn passes(&self) -> Option<usize> {
        None
    }

    /// Whether it keeps account itself of what is worth its time, by [`Budget::cost`]: it
    /// is asked in every round then, also while drafting as a whole does not pay.
    fn keeps_account(&self) -> bool {
        false
    }

    /// Takes note of what became final. Called for each chunk of a prompt and once a
    /// round.
    fn observe(&mut self, observation: Observation<'_>) -> Result<()> {
        let _ = observation;
        Ok(())
    }

    /// Whether it wants to hear of the target's choices: see [`Drafter::note_choices`].
    fn wants_choices(&self) -> bool {
        false
    }

    /// Takes note of the target's most likely token after every node of a tree that was
    /// verified, accepted or not. Called once a round, before [`Drafter::observe`], on
    /// drafters that want it. The tree is what was left of the proposal.
    fn note_choices(&mut self, tree: &Tree, choices: &[u32]) {
        let _ = (tree, choices);
    }

    /// Forgets everything from position `len` on: the sequence went back to it. Returns
    /// the position from which the drafter must see features again, at most `len`.
    fn truncate(&mut self, len: usize) -> usize {
        len
    }
}
