//! The rules that decide which drafted tokens stand, as they are typed.

use eaglet_core::verify::Verification;

/// Which drafted tokens stand.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Verify {
    /// Lossless: the same tokens as --method plain with the same seed
    Exact,
    /// Lossless in distribution, as EAGLE-1 published it: drafts are drawn; the text of a
    /// seed is not that of --method plain, but just as likely
    Rejection,
    /// LOSSY: Medusa's typical acceptance; what the model finds likely enough stands, so
    /// its text is distributed otherwise than the model's own
    Typical,
}

impl Verify {
    /// The name, as typed and reported.
    pub fn name(self) -> &'static str {
        match self {
            Self::Exact => "exact",
            Self::Rejection => "rejection",
            Self::Typical => "typical",
        }
    }
}

impl From<Verify> for Verification {
    fn from(verify: Verify) -> Self {
        match verify {
            Verify::Exact => Self::Exact,
            Verify::Rejection => Self::Rejection,
            Verify::Typical => Self::Typical,
        }
    }
}
