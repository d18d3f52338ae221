//! The methods of drafting.

use eaglet_core::draft::HeadKind;

/// The methods of drafting.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Method {
    /// A head that lies beside the model or was shipped for it, with n-grams; else ngram
    Auto,
    /// One token a round: nothing is drafted
    Plain,
    /// Copy what followed the last words when they occurred before
    Ngram,
    /// An EAGLE-1 head with its static tree
    Eagle1,
    /// An EAGLE-1 head with EAGLE-2's dynamic trees
    Eagle2,
    /// An EAGLE-3 head with dynamic trees
    Eagle3,
    /// Medusa heads, each for one position further ahead
    Medusa,
    /// Lookahead decoding: the model guesses ahead of itself, no file needed
    Lookahead,
    /// A second model of the same vocabulary (needs --draft)
    SmallModel,
}

impl Method {
    /// The name, as typed and reported.
    pub fn name(self) -> &'static str {
        match self {
            Self::Auto => "auto",
            Self::Plain => "plain",
            Self::Ngram => "ngram",
            Self::Eagle1 => "eagle1",
            Self::Eagle2 => "eagle2",
            Self::Eagle3 => "eagle3",
            Self::Medusa => "medusa",
            Self::Lookahead => "lookahead",
            Self::SmallModel => "small-model",
        }
    }

    /// What it drafts with, of methods that have a trained head.
    pub fn kind(self) -> Option<HeadKind> {
        match self {
            Self::Eagle1 | Self::Eagle2 => Some(HeadKind::Eagle1),
            Self::Eagle3 => Some(HeadKind::Eagle3),
            Self::Medusa => Some(HeadKind::Medusa),
            _ => None,
        }
    }

    /// Whether it drafts with a trained head, in trees.
    pub fn has_head(self) -> bool {
        self.kind().is_some()
    }
}
