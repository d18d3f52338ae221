//! One conversation: what is committed, what was emitted last, how it goes on.

use super::calibration::Calibration;
use super::foresight::Foresight;
use super::{Sizing, Stats};
use crate::cache::Table;
use crate::draft::{Budget, Drafter, Drawn};
use crate::error::Result;
use crate::sample::Sampling;
use crate::tree::Tree;
use crate::verify::Verification;

/// Why a sequence ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FinishReason {
    /// The model said so, or a stop string was met.
    Stop,
    /// The answer's or the context's last token was reached.
    Length,
}

impl FinishReason {
    /// The name that OpenAI-style interfaces use.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Stop => "stop",
            Self::Length => "length",
        }
    }
}

/// Where an answer ends.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Limits {
    /// Tokens that end the answer; the one that did is the last of the answer's ids.
    pub eos: Vec<u32>,
    /// Tokens emitted at most; `None` goes on to the end of the context.
    pub max_tokens: Option<usize>,
}

/// How a sequence is decoded.
pub struct SequenceOptions {
    /// What shapes the distribution and seeds the draws.
    pub sampling: Sampling,
    /// Where answers end.
    pub limits: Limits,
    /// What proposes tokens.
    pub drafter: Box<dyn Drafter>,
    /// How much a round may draft.
    pub budget: Budget,
    /// How much of it is verified, where that cannot change the text.
    pub sizing: Sizing,
    /// Which of it stands.
    pub verification: Verification,
}

impl SequenceOptions {
    /// The rule that decides: at temperature 0 all rules are one.
    pub(super) fn rule(&self) -> Verification {
        match self.sampling.temperature {
            0.0 => Verification::Exact,
            _ => self.verification,
        }
    }

    /// Whether trees are cut to what pays. Only where no token depends on it: elsewhere
    /// the text would depend on the clock, and a tree that was drawn must stay whole.
    pub(super) fn is_sized(&self) -> bool {
        self.sizing == Sizing::Measured && self.rule() == Verification::Exact
    }
}

/// A sequence of a session.
pub struct Sequence {
    pub(super) options: SequenceOptions,
    pub(super) table: Table,
    /// All tokens: the committed ones, and after them the root.
    pub(super) tokens: Vec<u32>,
    pub(super) finish: Option<FinishReason>,
    pub(super) stats: Stats,
    pub(super) calibration: Calibration,
    pub(super) foresight: Foresight,
}

impl Sequence {
    pub(super) fn new(options: SequenceOptions) -> Self {
        Self {
            options,
            table: Table::default(),
            tokens: Vec::new(),
            finish: None,
            stats: Stats::default(),
            calibration: Calibration::default(),
            foresight: Foresight::default(),
        }
    }

    /// All tokens so far: prompts, answers, and the last one emitted.
    pub fn tokens(&self) -> &[u32] {
        &self.tokens
    }

    /// Counts and times since the last prompt.
    pub fn stats(&self) -> &Stats {
        &self.stats
    }

    /// Why the answer ended, once it has.
    pub fn finish(&self) -> Option<FinishReason> {
        self.finish
    }

    /// Whether it waits for a round: prompted and not at its end.
    pub(super) fn is_live(&self) -> bool {
        self.finish.is_none() && self.tokens.len() > self.table.len()
    }

    /// Whether its drafter rests while drafting does not pay; likewise only where no token
    /// depends on it.
    pub(super) fn rests(&self) -> bool {
        let SequenceOptions {
            sizing, drafter, ..
        } = &self.options;
        *sizing != Sizing::Fixed
            && self.options.rule() == Verification::Exact
            && !drafter.keeps_account()
    }

    /// Tokens that may still be emitted.
    pub(super) fn remaining(&self, context: usize) -> usize {
        let room = context - self.tokens.len().min(context);
        let limit = self.options.limits.max_tokens;
        limit.map_or(room, |max| {
            room.min(max.saturating_sub(self.stats.generated_tokens))
        })
    }

    /// What this round may draft: nothing beyond the last token that may be emitted.
    pub(super) fn budget(&self, context: usize) -> Budget {
        let depth = self.remaining(context).saturating_sub(1);
        let wanted = self.options.budget;
        Budget {
            depth: wanted.depth.min(depth),
            ..wanted
        }
    }

    /// A tree for this round: drawn, with what it was drawn from, where the rule wants
    /// draws; chosen everywhere else.
    pub(super) async fn propose(&mut self, budget: Budget) -> Result<(Tree, Drawn)> {
        let rule = self.options.rule();
        let SequenceOptions {
            drafter, sampling, ..
        } = &mut self.options;
        match rule {
            Verification::Rejection => drafter.sample(&self.tokens, budget, sampling).await,
            _ => Ok((
                drafter.propose(&self.tokens, budget).await?,
                Drawn::default(),
            )),
        }
    }

    /// Appends an emitted token and finds out whether it is the last one. `stop` is what
    /// the caller's watch says of it.
    pub(super) fn emit(&mut self, token: u32, stop: bool, context: usize) {
        self.tokens.push(token);
        self.stats.generated_tokens += 1;
        self.finish = if stop || self.options.limits.eos.contains(&token) {
            Some(FinishReason::Stop)
        } else if self.remaining(context) == 0 {
            Some(FinishReason::Length)
        } else {
            None
        };
    }
}
