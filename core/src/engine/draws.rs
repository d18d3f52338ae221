//! The target's own tokens, from what came back from the device.

use std::ops::Range;

use burn::tensor::Tensor;

use super::sequence::{Sequence, SequenceOptions};
use super::session::Session;
use crate::error::{Error, Result};
use crate::ops::Dice;
use crate::sample::{Distribution, Pick, argmax, not_a_number};
use crate::verify::Verification;

/// What is asked of the device about the rows of a pass.
pub(super) enum Asked {
    /// The most likely token of each.
    Likeliest,
    /// A token drawn for each.
    Drawn(Dice),
    /// All logits.
    Logits,
}

impl Session {
    /// What to ask about rows, each given as its sequence and the position of the token after
    /// it, before they are run. Logits come back only where the host has to see them: it draws
    /// more cheaply, the text so far shapes them, a rule of verification wants them, or
    /// somebody does who wants to see them `whole`.
    ///
    /// # Errors
    /// The device failed.
    pub(super) fn ask(&self, rows: &[(usize, usize)], whole: bool) -> Result<Asked> {
        let sampling = |index: usize| &self.sequences[index].options.sampling;
        if self.reads_logits(rows.iter().map(|row| row.0), whole) {
            return Ok(Asked::Logits);
        }
        if rows.iter().all(|row| sampling(row.0).is_argmax()) {
            return Ok(Asked::Likeliest);
        }
        let die = |&(index, position)| sampling(index).die(position);
        let dice = Dice::new(rows.iter().map(die).collect());
        self.target.ops().stage_dice(&dice)?;
        Ok(Asked::Drawn(dice))
    }

    /// Whether logits come back to the host for rows of these sequences.
    pub(super) fn reads_logits(
        &self,
        sequences: impl Iterator<Item = usize> + Clone,
        whole: bool,
    ) -> bool {
        let options = |index: usize| &self.sequences[index].options;
        let all = |is: fn(&SequenceOptions) -> bool| sequences.clone().all(|i| is(options(i)));
        let drawn = |options: &SequenceOptions| {
            options.sampling.takes_logits_as_they_are() && options.rule() == Verification::Exact
        };
        let greedy = all(|options| options.sampling.is_argmax());
        let ids = greedy || self.target.ops().draws() && all(drawn);
        whole || !ids
    }

    /// The one readback of a round.
    ///
    /// # Errors
    /// The device failed.
    pub(super) async fn draws(&self, logits: Tensor<2>, asked: Asked) -> Result<Draws> {
        let ops = self.target.ops();
        Ok(match asked {
            Asked::Likeliest => {
                let ids = ops.argmax(&logits).await?.into_iter();
                Draws::Ids(ids.map(|id| id.map(Pick::likeliest)).collect())
            }
            Asked::Drawn(dice) => Draws::Ids(ops.draw(&logits, &dice).await?),
            Asked::Logits => Draws::Logits(ops.read(logits).await?, self.target.config().vocab),
        })
    }
}

/// What came back from the device.
pub(super) enum Draws {
    /// The tokens of each row that has any.
    Ids(Vec<Option<Pick>>),
    /// All logits, and how many a row has.
    Logits(Vec<f32>, usize),
}

impl Draws {
    /// The most likely token after each of some rows, whatever shapes the draws. To be
    /// asked before anything is drawn from those rows.
    pub(super) fn choices(&self, rows: Range<usize>) -> Vec<u32> {
        match self {
            // What follows a row that is no number is never asked for.
            Self::Ids(ids) => ids[rows]
                .iter()
                .map(|id| id.map_or(0, |id| id.best))
                .collect(),
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
            Self::Ids(ids) => ids[row].map(|id| id.drawn).ok_or_else(not_a_number),
            Self::Logits(values, vocab) => {
                let logits = &mut values[row * *vocab..(row + 1) * *vocab];
                let position = sequence.tokens.len() + path.len();
                let history = sequence.tokens.iter().copied().chain(path);
                sequence.options.sampling.draw(logits, history, position)
            }
        }
    }

    /// What that token is drawn from.
    pub(super) fn distribution(
        &mut self,
        row: usize,
        sequence: &Sequence,
        path: impl Iterator<Item = u32>,
    ) -> Result<Distribution> {
        match self {
            // No rule that weighs probabilities asks for ids: see `Session::ask`.
            Self::Ids(_) => Err(Error::Device("ids came back in place of logits".into())),
            Self::Logits(values, vocab) => {
                let logits = &mut values[row * *vocab..(row + 1) * *vocab];
                let history = sequence.tokens.iter().copied().chain(path);
                sequence.options.sampling.distribution(logits, history)
            }
        }
    }
}
