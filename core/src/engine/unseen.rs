//! A round that waits for the device once: a tree is drafted, verified and drawn from before the
//! host sees any of it.
//!
//! The nodes go from the head to the target by rank, so that all that has to be said beforehand
//! is how many of them (`foresight.rs`). It takes a device that draws tokens itself: a host draws
//! from what it has read back.

use web_time::Instant;

use super::draws::{Asked, Draws};
use super::round::{Judged, Share};
use super::sequence::Sequence;
use super::session::Session;
use super::sizing::Sizing;
use super::watch::Watch;
use crate::draft::{Drawn, Unseen};
use crate::error::Result;
use crate::model::Features;
use crate::ops::{Rows, ranking};
use crate::tree::Tree;
use crate::verify::Verification;

impl Session {
    /// Such a round; nothing where the host has to see the draft first, or there is none.
    pub(super) async fn unseen(&mut self, watch: &mut dyn Watch) -> Result<Option<Judged>> {
        let Some(index) = self.blind(watch) else {
            return Ok(None);
        };
        let start = Instant::now();
        let budget = self.allowance(index, 1);
        let Sequence {
            options, tokens, ..
        } = &mut self.sequences[index];
        let Some(unseen) = options.drafter.propose_unseen(tokens, budget)? else {
            return Ok(None);
        };
        let draft = start.elapsed();
        let passes = options.drafter.passes().unwrap_or(0);
        let drafting = self.worth.pass() * passes as f64;
        let mut slots = Vec::new();
        let verified = self.verify_unseen(index, &unseen, drafting, &mut slots);
        let (tree, mut draws, features) = match verified.await {
            Ok(verified) => verified,
            Err(error) => {
                self.sequences[index].options.drafter.see(None);
                self.take_back(slots);
                return Err(error);
            }
        };
        let time = start.elapsed();
        // A head that took in a prompt, or what was said during a rest, is no measure.
        let first = self.sequences[index].stats.rounds == 0;
        let foretold = self.costs.estimate(slots.len());
        if !first && passes <= unseen.depth && foretold > 0.0 {
            // The target's part of it, as draft and verification were foretold.
            let part = foretold / (foretold + drafting);
            self.costs.record(slots.len(), time.mul_f64(part));
        }
        let share = Share {
            sequence: index,
            tree,
            drawn: Drawn::default(),
            slots,
            first_row: 0,
        };
        let shares = vec![share];
        match self.judge(&shares, &mut draws, watch) {
            Ok(verdicts) => Ok(Some(Judged {
                shares,
                verdicts,
                features,
                drafted: true,
                draft,
                verify: time.saturating_sub(draft),
            })),
            Err(error) => {
                self.take_back(shares.into_iter().flat_map(|share| share.slots).collect());
                Err(error)
            }
        }
    }

    /// The only live sequence, if its draft need not be seen.
    fn blind(&mut self, watch: &mut dyn Watch) -> Option<usize> {
        let live = |&index: &usize| self.sequences[index].is_live();
        let mut live = (0..self.sequences.len()).filter(live);
        let (index, None) = (live.next()?, live.next()) else {
            return None;
        };
        let exact = self.sequences[index].options.rule() == Verification::Exact;
        let draws = self.target.ops().draws();
        if !exact || !draws || self.reads_logits([index].into_iter(), watch.wants_logits()) {
            return None;
        }
        let sequence = &mut self.sequences[index];
        if sequence.options.sizing != Sizing::Fixed {
            // What passes of both take has to be known before anything is foretold.
            let known = self.costs.is_known(1) && self.worth.pass() > 0.0;
            if !known || sequence.foresight.is_look_due() {
                return None;
            }
        }
        Some(index)
    }

    /// Verifies as many of the nodes as will pay. Returns those, and what the target makes of
    /// them; fills `slots` with those of their rows.
    async fn verify_unseen(
        &mut self,
        index: usize,
        unseen: &Unseen,
        drafting: f64,
        slots: &mut Vec<u32>,
    ) -> Result<(Tree, Draws, Features)> {
        let sequence = &self.sequences[index];
        let nodes = match sequence.options.is_sized() {
            true => sequence
                .foresight
                .nodes(unseen.nodes, &self.costs, drafting),
            false => unseen.nodes,
        };
        *slots = self.pool.reserve(nodes + 1)?;
        let first = sequence.tokens.len();
        let depths: Vec<_> = (0..=unseen.depth)
            .map(|depth| (index, first + depth))
            .collect();
        let dice = match self.ask(&depths, false)? {
            Asked::Drawn(dice) => Some(dice),
            _ => None,
        };
        let rows = rows(sequence, slots, unseen.depth);
        let ranked = Some(&unseen.ranked);
        let (features, logits) = self
            .target
            .repeat(rows, ranked, &mut self.pool, &self.taps)?;
        let ops = self.target.ops();
        let read = ops.draw_settled(&logits, dice.as_ref(), &unseen.ranked);
        let (picks, ranked) = read.await?;
        let sequence = &mut self.sequences[index];
        let root = sequence.tokens[first - 1];
        let mut tree = Tree::ranked(root, ranking::nodes(&ranked), ranking::RANKED);
        sequence.options.drafter.see(Some(&tree));
        tree.truncate(unseen.nodes);
        sequence
            .foresight
            .record(&sequence.calibration.chances(&tree)[1..]);
        tree.truncate(nodes);
        Ok((tree, Draws::Ids(picks), features))
    }
}

/// A root's row, and rows for nodes: each with room for a path to any depth, which the device
/// fills in.
fn rows<'a>(sequence: &'a Sequence, slots: &[u32], depth: usize) -> Rows<'a> {
    let table = &sequence.table;
    let mut rows = Rows::default();
    let id = rows.add_table(table.slots());
    for (row, &slot) in slots.iter().enumerate() {
        let (token, length) = match row {
            0 => (sequence.tokens[table.len()], 1),
            _ => (0, depth + 1),
        };
        rows.push(token, slot, id, table.len() as u32, &vec![slot; length]);
    }
    rows
}
