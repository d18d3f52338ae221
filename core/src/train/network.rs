//! What every kind of head offers to training.

use super::{Batch, Gradients, Parameters};
use crate::draft::HeadFile;
use crate::error::Result;

/// How well one kind of prediction went.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Measured {
    /// Sum of the cross-entropies in nats.
    pub loss: f64,
    /// Predictions that were learnt from.
    pub learnt: usize,
    /// Of all predictions, those whose first choice was the target's.
    pub correct: usize,
    /// Predictions, those of tokens that cannot be drafted included.
    pub all: usize,
}

/// What a batch gave.
#[derive(Default)]
pub struct Loss {
    /// Of `value`, by every weight.
    pub gradients: Gradients,
    /// What is made small; 0 unless it was asked for.
    pub value: f64,
    /// For each token ahead: EAGLE-3's steps of training-time test, Medusa's heads.
    pub steps: Vec<Measured>,
}

/// A kind of head that can be trained. Passes of one update run side by side.
pub trait Network: Sync {
    /// The method's name, as in `--method`.
    fn name(&self) -> &'static str;

    /// The points of the target's residual stream that it sees.
    fn taps(&self) -> &[usize];

    /// Weights to begin with.
    ///
    /// # Errors
    /// The target's own weights cannot be read.
    fn initial(&self) -> Result<Parameters>;

    /// Gradients of a batch. `seed` is for noise; `measure` asks for the loss.
    ///
    /// # Errors
    /// A weight is missing, or the device failed.
    fn loss(&self, weights: &Parameters, batch: &Batch, seed: u64, measure: bool) -> Result<Loss>;

    /// The trained head in its official layout.
    ///
    /// # Errors
    /// A weight is missing.
    fn export(&self, weights: &Parameters) -> Result<HeadFile>;
}
