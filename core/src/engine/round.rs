//! The round loop.

use std::time::Duration;

use web_time::Instant;

use super::draws::Draws;
use super::sequence::{FinishReason, Sequence};
use super::session::Session;
use super::sizing;
use super::watch::Watch;
use crate::draft::{Budget, Drawn, Observation};
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
pub(super) struct Share {
    pub sequence: usize,
    pub tree: Tree,
    pub drawn: Drawn,
    /// Of each node, and of rows that got none.
    pub slots: Vec<u32>,
    pub first_row: usize,
}

/// What a round drafted, verified.
pub(super) struct Judged {
    pub shares: Vec<Share>,
    /// Of each share.
    pub verdicts: Vec<Verdict>,
    pub features: Features,
    /// Whether any tree had a node, before it was cut.
    pub drafted: bool,
    /// Time until the draft was there, or queued, and from then on.
    pub draft: Duration,
    pub verify: Duration,
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
        let judged = match self.unseen(watch).await? {
            None => self.seen(watch).await?,
            judged => judged,
        };
        let Some(judged) = judged else {
            return Ok(Vec::new());
        };
        let mut emissions = Vec::with_capacity(judged.shares.len());
        let mut observed = Ok(());
        for (share, verdict) in judged.shares.into_iter().zip(judged.verdicts) {
            let (emission, seen) = self.commit(share, verdict, &judged.features, watch);
            emissions.push(emission);
            observed = observed.and(seen);
        }
        debug_assert!(self.check_integrity().is_ok());
        let decode = start.elapsed();
        let tokens = emissions.iter().map(|emission| emission.tokens.len()).sum();
        let plain = self.costs.estimate(emissions.len()) / emissions.len() as f64;
        self.worth.record(judged.drafted, decode, tokens, plain);
        let asked = self.target.ops().counters() - before;
        for emission in &emissions {
            let stats = &mut self.sequences[emission.sequence].stats;
            stats.draft += judged.draft;
            stats.verify += judged.verify;
            stats.decode += decode;
            stats.asked += asked;
        }
        observed.map(|()| emissions)
    }

    /// A round whose trees the host sees before they are verified; nothing when no sequence is
    /// live.
    async fn seen(&mut self, watch: &mut dyn Watch) -> Result<Option<Judged>> {
        let start = Instant::now();
        let (mut trees, drafted) = self.draft().await?;
        if trees.is_empty() {
            return Ok(None);
        }
        self.cut(&mut trees, start.elapsed());
        let draft = start.elapsed();
        let shares = self.place(trees)?;
        match self.verify(&shares, watch).await {
            Ok((verdicts, features, verify)) => Ok(Some(Judged {
                shares,
                verdicts,
                features,
                drafted,
                draft,
                verify,
            })),
            Err(error) => {
                self.take_back(shares.into_iter().flat_map(|share| share.slots).collect());
                Err(error)
            }
        }
    }

    /// Gives back slots of rows that failed.
    pub(super) fn take_back(&mut self, slots: Vec<u32>) {
        // What they were recorded with may be what failed.
        self.pool.take_recorded();
        self.pool.release(slots.into_iter());
    }

    /// What a sequence may draft in a round that `live` sequences share.
    pub(super) fn allowance(&self, index: usize, live: usize) -> Budget {
        let sequence = &self.sequences[index];
        let mut budget = sequence.budget(self.context);
        let sized = sequence.options.is_sized();
        if sized {
            let cost = sizing::pass_cost(&self.costs, &self.worth, live);
            budget.cost = cost as f32;
            budget.price = (cost / sequence.calibration.gain()) as f32;
        }
        // A tree that is cut may be drafted before costs are known: none of it is verified
        // then, which is the first measure. What is verified whole waits.
        let known = self.costs.is_known(live) || sized;
        if sequence.rests() && (self.worth.is_resting() || !known) {
            budget.nodes = 0;
        }
        budget
    }

    /// Proposals of all live sequences, and whether there were any.
    async fn draft(&mut self) -> Result<(Vec<(usize, Tree, Drawn)>, bool)> {
        let start = Instant::now();
        let live = self.sequences.iter().filter(|s| s.is_live()).count();
        let mut trees = Vec::new();
        let (mut drafted, mut passes) = (false, 0);
        for index in 0..self.sequences.len() {
            if self.sequences[index].is_live() {
                let budget = self.allowance(index, live);
                let sequence = &mut self.sequences[index];
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

    /// Runs all trees through the target and judges them. Also tells how long the target took.
    async fn verify(
        &mut self,
        shares: &[Share],
        watch: &mut dyn Watch,
    ) -> Result<(Vec<Verdict>, Features, Duration)> {
        let start = Instant::now();
        let asked = self.ask(&self.positions(shares), watch.wants_logits())?;
        let rows = rows(shares, &self.sequences);
        let count = rows.len();
        let (features, logits) = self.target.repeat(rows, None, &mut self.pool, &self.taps)?;
        let mut draws = self.draws(logits, asked).await?;
        let time = start.elapsed();
        self.costs.record(count, time);
        let verdicts = self.judge(shares, &mut draws, watch)?;
        Ok((verdicts, features, time))
    }

    /// Judges verified trees, each by its sequence's rule.
    pub(super) fn judge(
        &mut self,
        shares: &[Share],
        draws: &mut Draws,
        watch: &mut dyn Watch,
    ) -> Result<Vec<Verdict>> {
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
        shares.iter().map(judge).collect()
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
        let rejected = (0..share.slots.len()).filter(|node| !nodes.contains(node));
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
