//! Penalties for tokens that the text so far holds.

use std::collections::HashMap;

/// How much repetition is discouraged. The default does nothing.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Penalties {
    /// Divides a positive logit of a token seen before, multiplies a negative one
    /// (CTRL, Keskar et al. 2019); 1 does nothing.
    pub repetition: f32,
    /// Subtracted once from the logit of a token seen before.
    pub presence: f32,
    /// Subtracted for every time that a token was seen.
    pub frequency: f32,
}

impl Default for Penalties {
    fn default() -> Self {
        Self {
            repetition: 1.0,
            presence: 0.0,
            frequency: 0.0,
        }
    }
}

impl Penalties {
    /// Whether nothing would change.
    pub fn is_neutral(&self) -> bool {
        *self == Self::default()
    }

    /// Lowers the logits of the tokens in `history`.
    pub(super) fn apply(&self, logits: &mut [f32], history: impl Iterator<Item = u32>) {
        if self.is_neutral() {
            return;
        }
        let mut counts = HashMap::<u32, u32>::new();
        for token in history {
            *counts.entry(token).or_default() += 1;
        }
        for (token, count) in counts {
            let Some(logit) = logits.get_mut(token as usize) else {
                continue;
            };
            *logit = match *logit > 0.0 {
                true => *logit / self.repetition,
                false => *logit * self.repetition,
            };
            *logit -= self.presence + self.frequency * count as f32;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_penalty_does_what_it_says() {
        let penalties = Penalties {
            repetition: 2.0,
            presence: 0.5,
            frequency: 0.25,
        };
        let mut logits = [4.0, -4.0, 4.0];
        penalties.apply(&mut logits, [0, 1, 0, 99].into_iter());
        assert_eq!(logits, [2.0 - 1.0, -8.0 - 0.75, 4.0]);
    }
}
