//! Whether drafting pays for itself, the drafter's own time included.

use std::time::Duration;

use crate::draft::rest::Rest;

/// A record of rounds that drafted. When they cost more than plain steps would have, the
/// drafter rests, and each time that it fails again it rests longer.
#[derive(Clone, Debug, Default)]
pub(super) struct Worth {
    /// Seconds of rounds that drafted, fading out.
    spent: f64,
    /// Seconds that plain steps would have taken for their tokens, likewise.
    plain: f64,
    /// Tokens of these rounds, likewise.
    tokens: f64,
    rest: Rest,
    /// Rounds whose drafts took passes of a network, and the seconds of one pass.
    passed: usize,
    pass: f64,
}

/// Rounds before drafting is judged.
const TRIAL: usize = 6;
/// Rounds after which a judgement is certain.
const CERTAIN: usize = 24;
/// What may be noise before that.
const NOISE: f64 = 1.05;
/// How fast rounds are forgotten.
const MEMORY: f64 = 0.95;
/// What is left of the time of a pass after a round without one.
const FADING: f64 = 0.97;
/// Weight of the newest time of a pass.
const NEWEST: f64 = 0.2;

impl Worth {
    /// Whether this round should draft nothing.
    pub fn is_resting(&self) -> bool {
        self.rest.is_on()
    }

    /// Takes note of a round: its whole time, the tokens that it gave, and the seconds
    /// that a plain step takes for each.
    pub fn record(&mut self, drafted: bool, time: Duration, tokens: usize, plain: f64) {
        self.rest.pass_round();
        if !drafted {
            return;
        }
        let plain = plain * tokens as f64;
        let time = time.as_secs_f64().min(4.0 * plain);
        for (sum, new) in [
            (&mut self.spent, time),
            (&mut self.plain, plain),
            (&mut self.tokens, tokens as f64),
        ] {
            *sum = *sum * MEMORY + new;
        }
        let judged = self.rest.tried();
        let limit = match judged {
            0..TRIAL => return,
            TRIAL..CERTAIN => NOISE,
            _ => 1.0,
        };
        if self.spent > limit * self.plain {
            self.rest.begin();
            (self.spent, self.plain, self.tokens) = (0.0, 0.0, 0.0);
        } else if judged >= CERTAIN {
            self.rest.forget();
        }
    }

    /// Takes note of how long a round's drafts took, and of the drafters' passes in it;
    /// `plain` is what a plain step takes.
    pub fn record_draft(&mut self, time: Duration, passes: usize, plain: f64) {
        if passes == 0 {
            // What is not used is not known for ever: it will be tried again.
            self.pass *= FADING;
            return;
        }
        self.passed += 1;
        // A pass that takes in a prompt, or what was said during a rest, is no measure.
        let new = (time.as_secs_f64() / passes as f64).min(plain);
        self.pass = match self.passed {
            1 => return,
            2 if self.pass == 0.0 => new,
            _ => self.pass + NEWEST * (new - self.pass),
        };
    }

    /// Begins with the seconds of one pass that a rehearsal took.
    pub fn assume(&mut self, pass: f64) {
        self.pass = pass;
    }

    /// Seconds of one pass of a drafter, 0 as long as that is not known.
    pub fn pass(&self) -> f64 {
        self.pass
    }

    /// Tokens a second of the rounds that drafted, or of plain steps of `plain` seconds
    /// if those are faster.
    pub fn rate(&self, plain: f64) -> f64 {
        match self.spent > 0.0 {
            true => (self.tokens / self.spent).max(1.0 / plain),
            false => 1.0 / plain,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PLAIN: f64 = 0.1;

    /// Of `rounds` rounds, those in which a drafter drafts whose rounds take `time`
    /// milliseconds and give `tokens` tokens.
    fn drafts(worth: &mut Worth, rounds: usize, time: u64, tokens: usize) -> usize {
        let mut drafts = 0;
        for _ in 0..rounds {
            let drafted = !worth.is_resting();
            drafts += usize::from(drafted);
            let (time, tokens) = if drafted { (time, tokens) } else { (100, 1) };
            worth.record(drafted, Duration::from_millis(time), tokens, PLAIN);
        }
        drafts
    }

    #[test]
    fn a_drafter_that_costs_more_than_it_gives_rests_ever_longer() {
        let found = drafts(&mut Worth::default(), 400, 180, 1);
        assert!((TRIAL * 3..TRIAL * 7).contains(&found), "{found}");
        assert_eq!(drafts(&mut Worth::default(), 100, 180, 2), 100);
    }

    #[test]
    fn a_small_loss_is_found_out_too_and_a_small_gain_is_not_taken_for_one() {
        let found = drafts(&mut Worth::default(), 2000, 103, 1);
        assert!(found < 9 * CERTAIN, "{found}");
        assert_eq!(drafts(&mut Worth::default(), 2000, 98, 1), 2000);
    }

    /// Sits out a rest; returns its rounds.
    fn rested(worth: &mut Worth) -> usize {
        let mut rounds = 0;
        while worth.is_resting() {
            worth.record(false, Duration::from_millis(100), 1, PLAIN);
            rounds += 1;
        }
        rounds
    }

    #[test]
    fn a_drafter_that_was_right_for_long_is_given_a_short_rest() {
        let mut worth = Worth::default();
        drafts(&mut worth, 1000, 180, 1);
        rested(&mut worth);
        drafts(&mut worth, 100, 150, 2);
        drafts(&mut worth, 60, 180, 1);
        let rest = rested(&mut worth);
        assert!((1..=32).contains(&rest), "{rest}");
    }

    #[test]
    fn what_a_rehearsal_took_is_corrected_by_later_passes_but_the_first() {
        let mut worth = Worth::default();
        worth.assume(0.01);
        worth.record_draft(Duration::from_millis(900), 1, PLAIN);
        assert_eq!(worth.pass(), 0.01, "that one took in the prompt");
        worth.record_draft(Duration::from_millis(20), 1, PLAIN);
        assert!((worth.pass() - (0.01 + NEWEST * 0.01)).abs() < 1e-12);
    }

    #[test]
    fn the_first_pass_of_a_drafter_is_not_counted() {
        let mut worth = Worth::default();
        assert_eq!((worth.pass(), worth.rate(PLAIN)), (0.0, 10.0));
        worth.record_draft(Duration::from_millis(500), 1, PLAIN);
        worth.record_draft(Duration::from_millis(20), 4, PLAIN);
        assert_eq!(worth.pass(), 0.005);
        worth.record_draft(Duration::from_millis(900), 1, PLAIN);
        let late = 0.005 + NEWEST * (PLAIN - 0.005);
        assert!(
            (worth.pass() - late).abs() < 1e-12,
            "a late one is no more than a step"
        );
        for _ in 0..100 {
            worth.record_draft(Duration::ZERO, 0, PLAIN);
        }
        assert!(worth.pass() < 0.002, "a drafter is not too dear for ever");
        for _ in 0..400 {
            worth.record_draft(Duration::ZERO, 0, PLAIN);
        }
        for _ in 0..8 {
            worth.record_draft(Duration::from_millis(20), 1, PLAIN);
        }
        assert!(worth.pass() > 0.016, "nor for nothing after a long rest");
        worth.record(true, Duration::from_millis(150), 3, PLAIN);
        assert!((worth.rate(PLAIN) - 20.0).abs() < 1e-9);
    }
}
