//! Training of heads, from the target alone.
//!
//! A [`Tracer`] runs the target over [`Document`]s and keeps what a head sees and what it
//! is to predict, the [`Trace`]; a [`Trainer`] shows batches of traces to a [`Network`]
//! (EAGLE-3, EAGLE-1 or Medusa), whose gradients come from burn's autodiff, but for the
//! largest matrix, the output head, whose cross-entropy is fused ([`cross_entropy`]). The
//! target runs on the device's own fast operations and is never differentiated.
//!
//! Papers: EAGLE (Li et al. 2024), EAGLE-3 (Li et al. 2025), Medusa (Cai et al. 2024).

mod acceptance;
mod batch;
mod cross_entropy;
mod document;
mod eagle1;
mod eagle3;
mod export;
mod initial;
mod layer;
mod medusa;
mod muon;
mod network;
mod optimizer;
mod parameters;
mod schedule;
mod state;
mod trace;
mod traces;
mod trainer;
mod vocabulary;

pub use acceptance::{Acceptance, acceptance};
pub use batch::Batch;
pub use cross_entropy::{CrossEntropy, cross_entropy};
pub use document::Document;
pub use eagle1::Eagle1Network;
pub use eagle3::Eagle3Network;
pub use initial::Initial;
pub use medusa::MedusaNetwork;
pub use network::{Loss, Measured, Network};
pub use optimizer::{Optimizer, Rate, Rule};
pub use parameters::{Gradients, Leaves, Parameters};
pub use trace::{Trace, Tracer};
pub use traces::Traces;
pub use trainer::{StepReport, TrainOptions, Trainer};
pub use vocabulary::DraftVocabulary;

use crate::error::{Error, Result};

/// Where EAGLE-3 taps a target of `layers` layers: what enters layers 2, L / 2 and L - 3.
///
/// # Errors
/// These are not three different points.
pub fn taps(layers: usize) -> Result<Vec<usize>> {
    let taps = vec![2, layers / 2, layers.saturating_sub(3)];
    match taps.is_sorted_by(|a, b| a < b) {
        true => Ok(taps),
        false => Err(Error::Invalid(format!(
            "a model of {layers} layers is too shallow for EAGLE-3's three taps"
        ))),
    }
}
