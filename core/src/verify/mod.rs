//! Which drafted tokens stand: numbers only, no cache and no model.
//!
//! Three rules. [`walk`] asks what the target would have drawn, and is the default: the
//! text is that of plain decoding, token by token. [`rejection`] asks how likely the
//! target is to draw what was drafted: the text differs from seed to seed as in plain
//! decoding, but not for the same seed. [`typical`] asks whether the target finds a token
//! likely enough, and changes what is written.

mod rejection;
mod typical;
mod walk;

pub use rejection::{Trial, rejection};
pub use typical::typical;
pub use walk::walk;

/// The rule that decides which drafted tokens stand. At temperature 0 all are one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Verification {
    /// Draw, then walk: the tokens of plain decoding with the same seed.
    #[default]
    Exact,
    /// Multi-round rejection sampling over sampled drafts: the distribution of plain
    /// decoding, but other tokens for the same seed.
    Rejection,
    /// Medusa's typical acceptance: **lossy**, its text is distributed otherwise.
    Typical,
}

/// The outcome of a round.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verdict {
    /// Accepted nodes below the root, in order of depth.
    pub accepted: Vec<usize>,
    /// The token that follows them: the target's own.
    pub bonus: u32,
}
