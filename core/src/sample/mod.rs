//! From logits to a token: processors in one order, and randomness keyed by position.
//!
//! The order is: logit bias, repetition, presence and frequency penalties, temperature,
//! top-k, top-p, min-p, draw. The random number for position p is a pure function of
//! (seed, p), so a token does not depend on how many were drafted before it. The same logits,
//! once penalties and biases are applied, give the same token on every device (`die.rs`).

pub mod die;
mod distribution;
mod nucleus;
mod penalties;
mod rng;
mod top_k;

pub use die::{Die, Pick};
pub use distribution::Distribution;
pub use penalties::Penalties;
pub use rng::{Stream, random, uniform, uniform_in};
pub use top_k::{Largest, log_sum_exp, top_k};

use crate::error::{Error, Result};
use nucleus::Nucleus;

/// What shapes the distribution that tokens are drawn from. The default is greedy.
#[derive(Clone, Debug, PartialEq)]
pub struct Sampling {
    /// Divides the logits; 0 takes the most likely token.
    pub temperature: f32,
    /// Keeps the k most likely tokens; 0 keeps all.
    pub top_k: usize,
    /// Keeps the fewest most likely tokens whose probabilities reach p; 1 keeps all.
    pub top_p: f32,
    /// Drops tokens less likely than this share of the most likely one; 0 keeps all.
    pub min_p: f32,
    /// Penalties for what the text so far holds.
    pub penalties: Penalties,
    /// Added to the logits of single tokens: (token, bias).
    pub logit_bias: Vec<(u32, f32)>,
    /// Same seed, same text.
    pub seed: u64,
}

impl Default for Sampling {
    fn default() -> Self {
        Self {
            temperature: 0.0,
            top_k: 0,
            top_p: 1.0,
            min_p: 0.0,
            penalties: Penalties::default(),
            logit_bias: Vec::new(),
            seed: 0,
        }
    }
}

impl Sampling {
    /// Refuses values that make no sense.
    pub fn check(&self) -> Result<()> {
        let rules = [
            (
                self.temperature >= 0.0 && self.temperature.is_finite(),
                "temperature must be 0 or more",
            ),
            (
                self.top_p > 0.0 && self.top_p <= 1.0,
                "top-p must be above 0 and at most 1",
            ),
            (
                (0.0..=1.0).contains(&self.min_p),
                "min-p must be between 0 and 1",
            ),
            (
                self.penalties.repetition > 0.0 && self.penalties.repetition.is_finite(),
                "repetition penalty must be above 0",
            ),
            (
                self.penalties.presence.is_finite() && self.penalties.frequency.is_finite(),
                "penalties must be finite",
            ),
            (
                // Minus infinity bans a token.
                self.logit_bias
                    .iter()
                    .all(|(_, bias)| *bias < f32::INFINITY),
                "a logit bias must be a number below infinity",
            ),
        ];
        match rules.iter().find(|(holds, _)| !holds) {
            Some((_, rule)) => Err(Error::Invalid((*rule).into())),
            None => Ok(()),
        }
    }

    /// Whether the most likely token is taken as the model gives it, so that a device
    /// can find it without sending logits back.
    pub fn is_argmax(&self) -> bool {
        self.temperature == 0.0 && self.takes_logits_as_they_are()
    }

    /// Whether nothing but [`Sampling::die`] stands between logits and a token, so that a
    /// device can draw it: neither the text so far nor a bias changes them.
    pub fn takes_logits_as_they_are(&self) -> bool {
        self.penalties.is_neutral() && self.logit_bias.is_empty()
    }

    /// What the token at `position` is drawn with, once penalties and biases are applied.
    pub fn die(&self, position: usize) -> Die {
        // Beyond these a difference of logits is nothing, or all. Devices may take the smallest
        // differences, below 2^-126, for none: at most 1e30 times as much, they are.
        let scale = (std::f32::consts::LOG2_E / self.temperature).clamp(1e-30, 1e30);
        let halvings = -f64::from(self.min_p).log2();
        Die {
            scale,
            top_k: match (self.temperature, self.top_k) {
                (0.0, _) => 1,
                (_, 0) => u32::MAX,
                (_, k) => u32::try_from(k).unwrap_or(u32::MAX),
            },
            left_out: ((1.0 - f64::from(self.top_p)) * 2f64.powi(32)) as u32,
            last: (halvings * f64::from(die::KEY_ONE)).min(f64::from(die::NOTHING - 1)) as u32,
            random: random(self.seed, position as u64),
        }
    }

    /// Draws the token at `position` from a row of logits, which it uses up. `history`
    /// is every token before that position, prompt included.
    ///
    /// # Errors
    /// A logit is NaN, or the largest infinite: the weights are broken.
    pub fn draw(
        &self,
        logits: &mut [f32],
        history: impl Iterator<Item = u32>,
        position: usize,
    ) -> Result<u32> {
        self.shape(logits, history);
        let pick = self.die(position).draw(logits).ok_or_else(not_a_number)?;
        Ok(pick.drawn)
    }

    /// What [`Sampling::draw`] draws from, as probabilities of all tokens. At temperature
    /// 0 the most likely token has all of it.
    ///
    /// # Errors
    /// As [`Sampling::draw`].
    pub fn distribution(
        &self,
        logits: &mut [f32],
        history: impl Iterator<Item = u32>,
    ) -> Result<Distribution> {
        self.shape(logits, history);
        let best = best(logits).ok_or_else(not_a_number)?;
        let die = self.die(0);
        Ok(match die.top_k {
            1 => Distribution::point(best),
            _ => Nucleus::new(&die, logits, best).distribution(),
        })
    }

    /// Applies biases and penalties.
    fn shape(&self, logits: &mut [f32], history: impl Iterator<Item = u32>) {
        for &(token, bias) in &self.logit_bias {
            if let Some(logit) = logits.get_mut(token as usize) {
                *logit += bias;
            }
        }
        self.penalties.apply(logits, history);
    }
}

/// The most likely token of a row of logits, the lowest id where several are equal. `None`
/// if a logit is NaN, or the largest is infinite: the weights are damaged, or a number
/// overflowed on its way through the model.
pub fn best(logits: &[f32]) -> Option<u32> {
    let best = argmax(logits);
    let logit = logits.get(best as usize)?;
    logit.is_finite().then_some(best)
}

/// The error of logits that are NaN or infinite.
pub fn not_a_number() -> Error {
    Error::Invalid(
        "the model's output is not a number: its weights are damaged, or too large for this \
         dtype"
            .into(),
    )
}

/// The index of the largest value, the lowest one where several are equal. NaN wins over
/// everything, so that it is found.
pub fn argmax(values: &[f32]) -> u32 {
    // In blocks: the compiler vectorises the maximum, and one block is searched.
    const BLOCK: usize = 1024;
    let mut best = (f32::NEG_INFINITY, 0);
    for (index, block) in values.chunks(BLOCK).enumerate() {
        let mut lanes = [f32::NEG_INFINITY; 16];
        let mut nan = false;
        let chunks = block.chunks_exact(16);
        for &value in chunks.remainder() {
            lanes[0] = if value > lanes[0] { value } else { lanes[0] };
            nan |= value.is_nan();
        }
        for chunk in chunks {
            for (lane, &value) in lanes.iter_mut().zip(chunk) {
                *lane = if value > *lane { value } else { *lane };
                nan |= value.is_nan();
            }
        }
        let largest = lanes.into_iter().fold(f32::NEG_INFINITY, f32::max);
        let start = index * BLOCK;
        if nan {
            let at = block.iter().position(|value| value.is_nan());
            return (start + at.unwrap_or(0)) as u32;
        }
        if largest > best.0 {
            let at = block.iter().position(|&value| value == largest);
            best = (largest, start + at.unwrap_or(0));
        }
    }
    best.1 as u32
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn argmax_takes_the_first_of_equals_and_finds_nan() {
        let mut values = vec![0.0; 5000];
        assert_eq!(argmax(&values), 0);
        (values[4100], values[4999]) = (2.0, 2.0);
        assert_eq!(argmax(&values), 4100);
        values[3000] = f32::NAN;
        assert_eq!(argmax(&values), 3000);
    }

    #[test]
    fn draws_follow_the_processed_distribution() {
        // Probabilities 0.5, 0.3, 0.15, 0.05 at temperature 1.
        let logits: Vec<f32> = [0.5f32, 0.3, 0.15, 0.05].map(f32::ln).to_vec();
        let share = |sampling: &Sampling| {
            let mut counts = [0u32; 4];
            for position in 0..20_000 {
                let token = sampling
                    .draw(&mut logits.clone(), std::iter::empty(), position)
                    .unwrap();
                counts[token as usize] += 1;
            }
            counts.map(|count| f64::from(count) / 20_000.0)
        };
        let close = |found: [f64; 4], expected: [f64; 4]| {
            for (found, expected) in found.into_iter().zip(expected) {
                // Four standard deviations of a share of 20,000 draws.
                assert!((found - expected).abs() < 0.0142, "{found} for {expected}");
            }
        };
        let hot = Sampling {
            temperature: 1.0,
            ..Default::default()
        };
        close(share(&hot), [0.5, 0.3, 0.15, 0.05]);
        let top_k = Sampling {
            top_k: 2,
            ..hot.clone()
        };
        close(share(&top_k), [0.625, 0.375, 0.0, 0.0]);
        let top_p = Sampling {
            top_p: 0.9,
            ..hot.clone()
        };
        close(share(&top_p), [0.5 / 0.95, 0.3 / 0.95, 0.15 / 0.95, 0.0]);
        let min_p = Sampling {
            min_p: 0.4,
            ..hot.clone()
        };
        close(share(&min_p), [0.625, 0.375, 0.0, 0.0]);
        let cold = Sampling {
            temperature: 0.5,
            ..hot
        };
        let squares = [0.25, 0.09, 0.0225, 0.0025].map(|p| p / 0.365);
        close(share(&cold), squares);
    }

    #[test]
    fn a_distribution_is_what_is_drawn_from() {
        let logits = [0.5f32, 0.3, 0.15, 0.05].map(f32::ln);
        let of = |sampling: Sampling| {
            let history = [3].into_iter();
            let found = sampling.distribution(&mut logits.clone(), history);
            found.unwrap().probabilities().to_vec()
        };
        assert_eq!(of(Sampling::default()), [1.0]);
        let warm = Sampling {
            temperature: 0.5,
            top_p: 0.9,
            logit_bias: vec![(0, f32::NEG_INFINITY)],
            ..Default::default()
        };
        let total = 0.09 + 0.0225;
        for (found, expected) in of(warm)
            .iter()
            .zip([0.0, 0.09 / total, 0.0225 / total, 0.0])
        {
            assert!((found - expected).abs() < 1e-6, "{found} for {expected}");
        }
        assert!(
            Sampling::default()
                .distribution(&mut [f32::NAN], std::iter::empty())
                .is_err()
        );
    }

    #[test]
    fn senseless_values_are_refused() {
        let bad = |change: fn(&mut Sampling)| {
            let mut sampling = Sampling::default();
            change(&mut sampling);
            sampling.check().is_err()
        };
        assert!(Sampling::default().check().is_ok());
        assert!(bad(|s| s.temperature = -1.0));
        assert!(bad(|s| s.temperature = f32::NAN));
        assert!(bad(|s| s.top_p = 0.0));
        assert!(bad(|s| s.min_p = 1.5));
        assert!(bad(|s| s.penalties.repetition = 0.0));
    }
}
