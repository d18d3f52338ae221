//! What answers cost, and the figures that follow from it.

use eaglet_core::engine::Stats;
use serde::Serialize;

/// Counts and times of some answers together. Times are in seconds.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Tally {
    /// Tokens emitted by rounds: all but the first of each answer, which prefill gives.
    pub tokens: usize,
    /// Passes of the target.
    pub rounds: usize,
    /// Drafted nodes that were verified.
    pub drafted: usize,
    /// Entry i counts the rounds whose draft at depth i + 1 was accepted.
    pub accepted_by_depth: Vec<usize>,
    /// Time of the rounds.
    pub decode: f64,
    /// Of that, time spent drafting.
    pub draft: f64,
    /// Of that, time until the verdict: see [`Stats::verify`].
    pub verify: f64,
    /// Tokens of prompts that were computed.
    pub prompt_tokens: usize,
    /// Time from a prompt to its first token.
    pub prefill: f64,
}

/// Where the time of the rounds went, as shares of it.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Split {
    pub draft: f64,
    pub verify: f64,
    /// Neither: sampling, tables, what the drafter learns.
    pub host: f64,
}

impl Tally {
    /// Of one answer.
    pub fn of(stats: &Stats) -> Self {
        Self {
            tokens: stats.generated_tokens.saturating_sub(1),
            rounds: stats.rounds,
            drafted: stats.drafted_tokens,
            accepted_by_depth: stats.accepted_by_depth.clone(),
            decode: stats.decode.as_secs_f64(),
            draft: stats.draft.as_secs_f64(),
            verify: stats.verify.as_secs_f64(),
            prompt_tokens: stats.prompt_tokens - stats.reused_tokens,
            prefill: stats.prefill.as_secs_f64(),
        }
    }

    /// Takes in what other answers cost.
    pub fn add(&mut self, other: &Self) {
        self.tokens += other.tokens;
        self.rounds += other.rounds;
        self.drafted += other.drafted;
        let depths = self
            .accepted_by_depth
            .len()
            .max(other.accepted_by_depth.len());
        self.accepted_by_depth.resize(depths, 0);
        for (sum, count) in self
            .accepted_by_depth
            .iter_mut()
            .zip(&other.accepted_by_depth)
        {
            *sum += count;
        }
        self.decode += other.decode;
        self.draft += other.draft;
        self.verify += other.verify;
        self.prompt_tokens += other.prompt_tokens;
        self.prefill += other.prefill;
    }

    /// Tokens emitted by rounds, a second; 0 where there was no round.
    pub fn rate(&self) -> f64 {
        ratio(self.tokens as f64, self.decode)
    }

    /// Passes of the target a second.
    pub fn passes(&self) -> f64 {
        ratio(self.rounds as f64, self.decode)
    }

    /// Prompt tokens a second.
    pub fn prefill_rate(&self) -> f64 {
        ratio(self.prompt_tokens as f64, self.prefill)
    }

    /// Tokens a round, the target's own included.
    pub fn tau(&self) -> f64 {
        ratio(self.tokens as f64, self.rounds as f64)
    }

    /// The share of all rounds in which the draft at each depth was accepted.
    pub fn acceptance(&self) -> Vec<f64> {
        let share = |&count: &usize| ratio(count as f64, self.rounds as f64);
        self.accepted_by_depth.iter().map(share).collect()
    }

    /// Where the time went.
    pub fn split(&self) -> Split {
        let (draft, verify) = (
            ratio(self.draft, self.decode),
            ratio(self.verify, self.decode),
        );
        Split {
            draft,
            verify,
            host: match self.rounds {
                0 => 0.0,
                _ => (1.0 - draft - verify).max(0.0),
            },
        }
    }
}

fn ratio(part: f64, whole: f64) -> f64 {
    match whole {
        0.0 => 0.0,
        whole => part / whole,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_are_those_of_the_sums() {
        let mut tally = Tally {
            tokens: 30,
            rounds: 20,
            accepted_by_depth: vec![10],
            decode: 2.0,
            draft: 0.5,
            verify: 1.0,
            ..Tally::default()
        };
        tally.add(&Tally {
            tokens: 30,
            rounds: 10,
            accepted_by_depth: vec![8, 5],
            decode: 1.0,
            draft: 0.25,
            verify: 0.5,
            prompt_tokens: 50,
            prefill: 0.5,
            ..Tally::default()
        });
        assert_eq!(
            (tally.tau(), tally.rate(), tally.passes()),
            (2.0, 20.0, 10.0)
        );
        assert_eq!(tally.acceptance(), [0.6, 5.0 / 30.0]);
        assert_eq!(tally.prefill_rate(), 100.0);
        let split = tally.split();
        assert_eq!((split.draft, split.verify, split.host), (0.25, 0.5, 0.25));
    }

    #[test]
    fn nothing_divides_by_zero() {
        let none = Tally::default();
        assert_eq!(
            (none.tau(), none.rate(), none.prefill_rate()),
            (0.0, 0.0, 0.0)
        );
        assert_eq!(none.split().host, 0.0);
    }
}
