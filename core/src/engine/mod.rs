//! The decode loop: prefill, rounds, stops, statistics.

mod calibration;
mod costs;
mod draws;
mod foresight;
mod judge;
mod measure;
mod prefill;
mod round;
mod sequence;
mod session;
mod sizing;
mod stats;
mod unseen;
mod watch;
mod worth;

pub use costs::CostTable;
pub use round::Emission;
pub use sequence::{FinishReason, Limits, Sequence, SequenceOptions};
pub use session::{Session, SessionOptions};
pub use sizing::Sizing;
pub use stats::Stats;
pub use watch::{Watch, Word};
