//! The decode loop: prefill, rounds, stops, statistics.

mod prefill;
mod sequence;
mod session;
mod stats;

pub use sequence::{FinishReason, Limits, Sequence, SequenceOptions};
pub use session::{Emission, Session, SessionOptions, Watch};
pub use stats::Stats;
