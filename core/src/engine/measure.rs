//! Measuring what passes cost, before there is anything to decode.

use web_time::Instant;

use super::costs::CostTable;
use super::sequence::Sequence;
use super::session::Session;
use crate::draft::{Budget, Observation};
use crate::error::Result;
use crate::ops::Rows;

/// How often each width is run once it is warm; the best counts.
const RUNS: usize = 2;
/// The widest pass that is measured; beyond it a table is continued.
const WIDEST: usize = 64;

impl Session {
    /// Measures passes of these numbers of rows, rising from 1, after `committed` positions
    /// (which take passes of their own), as far as the context has room; the readback of one
    /// id a row is included. Each is run twice, after as many passes as the device takes to warm
    /// up: with [`Session::widths`] up to 16 rows that is some thirty plain steps where memory
    /// is the limit and one pass warms. Nothing of the session changes.
    ///
    /// # Errors
    /// The device failed, or its cache is full.
    pub async fn measure(&mut self, widths: &[usize], committed: usize) -> Result<CostTable> {
        debug_assert!(widths.first() == Some(&1) && widths.is_sorted());
        let room = self.context.min(self.pool.free()).saturating_sub(committed);
        let widths: Vec<_> = widths.iter().copied().filter(|&n| n <= room).collect();
        let Some(widest) = widths.last() else {
            return Ok(CostTable::default());
        };
        let slots = self.pool.reserve(committed + widest)?;
        let table = self.measure_in(&slots, &widths, committed).await;
        self.pool.release(slots.into_iter());
        // Most of these widths will not come again, and their buffers are large.
        drop(self.pool.take_recorded());
        // A clock that did not move has measured nothing.
        Ok(CostTable::new(table?).unwrap_or_default())
    }

    /// The same in some slots: (rows, seconds).
    async fn measure_in(
        &mut self,
        slots: &[u32],
        widths: &[usize],
        committed: usize,
    ) -> Result<Vec<(usize, f64)>> {
        let (past, own) = slots.split_at(committed);
        // What was never written is not really there, and costs nothing to read.
        for start in (0..committed).step_by(WIDEST) {
            let end = committed.min(start + WIDEST);
            self.time(&past[..start], &past[start..end]).await?;
        }
        let mut table: Vec<_> = widths.iter().map(|&width| (width, f64::INFINITY)).collect();
        let warm_up = self.target.ops().warm_up();
        for run in 0..warm_up + RUNS {
            for (width, best) in &mut table {
                let seconds = self.time(past, &own[..*width]).await?;
                if run >= warm_up {
                    *best = best.min(seconds);
                }
            }
        }
        Ok(table)
    }

    /// Measures a pass of the first sequence's drafter on a text of one repeated token, and
    /// sizes trees by it until rounds correct it. Drafters without a network, and sequences
    /// that have begun, are left alone.
    ///
    /// # Errors
    /// The device or the drafter failed, or the cache is full.
    pub async fn rehearse(&mut self) -> Result<()> {
        const TEXT: [u32; 4] = [0; 4];
        const SEEN: usize = TEXT.len() - 1;
        if self.context < TEXT.len() + SEEN {
            return Ok(()); // Too short for the text and what is drafted after it.
        }
        let network =
            |s: &&mut Sequence| s.table.is_empty() && s.options.drafter.passes().is_some();
        let Some(sequence) = self.sequences.first_mut().filter(network) else {
            return Ok(());
        };
        let slots = self.pool.reserve(SEEN)?;
        let rows = chain(&[], &slots);
        let features = self.target.forward(&rows, &mut self.pool, &self.taps);
        self.pool.release(slots.iter().copied());
        // As good as free, but drafted as in rounds that are sized.
        let mut budget = Budget::new(sequence.options.budget.nodes, SEEN);
        budget.price = f32::MIN_POSITIVE;
        let drafter = &mut sequence.options.drafter;
        let features = features?.only(&self.taps, drafter.taps());
        let mut best = f64::INFINITY;
        let warm_up = self.target.ops().warm_up();
        for run in 0..warm_up + RUNS {
            drafter.observe(Observation {
                tokens: &TEXT[..SEEN],
                position: 0,
                features: &features,
                rows: &[0, 1, 2],
            })?;
            let start = Instant::now();
            let drafted = drafter.propose(&TEXT, budget).await;
            let seconds = start.elapsed().as_secs_f64();
            let passes = drafter.passes().unwrap_or(0);
            drafter.truncate(0);
            drafted?;
            if run >= warm_up && passes > 0 {
                best = best.min(seconds / passes as f64);
            }
        }
        // A clock that did not move has measured nothing, a moment without a core too much.
        if best > 0.0 && best.is_finite() {
            self.worth.assume(best.min(self.costs.estimate(1)));
        }
        Ok(())
    }

    /// Widths that tell what a round of `sequences` sequences with `nodes` nodes each costs:
    /// 1, 2, 4, .. rows, up to what it may need, 64 at most.
    pub fn widths(sequences: usize, nodes: usize) -> Vec<usize> {
        let widest = Self::widest(sequences, nodes);
        let widths = (0..).map(|n| 1 << n);
        widths.take_while(|&width| width <= widest).collect()
    }

    /// The last of [`Session::widths`].
    pub fn widest(sequences: usize, nodes: usize) -> usize {
        let rows = sequences.saturating_mul(nodes.saturating_add(1));
        rows.min(WIDEST).next_power_of_two()
    }

    /// Seconds of one pass over a chain in some slots, after those of a past.
    async fn time(&mut self, past: &[u32], slots: &[u32]) -> Result<f64> {
        let rows = chain(past, slots);
        let start = Instant::now();
        let (_, logits) = self.target.repeat(rows, None, &mut self.pool, &self.taps)?;
        self.target.ops().argmax(&logits).await?;
        Ok(start.elapsed().as_secs_f64())
    }
}

/// Rows of token 0, one after another in some slots, which see those of a past.
fn chain<'a>(past: &'a [u32], slots: &[u32]) -> Rows<'a> {
    let mut rows = Rows::default();
    let table = rows.add_table(past);
    for (row, &slot) in slots.iter().enumerate() {
        rows.push(0, slot, table, past.len() as u32, &slots[..=row]);
    }
    rows
}
