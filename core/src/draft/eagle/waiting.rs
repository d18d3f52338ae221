//! Features that a head has not taken in yet.

use burn::tensor::Tensor;

use super::Head;
use crate::error::Result;
use crate::model::Features;
use crate::ops::Ops;

/// Rows of one pass: few enough to keep activations small.
const CHUNK: usize = 256;

/// The target's features of positions that follow one another. A head that rests takes in
/// nothing, and afterwards everything at once: its weights are read once for many rows.
#[derive(Default)]
pub(super) struct Waiting {
    fused: Vec<Tensor<2>>,
    /// Those of the latest positions, as the target left them.
    raw: Vec<Features>,
    raw_rows: usize,
    rows: usize,
}

impl Waiting {
    /// Positions that wait.
    pub fn rows(&self) -> usize {
        self.rows
    }

    /// Adds those of the next positions. What the target left is wider than what the head
    /// wants: not too much of it is kept.
    pub fn push(&mut self, features: Features, head: &dyn Head, ops: &dyn Ops) -> Result<()> {
        let rows = features.last.dims()[0];
        self.rows += rows;
        self.raw_rows += rows;
        self.raw.push(features);
        match self.raw_rows >= CHUNK {
            true => self.fuse(head, ops),
            false => Ok(()),
        }
    }

    /// Forgets all but the first `rows` positions.
    pub fn truncate(&mut self, rows: usize, ops: &dyn Ops) -> Result<()> {
        let mut left = rows;
        let mut first = |tensor: &Tensor<2>| {
            let rows = left.min(tensor.dims()[0]);
            left -= rows;
            rows
        };
        let cut = |tensor: &Tensor<2>, rows: usize| {
            let rows: Vec<u32> = (0..rows as u32).collect();
            ops.select(tensor, &rows)
        };
        for fused in std::mem::take(&mut self.fused) {
            match first(&fused) {
                0 => break,
                rows => self.fused.push(cut(&fused, rows)?),
            }
        }
        self.raw_rows = 0;
        for Features { last, taps } in std::mem::take(&mut self.raw) {
            let rows = first(&last);
            if rows == 0 {
                break;
            }
            self.raw_rows += rows;
            self.raw.push(Features {
                last: cut(&last, rows)?,
                taps: taps
                    .iter()
                    .map(|tap| cut(tap, rows))
                    .collect::<Result<_>>()?,
            });
        }
        self.rows = self.rows.min(rows);
        Ok(())
    }

    /// So much waits that it has to be taken in, whether there is anything to draft or not.
    pub fn is_full(&self) -> bool {
        self.rows >= 2 * CHUNK
    }

    /// After an error nothing waits any more: the head sits out the rest of the text.
    fn fuse(&mut self, head: &dyn Head, ops: &dyn Ops) -> Result<()> {
        self.raw_rows = 0;
        if let Some(features) = joined(std::mem::take(&mut self.raw), ops)? {
            let fused = head.fuse(&features);
            if fused.is_err() {
                *self = Self::default();
            }
            self.fused.push(fused?);
        }
        Ok(())
    }

    /// All of it as the head takes it, in order: `[rows, hidden]` each.
    pub fn fused(mut self, head: &dyn Head, ops: &dyn Ops) -> Result<Vec<Tensor<2>>> {
        self.fuse(head, ops)?;
        Ok(self.fused)
    }
}

/// One after the other.
fn joined(mut parts: Vec<Features>, ops: &dyn Ops) -> Result<Option<Features>> {
    if parts.len() < 2 {
        return Ok(parts.pop());
    }
    let join = |pick: &dyn Fn(&Features) -> Tensor<2>| {
        let tensors: Vec<_> = parts.iter().map(pick).collect();
        ops.concat(&tensors, 0)
    };
    let taps = 0..parts[0].taps.len();
    Ok(Some(Features {
        taps: taps
            .map(|i| join(&|part| part.taps[i].clone()))
            .collect::<Result<_>>()?,
        last: join(&|part| part.last.clone())?,
    }))
}
