//! The target's own tokens, from what came back from the device.

use std::ops::Range;

use burn::tensor::Tensor;

use super::sequence::Sequence;
use super::session::Session;
use crate::error::Result;
use crate::sample::{Distribution, argmax, not_a_number};

impl Session {
    /// The one readback of a round: token ids where every sequence takes the most likely
    /// token and nobody wants to see `whole` rows, else logits.
    pub(super) async fn draws(&self, logits: Tensor<2>, whole: bool) -> Result<Draws> {
        let greedy = |s: &Sequence| s.options.sampling.is_argmax();
        let ops = self.target.ops();
        Ok(match !whole && self.sequences.iter().all(greedy) {
            true => Draws::Ids(ops.argmax(&logits).await?),
            false => Draws::Logits(ops.read(logits).await?, self.target.config().vocab),
        })
    }
}

/// What came back from the device.
pub(super) enum Draws {
    /// The most likely token of each row that has one.
    Ids(Vec<Option<u32>>),
    /// All logits, and how many a row has.
    Logits(Vec<f32>, usize),
}

impl Draws {
    /// The most likely token after each of some rows, whatever shapes the draws. To be
    /// asked before anything is drawn from those rows.
    pub(super) fn choices(&self, rows: Range<usize>) -> Vec<u32> {
        match self {
            // What follows a row that is no number is never asked for.
            Self::Ids(ids) => ids[rows].iter().map(|id| id.unwrap_or_default()).collect(),
            Self::Logits(values, vocab) => {
                let logits = &values[rows.start * vocab..rows.end * vocab];
                logits.chunks_exact(*vocab).map(argmax).collect()
            }
        }
    }

    /// The logits of a row, before anything is drawn from it; `None` where ids came back.
    pub(super) fn logits(&self, row: usize) -> Option<&[f32]> {
        match self {
            Self::Ids(_) => None,
            Self::Logits(values, vocab) => Some(&values[row * vocab..(row + 1) * vocab]),
        }
    }

    /// The target's token after a row whose tokens are the sequence's own and `path`.
    pub(super) fn at(
        &mut self,
        row: usize,
        sequence: &Sequence,
        path: impl ExactSizeIterator<Item = u32>,
    ) -> Result<u32> {
        match self {
            Self::Ids(ids) => ids[row].ok_or_else(not_a_number),
            Self::Logits(values, vocab) => {
                let logits = &mut values[row * *vocab..(row + 1) * *vocab];
                let position = sequence.tokens.len() + path.len();
                let history = sequence.tokens.iter().copied().chain(path);
                sequence.options.sampling.draw(logits, history, position)
            }
        }
    }

    /// What that token is drawn from. Ids alone are certain.
    pub(super) fn distribution(
        &mut self,
        row: usize,
        sequence: &Sequence,
        path: impl Iterator<Item = u32>,
    ) -> Result<Distribution> {
        match self {
            Self::Ids(ids) => ids[row].map(Distribution::point).ok_or_else(not_a_number),
            Self::Logits(values, vocab) => {
                let logits = &mut values[row * *vocab..(row + 1) * *vocab];
                let history = sequence.tokens.iter().copied().chain(path);
                sequence.options.sampling.distribution(logits, history)
            }
        }
    }
}
