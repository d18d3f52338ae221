//! The methods of drafting, and what each needs to be set up.

use std::path::Path;
use std::sync::Arc;

use eaglet_core::draft::{
    Drafter, Eagle, Growth, HeadKind, Ngram, NgramOptions, Plain, SmallModel,
};
use eaglet_core::model::{LoadOptions, Transformer};
use eaglet_core::weights::ModelFile;

use super::{Runtime, head};
use crate::error::Failure;

/// The methods of drafting.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Method {
    /// One token a round: nothing is drafted
    Plain,
    /// Copy what followed the last words when they occurred before
    Ngram,
    /// An EAGLE-1 head with EAGLE-2's dynamic trees (needs --draft)
    Eagle2,
    /// An EAGLE-3 head with dynamic trees (needs --draft)
    Eagle3,
    /// A second model of the same vocabulary (needs --draft)
    SmallModel,
}

impl Method {
    /// The name, as typed and reported.
    pub fn name(self) -> &'static str {
        match self {
            Self::Plain => "plain",
            Self::Ngram => "ngram",
            Self::Eagle2 => "eagle2",
            Self::Eagle3 => "eagle3",
            Self::SmallModel => "small-model",
        }
    }

    /// Refuses a method without what it drafts with, and the other way round.
    pub fn check(self, draft: Option<&Path>) -> Result<(), Failure> {
        let name = self.name();
        match (self, draft) {
            (Self::Plain | Self::Ngram, Some(_)) => Err(Failure::Input(format!(
                "--draft is for the methods that need a file; {name} needs none"
            ))),
            (Self::Eagle2 | Self::Eagle3 | Self::SmallModel, None) => Err(Failure::Input(format!(
                "--method {name} needs what it drafts with: --draft PATH"
            ))),
            _ => Ok(()),
        }
    }

    /// A drafter of `tokens` tokens a round at most, for one sequence of the model.
    pub fn drafter(
        self,
        draft: Option<&Path>,
        tokens: usize,
        runtime: &Runtime,
    ) -> Result<Box<dyn Drafter>, Failure> {
        self.check(draft)?;
        let target = &*runtime.target;
        Ok(match (self, draft) {
            (Self::Eagle2 | Self::Eagle3, Some(path)) => {
                let kind = match self {
                    Self::Eagle3 => HeadKind::Eagle3,
                    _ => HeadKind::Eagle1,
                };
                let head = head::load(path, kind, self.name(), runtime)?;
                let growth = Growth {
                    top_k: 4,
                    depth: 5,
                    nodes: tokens,
                };
                Box::new(Eagle::new(self.name(), head, target, growth)?)
            }
            (Self::SmallModel, Some(path)) => {
                let file = ModelFile::open(path)?;
                let (ops, options) = (target.ops().clone(), LoadOptions::default());
                let model = Transformer::load(&file, ops, options, |_, _| {})?;
                Box::new(SmallModel::new(Arc::new(model), target)?)
            }
            (Self::Ngram, _) => Box::new(Ngram(NgramOptions {
                copied: tokens,
                ..Default::default()
            })),
            _ => Box::new(Plain),
        })
    }
}
