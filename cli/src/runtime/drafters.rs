//! From what will draft to drafters: files are read once, however many sequences there are.

use std::rc::Rc;
use std::sync::Arc;

use eaglet_core::draft::{
    Drafter, Eagle, Head, Lookahead, Medusa, MedusaHeads, Ngram, NgramOptions, Plain, SmallModel,
    Union,
};
use eaglet_core::model::{LoadOptions, Transformer};
use eaglet_core::text::TextAssets;
use eaglet_core::weights::ModelFile;

use super::heads::Source;
use super::{Drafting, Method, head};
use crate::error::Failure;

/// Makes the drafters of sequences of one target, which share what was loaded.
pub struct Drafters<'a> {
    /// What was asked for.
    pub drafting: &'a Drafting,
    target: &'a Transformer,
    loaded: Loaded,
}

enum Loaded {
    Eagle(Rc<dyn Head>),
    Medusa(Rc<MedusaHeads>),
    Model(Arc<Transformer>),
    Nothing,
}

impl<'a> Drafters<'a> {
    /// Loads what drafting for `target` needs. With the target's text side an EAGLE head
    /// is tried on a few words.
    pub fn load(
        drafting: &'a Drafting,
        target: &'a Transformer,
        text: Option<&TextAssets>,
    ) -> Result<Self, Failure> {
        let loaded = match (drafting.method, &drafting.draft) {
            (method @ (Method::Eagle1 | Method::Eagle2 | Method::Eagle3), Some(source)) => {
                Loaded::Eagle(head::eagle(source, method, target, text)?.into())
            }
            (Method::Medusa, Some(source)) => {
                Loaded::Medusa(Rc::new(head::medusa(source, target)?))
            }
            (Method::SmallModel, Some(Source::Path(path))) => {
                let file = ModelFile::open(path)?;
                let (ops, options) = (target.ops().clone(), LoadOptions::default());
                let model = Transformer::load(&file, ops, options, |_, _| {})?;
                Loaded::Model(Arc::new(model))
            }
            _ => Loaded::Nothing,
        };
        Ok(Self {
            drafting,
            target,
            loaded,
        })
    }

    /// A drafter for one sequence.
    pub fn drafter(&self) -> Result<Box<dyn Drafter>, Failure> {
        let (drafting, target) = (self.drafting, self.target);
        let shaping = || drafting.shaping.clone();
        let drafter: Box<dyn Drafter> = match &self.loaded {
            Loaded::Eagle(head) => {
                let name = drafting.method.name();
                Box::new(Eagle::new(name, head.clone(), target, shaping())?)
            }
            Loaded::Medusa(heads) => Box::new(Medusa::new(heads.clone(), shaping())),
            Loaded::Model(model) => Box::new(SmallModel::new(model.clone(), target)?),
            Loaded::Nothing => match drafting.method {
                Method::Lookahead => Box::new(Lookahead::new(drafting.lookahead)?),
                Method::Ngram => Box::new(Ngram(NgramOptions {
                    copied: drafting.budget.nodes,
                    ..Default::default()
                })),
                _ => Box::new(Plain),
            },
        };
        Ok(match drafting.grafted {
            Some(options) => Box::new(Union::new(drafter, options)),
            None => drafter,
        })
    }
}
