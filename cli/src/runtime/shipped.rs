//! Heads that come with the program, for models that it knows by their shape.

use std::path::Path;

use eaglet_core::draft::HeadCheckpoint;
use eaglet_core::model::ModelConfig;
use eaglet_core::weights::{Checkpoint, ModelFile, NamedTensors};

use super::Method;
use crate::error::Failure;

/// A head in the program itself.
#[derive(Debug)]
pub struct Shipped {
    /// As messages call it.
    name: &'static str,
    /// The method that drafts with it.
    pub method: Method,
    /// Hidden width, layers and vocabulary of the model that it was trained for. Another
    /// model of this shape gets worse drafts and the right text.
    model: (usize, usize, usize),
    /// A GGUF or safetensors file.
    bytes: &'static [u8],
}

macro_rules! smollm {
    ($method:ident, $name:literal, $file:literal) => {
        Shipped {
            name: concat!("the shipped ", $name, " head of smollm2-135m-instruct"),
            method: Method::$method,
            model: (576, 30, 49152),
            bytes: include_bytes!(concat!("../../heads/smollm2-135m-instruct/", $file)),
        }
    };
}

/// All of them; docs/training.md tells how they were made.
static HEADS: [Shipped; 3] = [
    smollm!(Eagle3, "eagle3", "eagle3.gguf"),
    // What EAGLE-1 drafts with, too.
    smollm!(Eagle2, "eagle2", "eagle2.gguf"),
    smollm!(Medusa, "medusa", "medusa.safetensors"),
];

impl Shipped {
    /// Opens the head.
    pub fn open(&self) -> Result<HeadCheckpoint, Failure> {
        Ok(HeadCheckpoint {
            tensors: NamedTensors::from_bytes(Path::new(self.name), self.bytes)?,
            config: Vec::new(),
        })
    }

    /// As messages call it.
    pub fn name(&self) -> &'static str {
        self.name
    }
}

/// The head for a method and the model at a path, if one was shipped. A model that cannot
/// be read has none; loading it will say why.
pub fn of(method: Method, model: &Path) -> Option<&'static Shipped> {
    let heads = HEADS.iter().filter(|head| head.method == method);
    let mut heads = heads.peekable();
    heads.peek()?;
    let config = ModelFile::open(model).and_then(|file| file.config()).ok()?;
    let ModelConfig {
        hidden,
        layers,
        vocab,
        ..
    } = config;
    heads.find(|head| head.model == (hidden, layers, vocab))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn shipped_heads_are_what_they_say() {
        for head in &HEADS {
            let info = head.open().unwrap().describe().unwrap().unwrap();
            let (hidden, layers, vocab) = head.model;
            assert_eq!(info.target_hidden, hidden);
            assert!(info.vocab.is_none_or(|found| found == vocab));
            let deepest = info.taps.unwrap_or_default().last().copied();
            assert!(deepest.unwrap_or(layers) <= layers);
            assert_eq!(head.method.kind(), Some(info.kind));
        }
        let nowhere = Path::new("no such model");
        assert!(of(Method::Eagle3, nowhere).is_none() && of(Method::Plain, nowhere).is_none());
    }
}
