//! What a sequence cost and what it gave.

use std::time::Duration;

use crate::ops::Counters;
use crate::tree::Tree;

/// Counts and times of one sequence since its last prompt. Times are those of the rounds
/// it took part in, whole: sequences that share a round each count all of it.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Stats {
    /// Tokens of the prompt, those found in the cache included.
    pub prompt_tokens: usize,
    /// Of these, tokens that the cache held already.
    pub reused_tokens: usize,
    /// Tokens emitted, the first one, which prefill gives, included.
    pub generated_tokens: usize,
    /// Rounds, each one forward pass of the target.
    pub rounds: usize,
    /// Drafted nodes that were verified.
    pub drafted_tokens: usize,
    /// Entry i counts the rounds whose draft at depth i + 1 was accepted.
    pub accepted_by_depth: Vec<usize>,
    /// Entry i counts the rounds that verified a draft at depth i + 1.
    pub tried_by_depth: Vec<usize>,
    /// Time from the prompt to the first token.
    pub prefill: Duration,
    /// Time of all rounds.
    pub decode: Duration,
    /// Of that, time spent proposing. Where a round waits for the device only once, a draft is
    /// queued and not waited for: its passes count as time of `verify`.
    pub draft: Duration,
    /// Of that, time until the verdict: the target's forward pass, logits and readback included.
    pub verify: Duration,
    /// What all rounds asked of the device.
    pub asked: Counters,
}

impl Stats {
    /// Tokens emitted per round: 1 in plain decoding.
    pub fn tau(&self) -> f64 {
        match self.rounds {
            0 => 0.0,
            rounds => (self.generated_tokens - 1) as f64 / rounds as f64,
        }
    }

    /// Time of the rounds that is neither drafting nor the target: sampling, tables.
    pub fn host(&self) -> Duration {
        self.decode.saturating_sub(self.draft + self.verify)
    }

    /// Prompt tokens that were computed, a second.
    pub fn prefill_rate(&self) -> f64 {
        rate(self.prompt_tokens - self.reused_tokens, self.prefill)
    }

    /// Tokens emitted by rounds, a second.
    pub fn decode_rate(&self) -> f64 {
        rate(self.generated_tokens.saturating_sub(1), self.decode)
    }

    /// Records a round that verified a tree and kept `accepted` of its nodes.
    pub(super) fn record(&mut self, tree: &Tree, accepted: usize) {
        self.rounds += 1;
        self.drafted_tokens += tree.len() - 1;
        count_to(&mut self.accepted_by_depth, accepted);
        count_to(&mut self.tried_by_depth, tree.height());
    }
}

/// Counts one more for each depth down to `depth`.
fn count_to(counts: &mut Vec<usize>, depth: usize) {
    if counts.len() < depth {
        counts.resize(depth, 0);
    }
    counts[..depth].iter_mut().for_each(|count| *count += 1);
}

fn rate(tokens: usize, time: Duration) -> f64 {
    match time.as_secs_f64() {
        0.0 => 0.0,
        seconds => tokens as f64 / seconds,
    }
}
