//! Rests that grow while what is tried keeps failing.

/// Counts rounds of trial and of rest. Whoever holds it judges.
#[derive(Clone, Debug, Default)]
pub(crate) struct Rest {
    /// Rounds of this rest that are left.
    left: usize,
    /// Rounds of the last one; 0 once it is forgotten.
    length: usize,
    /// Rounds tried since.
    tried: usize,
}

/// The shortest and the longest rest, in rounds.
const LENGTHS: (usize, usize) = (16, 512);

impl Rest {
    /// Whether nothing should be tried in this round.
    pub fn is_on(&self) -> bool {
        self.left > 0
    }

    /// Takes note of a round.
    pub fn pass_round(&mut self) {
        self.left = self.left.saturating_sub(1);
    }

    /// Takes note of a trial. Returns how many there were since the last rest.
    pub fn tried(&mut self) -> usize {
        self.tried += 1;
        self.tried
    }

    /// The trials failed: rests twice as long as the last time.
    pub fn begin(&mut self) {
        self.length = (2 * self.length).clamp(LENGTHS.0, LENGTHS.1);
        (self.left, self.tried) = (self.length, 0);
    }

    /// Times have changed: a rest ends, and if what follows fails the next is longer.
    pub fn wake(&mut self) {
        self.left = 0;
    }

    /// The trials went well for long: the next rest is a short one.
    pub fn forget(&mut self) {
        self.length = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rounds(rest: &mut Rest) -> usize {
        let mut rounds = 0;
        while rest.is_on() {
            rest.pass_round();
            rounds += 1;
        }
        rounds
    }

    #[test]
    fn rests_grow_until_they_are_forgotten() {
        let mut rest = Rest::default();
        assert_eq!(rounds(&mut rest), 0);
        let mut lengths = Vec::new();
        for _ in 0..7 {
            assert_eq!((rest.tried(), rest.tried()), (1, 2));
            rest.begin();
            lengths.push(rounds(&mut rest));
        }
        assert_eq!(lengths, [16, 32, 64, 128, 256, 512, 512]);
        rest.forget();
        rest.begin();
        assert_eq!(rounds(&mut rest), 16);
        rest.begin();
        rest.wake();
        assert_eq!((rounds(&mut rest), rest.tried()), (0, 1), "tried at once");
        rest.begin();
        assert_eq!(rounds(&mut rest), 64, "and known for a failure");
    }
}
