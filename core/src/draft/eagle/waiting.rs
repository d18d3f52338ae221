//! Features that a head has not taken in yet.

use burn::tensor::Tensor;

use super::Head;
use crate::error::{Error, Result};
use crate::model::Features;
use crate::ops::{KvLayer, Ops, Rows};

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

    /// Rows of each part of it, as a head runs them.
    pub fn chunks(&self) -> impl Iterator<Item = usize> {
        let raw = (self.raw_rows > 0).then_some(self.raw_rows);
        let fused = self.fused.iter().map(|fused| fused.dims()[0]);
        fused.chain(raw)
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
        let all: Vec<u32> = (0..rows as u32).collect();
        for fused in std::mem::take(&mut self.fused) {
            match first(&fused) {
                0 => break,
                rows => self.fused.push(ops.select(&fused, &all[..rows])?),
            }
        }
        self.raw_rows = 0;
        for features in std::mem::take(&mut self.raw) {
            let rows = first(&features.last);
            if rows == 0 {
                break;
            }
            self.raw_rows += rows;
            self.raw.push(features.rows(ops, &all[..rows])?);
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

    /// All of it, for [`extend`].
    pub fn take(mut self, head: &dyn Head, ops: &dyn Ops) -> Result<Taken> {
        if self.fused.is_empty() {
            let Features { last, taps } = joined(self.raw, ops)?.ok_or_else(nothing)?;
            return Ok(Taken {
                tensors: [vec![last], taps].concat(),
                raw: true,
            });
        }
        self.fuse(head, ops)?;
        Ok(Taken {
            tensors: self.fused,
            raw: false,
        })
    }
}

/// What waited.
pub(super) struct Taken {
    /// One part's last features and taps, or what was fused of each part.
    pub tensors: Vec<Tensor<2>>,
    /// Whether it is the former.
    pub raw: bool,
}

/// Runs what was [`Taken`] through a head as `chunks`, which are rows for each part. Returns
/// the output of the last row, `[1, hidden]`.
pub(super) fn extend(
    (tensors, raw): (&[Tensor<2>], bool),
    head: &dyn Head,
    ops: &dyn Ops,
    chunks: &[Rows<'_>],
    cache: &mut KvLayer,
) -> Result<Tensor<2>> {
    let parts = match tensors {
        [last, taps @ ..] if raw => {
            let (last, taps) = (last.clone(), taps.to_vec());
            vec![head.fuse(&Features { last, taps })?]
        }
        fused => fused.to_vec(),
    };
    let mut last = None;
    for (rows, features) in chunks.iter().zip(&parts) {
        let embedded = ops.embed_rows(head.embedding(), rows)?;
        last = Some((head.pass(features, embedded, rows, cache)?, rows.len()));
    }
    match last.ok_or_else(nothing)? {
        (outputs, 1) => Ok(outputs),
        (outputs, rows) => ops.select(&outputs, &[rows as u32 - 1]),
    }
}

fn nothing() -> Error {
    Error::Invalid("a head has nothing to go on from".into())
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
