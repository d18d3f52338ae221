//! The methods of drafting, and what each needs to be set up.

use std::path::Path;
use std::sync::Arc;

use eaglet_core::draft::{
    self, Drafter, Eagle, Growth, Head, Ngram, NgramOptions, Plain, SmallModel,
};
use eaglet_core::model::{LoadOptions, Transformer};
use eaglet_core::weights::{Dtype, ModelFile, NamedTensors};

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

    /// A drafter of `tokens` tokens a round at most, for one sequence of `target`.
    pub fn drafter(
        self,
        draft: Option<&Path>,
        tokens: usize,
        target: &Transformer,
    ) -> Result<Box<dyn Drafter>, Failure> {
        self.check(draft)?;
        Ok(match (self, draft) {
            (Self::Eagle2 | Self::Eagle3, Some(folder)) => {
                let head = load_head(folder, target)?;
                if (self == Self::Eagle3) == head.taps().is_empty() {
                    return Err(Failure::Input(format!(
                        "{} holds the head of another method than {}",
                        folder.display(),
                        self.name()
                    )));
                }
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

/// A head from its folder; in f16, whatever the target is stored in.
fn load_head(folder: &Path, target: &Transformer) -> Result<Box<dyn Head>, Failure> {
    let config = folder.join("config.json");
    let text = std::fs::read(&config)
        .map_err(|e| Failure::Input(format!("cannot read {}: {e}", config.display())))?;
    let tensors = NamedTensors::open(&folder.join("model.safetensors"))?;
    Ok(draft::load_head(tensors, &text, target, Dtype::F16)?)
}
