//! One answer: its tokens and text as rounds bring them.

use std::collections::VecDeque;

use eaglet_core::engine::{Emission, FinishReason, Sequence, Stats, Watch, Word};
use eaglet_core::sample::{log_sum_exp, top_k};
use eaglet_core::text::{Detokenizer, StopStrings, TextAssets};
use serde::Serialize;

use crate::{Failure, Request};

/// A token of an answer.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Token {
    /// Its id.
    pub id: u32,
    /// The text that became certain with it; the one that ends a turn has none.
    pub text: String,
    /// Whether a drafter guessed it.
    pub drafted: bool,
    /// How likely it was, where that is wanted; not of the one that ends a turn, which is no
    /// part of the answer.
    #[serde(flatten, skip_serializing_if = "Option::is_none")]
    pub odds: Option<Odds>,
}

/// How likely a token was, and others in its place.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Odds {
    /// Of the token itself.
    #[serde(flatten)]
    pub chosen: Likely,
    /// The likeliest ones.
    pub top: Vec<Likely>,
}

/// A token and its probability.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Likely {
    /// What it stands for: a part of a character, it may be.
    pub bytes: Vec<u8>,
    /// The logarithm of its probability, as the model gave it.
    pub logprob: f32,
}

/// What a round brought.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Step {
    /// Text that is certain now: what may become a stop string is held back.
    pub text: String,
    /// Tokens, in order.
    pub tokens: Vec<Token>,
    /// `stop`, `length` or `context`, once the answer has ended.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub finish: Option<&'static str>,
}

/// Lets the events in that are due, and says whether an answer is no longer wanted.
pub type Listen = Box<dyn FnMut() -> Word<'static>>;

/// An answer that is being given.
pub struct Answer {
    eos: Vec<u32>,
    detokenizer: Detokenizer,
    stops: StopStrings,
    stopped: bool,
    max_tokens: Option<usize>,
    logprobs: Option<usize>,
    /// Rows that the next tokens are drawn from, where they are wanted.
    rows: VecDeque<Vec<f32>>,
    listen: Listen,
    /// What the round at hand has brought so far.
    step: Step,
    /// What went wrong inside it.
    failure: Option<Failure>,
    /// Counts and times so far.
    pub stats: Stats,
    /// Whether the last token is out.
    pub ended: bool,
}

impl Answer {
    /// Waits for the first token of an answer; `listen` is asked while a long prompt is read.
    ///
    /// # Errors
    /// A stop string is empty.
    pub fn new(request: &Request, text: &TextAssets, listen: Listen) -> Result<Self, Failure> {
        Ok(Self {
            eos: text.tokenizer.eos_ids().to_vec(),
            detokenizer: Detokenizer::new(text.tokenizer.clone(), false),
            stops: StopStrings::new(request.stop.clone())?,
            stopped: false,
            max_tokens: request.max_tokens,
            logprobs: request.logprobs,
            rows: VecDeque::new(),
            listen,
            step: Step::default(),
            failure: None,
            stats: Stats::default(),
            ended: false,
        })
    }

    /// Takes what a round brought: `emission`, of a sequence of so many positions.
    ///
    /// # Errors
    /// What went wrong while its tokens came.
    pub fn take(
        &mut self,
        emission: &Emission,
        sequence: &Sequence,
        context: usize,
    ) -> Result<Step, Failure> {
        self.rows.clear();
        if let Some(failure) = self.failure.take() {
            return Err(failure);
        }
        let accepted = |stats: &Stats| stats.accepted_by_depth.iter().sum::<usize>();
        let drafted = accepted(sequence.stats()) - accepted(&self.stats);
        self.stats = sequence.stats().clone();
        let mut step = std::mem::take(&mut self.step);
        for token in step.tokens.iter_mut().take(drafted) {
            token.drafted = true;
        }
        if let Some(finish) = emission.finish {
            self.ended = true;
            step.text += &self.rest();
            let wanted = self.max_tokens.unwrap_or(usize::MAX);
            let full = sequence.tokens().len() >= context && self.stats.generated_tokens < wanted;
            step.finish = Some(match finish {
                FinishReason::Length if full => "context",
                finish => finish.as_str(),
            });
        }
        Ok(step)
    }

    /// What was held back, which is text after all unless a stop string ended the answer.
    fn rest(&mut self) -> String {
        if self.stopped {
            return String::new();
        }
        let mut text = self.stops.push(&self.detokenizer.clone().finish()).text;
        text += &self.stops.clone().finish();
        text
    }

    /// Reads one token; returns whether a stop string ends the answer with it.
    fn read(&mut self, id: u32) -> Result<bool, Failure> {
        let row = self.logprobs.zip(self.rows.pop_front());
        let ends = self.eos.contains(&id);
        let odds = row
            .filter(|_| !ends)
            .map(|(count, row)| self.odds(id, &row, count));
        let text = match ends {
            true => String::new(),
            false => self.detokenizer.push(id)?,
        };
        let released = self.stops.push(&text);
        self.stopped = released.stop.is_some();
        self.step.text += &released.text;
        self.step.tokens.push(Token {
            id,
            text,
            drafted: false,
            odds,
        });
        Ok(self.stopped)
    }

    /// How likely the next token and others were.
    fn odds(&self, id: u32, logits: &[f32], count: usize) -> Odds {
        let total = log_sum_exp(logits);
        let likely = |(id, logprob): (u32, f32)| Likely {
            // Logits may be padded: an id beyond the vocabulary stands for nothing.
            bytes: self.detokenizer.bytes(id).unwrap_or_default(),
            logprob,
        };
        let top = match count {
            0 => Vec::new(),
            count => top_k(logits, count, total),
        };
        Odds {
            chosen: likely((id, logits[id as usize] - total)),
            top: top.into_iter().map(likely).collect(),
        }
    }
}

impl Watch for Answer {
    fn emitted(&mut self, _: usize, token: u32) -> bool {
        match self.read(token) {
            Ok(stop) => stop,
            Err(failure) => {
                self.failure = Some(failure);
                true
            }
        }
    }

    fn cancelled(&mut self) -> Word<'_> {
        (self.listen)()
    }

    fn wants_logits(&self) -> bool {
        self.logprobs.is_some()
    }

    fn logits(&mut self, _: usize, logits: &[f32]) {
        self.rows.push_back(logits.to_vec());
    }
}
