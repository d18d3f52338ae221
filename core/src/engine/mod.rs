//! The decode loop: prefill, rounds, stops, statistics.

mod prefill;
mod sequence;
mod session;
mod sizing;
mod stats;
mod watch;

pub use sequence::{FinishReason, Limits, Sequence, SequenceOptions};
pub use session::{Emission, Session, SessionOptions};
pub use sizing::Sizing;
pub use stats::Stats;
pub use watch::Watch;
