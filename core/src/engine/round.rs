//! The round loop.

use std::time::Duration;

use web_time::Instant;

use super::sequence::{FinishReason, Sequence};
use super::session::Session;
use super::sizing;
use super::watch::Watch;
use crate::draft::{Drawn, Observation};
use crate::error::Result;
use crate::model::Features;
use crate::ops::Rows;
use crate::tree::Tree;
use crate::verify::Verdict;

/// What one round gave one sequence.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Emission {
    /// The sequence.
    pub sequence: usize,
    /// Its new tokens, in order.
    pub tokens: Vec<u32>,
    /// Why it ended, if it did.
    pub finish: Option<FinishReason>,
}

/// One sequence's share of a round.
struct Share {
    sequence: usize,
    tree: Tree,
    drawn: Drawn,
    slots: Vec<u32>,
    first_row: usize,
}

impl Session {
    /// One round for every live sequence: draft, verify in one forward pass, commit.
    /// Returns nothing when no sequence is live. If drafting or verifying fails, every
    /// sequence is as it was before. Await it to its end: with a dropped future the slots
    /// that it borrowed are lost, and on a GPU the buffer that was being read.
    ///
    /// # Errors
    /// The device or a drafter failed, or the model's output is not a number.
    pub async fn round(&mut self, watch: &mut dyn Watch) -> Result<Vec<Emission>> {
        let start = Instant::now();
        let before = self.target.ops().counters();
        let (mut trees, drafted) = self.draft().await?;
        if trees.is_empty() {
            return Ok(Vec::new());
        }
        self.cut(&mut trees, start.elapsed());
        let draft = start.elapsed();
        let shares = self.place(trees)?;
        let (verdicts, features, verify) = match self.verify(&shares, watch).await {
            Ok(verified) => verified,
            Err(error) => {
                // What it was recorded with may be what failed.
                self.pool.take_recorded();
                self.pool
                    .release(shares.iter().flat_map(|share| &share.slots).copied());
                return Err(error);
            }
        };
        let mut emissions = Vec::with_capacity(shares.len());
        let mut observed = Ok(());
        for (share, verdict) in shares.into_iter().zip(verdicts) {
            let (emission, seen) = self.commit(share, verdict, &features, watch);
            emissions.push(emission);
            observed = observed.and(seen);
        }
        debug_assert!(self.check_integrity().is_ok());
        let decode = start.elapsed();
        let tokens = emissions.iter().map(|emission| emission.tokens.len()).sum();
        let plain = self.costs.estimate(emissions.len()) / emissions.len() as f64;
        self.worth.record(drafted, decode, tokens, plain);
        let asked = self.target.ops().counters() - before;
        for emission in &emissions {
            let stats = &mut self.sequences[emission.sequence].stats;
            stats.draft += draft;
            stats.verify += verify;
            stats.decode += decode;
            stats.asked += asked;
        }
        observed.map(|()| emissions)
    }

    /// Proposals of all live sequences, and whether there were any.
    async fn draft(&mut self) -> Result<(Vec<(usize, Tree, Drawn)>, bool)> {
        let start = Instant::now();
        let live = self.sequences.iter().filter(|s| s.is_live()).count();
        let mut trees = Vec::new();
        let (mut drafted, mut passes) = (false, 0);
        for (index, sequence) in self.sequences.iter_mut().enumerate() {
            if sequence.is_live() {
                let mut budget = sequence.budget(self.context);
                if sequence.options.is_sized() {
                    let cost = sizing::pass_cost(&self.costs, &self.worth, live);
                    budget.cost = cost as f32;
                    budget.price = (cost / sequence.calibration.gain()) as f32;
                }
                // A tree that is cut may be drafted before costs are known: none of it is
                // verified then, which is the first measure. What is verified whole waits.
                let known = self.costs.is_known(live) || sequence.options.is_sized();
                if sequence.rests() && (self.worth.is_resting() || !known) {
                    budget.nodes = 0;
                }
                let (tree, drawn) = sequence.propose(budget).await?;
                passes += sequence.options.drafter.passes().unwrap_or(0);
                debug_assert!(tree.len() <= budget.nodes + 1 && tree.height() <= budget.depth);
                drafted |= tree.len() > 1;
                trees.push((index, tree, drawn));
            }
        }
        let plain = self.costs.estimate(live.max(1));
        self.worth.record_draft(start.elapsed(), passes, plain);
        Ok((trees, drafted))
    }

    /// Gives every node a slot and a row.
    fn place(&mut self, trees: Vec<(usize, Tree, Drawn)>) -> Result<Vec<Share>> {
        let count = trees.iter().map(|(_, tree, _)| tree.len()).sum();
        let mut slots = self.pool.reserve(count)?.into_iter();
        let mut first_row = 0;
        let share = |(sequence, tree, drawn): (usize, Tree, Drawn)| {
            let share = Share {
                sequence,
                slots: slots.by_ref().take(tree.len()).collect(),
                tree,
                drawn,
                first_row,
            };
            first_row += share.tree.len();
            share
        };
        Ok(trees.into_iter().map(share).collect())
    }

    /// Runs all trees through the target and judges each by its sequence's rule.
    /// Also tells how long the target took.
    async fn verify(
        &mut self,
        shares: &[Share],
        watch: &mut dyn Watch,
    ) -> Result<(Vec<Verdict>, Features, Duration)> {
        let start = Instant::now();
        let asked = self.ask(&self.positions(shares), watch.wants_logits())?;
        let rows = rows(shares, &self.sequences);
        let count = rows.len();
        let (features, logits) = self.target.repeat(rows, &mut self.pool, &self.taps)?;
        let mut draws = self.draws(logits, asked).await?;
        let time = start.elapsed();
        self.costs.record(count, time);
        for share in shares {
            let drafter = &mut self.sequences[share.sequence].options.drafter;
            if drafter.wants_choices() {
                let rows = share.first_row..share.first_row + share.tree.len();
                drafter.note_choices(&share.tree, &draws.choices(rows));
            }
        }
        let judge = |share: &Share| {
            let sequence = (share.sequence, &self.sequences[share.sequence]);
            draws.judge(share.first_row, &share.tree, &share.drawn, sequence, watch)
        };
        let verdicts = shares.iter().map(judge).collect::<Result<_>>()?;
        Ok((verdicts, features, time))
    }

    /// The sequence of every node of every tree, and the position of the token after it.
    fn positions(&self, shares: &[Share]) -> Vec<(usize, usize)> {
        let of = |share: &Share| {
            let (sequence, tree) = (share.sequence, &share.tree);
            let first = self.sequences[sequence].tokens.len();
            let position = move |node| (sequence, first + tree.depth(node));
            (0..tree.len()).map(position).collect::<Vec<_>>()
        };
        shares.iter().flat_map(of).collect()
    }

    /// Drops nodes that are unlikely to pay for their time, where that is asked for.
    fn cut(&self, trees: &mut [(usize, Tree, Drawn)], drafting: Duration) {
        let sequence = |index: usize| &self.sequences[index];
        let sized = |index| sequence(index).options.is_sized();
        let trees = trees.iter_mut().filter(|(index, ..)| sized(*index));
        let mut trees: Vec<_> = trees
            .map(|(index, tree, _)| (tree, &sequence(*index).calibration))
            .collect();
        sizing::cut(&mut trees, &self.costs, drafting);
    }

    /// Emits what was accepted, up to a stop, and commits what was emitted.
    fn commit(
        &mut self,
        share: Share,
        verdict: Verdict,
        features: &Features,
        watch: &mut dyn Watch,
    ) -> (Emission, Result<()>) {
        let sequence = &mut self.sequences[share.sequence];
        let (first, position) = (sequence.tokens.len(), sequence.table.len());
        // The root is final; each further row is once its own token has been emitted.
        let mut nodes = vec![0];
        let accepted = verdict.accepted.len();
        sequence.calibration.record(&share.tree, &verdict.accepted);
        for node in verdict.accepted.into_iter().map(Some).chain([None]) {
            let token = node.map_or(verdict.bonus, |node| share.tree.token(node));
            let stop = watch.emitted(share.sequence, token);
            sequence.emit(token, stop, self.context);
            match node {
                Some(node) if sequence.finish.is_none() => nodes.push(node),
                _ => break,
            }
        }
        for &node in &nodes {
            sequence
                .table
                .commit(share.tree.token(node), share.slots[node]);
        }
        let rejected = (0..share.tree.len()).filter(|node| !nodes.contains(node));
        self.pool.release(rejected.map(|node| share.slots[node]));

        let emitted = sequence.tokens[first..].to_vec();
        sequence
            .stats
            .record(&share.tree, accepted.min(emitted.len()));
        let rows: Vec<u32> = nodes
            .iter()
            .map(|&n| (share.first_row + n) as u32)
            .collect();
        let drafter = &mut sequence.options.drafter;
        let observed = drafter.observe(Observation {
            tokens: &sequence.table.tokens()[position..],
            position,
            features: &features.only(&self.taps, drafter.taps()),
            rows: &rows,
        });
        let emission = Emission {
            sequence: share.sequence,
            tokens: emitted,
            finish: sequence.finish,
        };
        (emission, observed)
    }
}

/// Every node of every tree as a row that sees its committed past and its path.
fn rows<'a>(shares: &[Share], sequences: &'a [Sequence]) -> Rows<'a> {
    let mut rows = Rows::default();
    for share in shares {
        let table = &sequences[share.sequence].table;
        let id = rows.add_table(table.slots());
        for node in 0..share.tree.len() {
            let path = share.tree.path(node).into_iter();
            let path: Vec<u32> = path.map(|n| share.slots[n]).collect();
            let token = share.tree.token(node);
            rows.push(token, share.slots[node], id, table.len() as u32, &path);
        }
    }
    rows
}
