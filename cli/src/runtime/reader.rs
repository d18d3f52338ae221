//! Tokens to text as they come, and where a stop string ends it.

use eaglet_core::engine::FinishReason;
use eaglet_core::text::{Detokenizer, StopStrings, TextAssets};

use crate::error::Failure;

/// What an answer turned out to be.
#[derive(Clone, Debug)]
pub struct Reply {
    /// The text, without the stop string or the token that ended it.
    pub text: String,
    /// All ids that were emitted.
    pub ids: Vec<u32>,
    /// Why it ended; `None` when the person interrupted it.
    pub finish: Option<FinishReason>,
}

/// Reads one answer.
pub struct Reader<'a> {
    eos: &'a [u32],
    detokenizer: Detokenizer,
    stops: StopStrings,
    text: String,
    ids: Vec<u32>,
    stopped: bool,
}

impl<'a> Reader<'a> {
    /// Waits for the first token of an answer that ends before any of `stops`.
    pub fn new(assets: &'a TextAssets, stops: &[String]) -> Result<Self, Failure> {
        Ok(Self {
            eos: assets.tokenizer.eos_ids(),
            detokenizer: Detokenizer::new(assets.tokenizer.clone(), false),
            stops: StopStrings::new(stops.to_vec())?,
            text: String::new(),
            ids: Vec::new(),
            stopped: false,
        })
    }

    /// Takes a token and returns the text that is certain by it.
    pub fn read(&mut self, token: u32) -> Result<&str, Failure> {
        self.ids.push(token);
        let piece = match self.eos.contains(&token) {
            true => String::new(),
            false => self.detokenizer.push(token)?,
        };
        let released = self.stops.push(&piece);
        self.stopped = released.stop.is_some();
        let certain = self.text.len();
        self.text.push_str(&released.text);
        Ok(&self.text[certain..])
    }

    /// Whether a stop string was met.
    pub fn is_stopped(&self) -> bool {
        self.stopped
    }

    /// The bytes of text that are certain so far.
    pub fn certain(&self) -> usize {
        self.text.len()
    }

    /// The whole answer: what was held back is part of it unless a stop string ended it.
    pub fn finish(mut self, finish: Option<FinishReason>) -> Reply {
        if !self.stopped {
            let rest = self.stops.push(&self.detokenizer.finish()).text;
            self.text.push_str(&rest);
            self.text.push_str(&self.stops.finish());
        }
        Reply {
            text: self.text,
            ids: self.ids,
            finish,
        }
    }
}
