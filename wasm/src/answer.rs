//! One answer: its tokens and text as rounds bring them.

use std::collections::VecDeque;

use eaglet_core::engine::{Emission, FinishReason, Sequence, Stats, Watch};
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
    /// The logarithm of its probability, as the model gave it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub logprob: Option<f32>,
    /// The likeliest tokens in its place.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub top: Option<Vec<Likely>>,
}

/// A token that could have been.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Likely {
    /// Its id.
    pub id: u32,
    /// Its text, alone.
    pub text: String,
    /// The logarithm of its probability.
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

/// An answer that is being given.
pub struct Answer {
    eos: Vec<u32>,
    /// Of the answer, and of single tokens.
    detokenizer: Detokenizer,
    alone: Detokenizer,
    stops: StopStrings,
    stopped: bool,
    max_tokens: Option<usize>,
    logprobs: Option<usize>,
    /// Rows that the next tokens are drawn from, where they are wanted.
    rows: VecDeque<Vec<f32>>,
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
    /// Waits for the first token of an answer.
    ///
    /// # Errors
    /// A stop string is empty.
    pub fn new(request: &Request, text: &TextAssets) -> Result<Self, Failure> {
        let alone = Detokenizer::new(text.tokenizer.clone(), true);
        Ok(Self {
            eos: text.tokenizer.eos_ids().to_vec(),
            detokenizer: Detokenizer::new(text.tokenizer.clone(), false),
            alone,
            stops: StopStrings::new(request.stop.clone())?,
            stopped: false,
            max_tokens: request.max_tokens,
            logprobs: request.logprobs,
            rows: VecDeque::new(),
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
        let text = match self.eos.contains(&id) {
            true => String::new(),
            false => self.detokenizer.push(id)?,
        };
        let released = self.stops.push(&text);
        self.stopped = released.stop.is_some();
        self.step.text += &released.text;
        let mut token = Token {
            id,
            text,
            drafted: false,
            logprob: None,
            top: None,
        };
        if let Some((count, row)) = self.logprobs.zip(self.rows.pop_front()) {
            self.judge(&mut token, &row, count)?;
        }
        self.step.tokens.push(token);
        Ok(self.stopped)
    }

    fn judge(&self, token: &mut Token, logits: &[f32], count: usize) -> Result<(), Failure> {
        let total = log_sum_exp(logits);
        token.logprob = logits.get(token.id as usize).map(|logit| logit - total);
        if count > 0 {
            let likely = top_k(logits, count, total).into_iter();
            let likely = likely.map(|(id, logprob)| {
                let mut alone = self.alone.clone();
                let mut text = alone.push(id)?;
                text += &alone.finish();
                Ok::<_, Failure>(Likely { id, text, logprob })
            });
            token.top = Some(likely.collect::<Result<_, _>>()?);
        }
        Ok(())
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

    fn wants_logits(&self) -> bool {
        self.logprobs.is_some()
    }

    fn logits(&mut self, _: usize, logits: &[f32]) {
        self.rows.push_back(logits.to_vec());
    }
}
