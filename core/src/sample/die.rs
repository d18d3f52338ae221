//! Drawing in whole numbers: the same token from the same logits on every device.
//!
//! Floating-point sums depend on their order, and the exponential function on the device. So a
//! token's probability is the whole number 2^31 exp((logit - largest) / temperature), rounded,
//! of which sums are exact in any order; what is 2^31 times less likely than the likeliest token
//! is nothing. What remains in floating point is one subtraction, one product and powers of two,
//! which all devices round alike. Kernels repeat it step by step; here is what they are compared
//! with.

use super::best;
use super::nucleus::Nucleus;

/// What one token is drawn with. By falling probability, equal ones by rising id, a prefix of
/// the tokens is in the draw: the first `top_k`, of these as few as leave out no more than
/// `left_out` of 2^32 parts, of these all whose key is not above `last`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Die {
    /// What differences of logits are multiplied with: how often a probability is halved, log2
    /// of e over the temperature.
    pub scale: f32,
    /// Tokens in the draw, at most, and 1 at least, which takes the most likely one.
    pub top_k: u32,
    /// Parts of 2^32 of the probability that may be left out, by top-p.
    pub left_out: u32,
    /// The last key in the draw, by min-p; below [`NOTHING`].
    pub last: u32,
    /// The random number, uniform over all of its 64 bits.
    pub random: u64,
}

/// Halvings of a probability in a key: 26 bits of it are the fraction.
pub const KEY_ONE: u32 = 1 << 26;
/// Halvings from which on a probability is nothing.
pub const HALVINGS: f32 = 31.0;
/// The key of a token of which nothing is left.
pub const NOTHING: u32 = u32::MAX;
/// The coefficients of 2^-x = 1 - x (a - x (b - x (c - ..))) for x from 0 to 1, in parts of
/// 2^32: the largest relative error, 2^-28, is least.
pub const HALVED: [u32; 6] = [
    0xb172_1605,
    0x3d7f_581c,
    0x0e34_a46b,
    0x0273_c7f8,
    0x0053_8aba,
    0x0007_251b,
];

/// How often a token's probability is the most likely one's halved, 26 bits of it behind the
/// point. Rising keys are falling probabilities.
pub fn key(logit: f32, most: f32, scale: f32) -> u32 {
    let halvings = (most - logit) * scale;
    match halvings < HALVINGS {
        // Below 2^31: processors convert signed numbers faster.
        true => (halvings * KEY_ONE as f32) as i32 as u32,
        false => NOTHING,
    }
}

/// A probability in units of which the most likely token has 2^31.
pub fn weight(key: u32) -> u32 {
    // The fraction in parts of 2^32. Compilers make vectors of it.
    let (halvings, x) = ((key / KEY_ONE) & 31, (key % KEY_ONE) << 6);
    let rest = HALVED.iter().rev().fold(0, |rest, &a| a - high(x, rest));
    let whole = (1 << 31) - (high(x, rest) >> 1);
    let weight = (whole + ((1 << halvings) >> 1)) >> halvings;
    if key == NOTHING { 0 } else { weight }
}

/// The high word of a product.
fn high(a: u32, b: u32) -> u32 {
    ((u64::from(a) * u64::from(b)) >> 32) as u32
}

/// `part` of 2^64 parts of a whole, rounded down.
pub fn share(whole: u64, part: u64) -> u64 {
    ((u128::from(whole) * u128::from(part)) >> 64) as u64
}

impl Die {
    /// The token drawn from a row of logits, and the most likely one: `None` where a logit is
    /// NaN or the largest is infinite.
    pub fn draw(&self, logits: &[f32]) -> Option<Pick> {
        let best = best(logits)?;
        let drawn = match self.top_k {
            1 => best,
            _ => Nucleus::new(self, logits, best).draw(self.random),
        };
        Some(Pick { best, drawn })
    }
}

/// What came of a draw.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pick {
    /// The most likely token, the lowest id where several are equal.
    pub best: u32,
    /// The token that was drawn.
    pub drawn: u32,
}

impl Pick {
    /// Where the most likely token is drawn.
    pub fn likeliest(best: u32) -> Self {
        Self { best, drawn: best }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn weights_are_powers_of_two_and_fall() {
        assert_eq!(weight(0), 1 << 31);
        assert_eq!(weight(NOTHING), 0);
        let keys = (0..31 * KEY_ONE).step_by(4099);
        let mut before = u32::MAX;
        for key in keys {
            let exact = 2f64.powi(31) * (-f64::from(key) / f64::from(KEY_ONE)).exp2();
            let weight = weight(key);
            let off = (f64::from(weight) - exact).abs();
            assert!(
                off <= 0.5 + exact * 2f64.powi(-28),
                "{key}: {weight} for {exact}"
            );
            assert!(weight <= before, "{key}");
            before = weight;
        }
        assert_eq!(before, 1);
    }

    #[test]
    fn keys_count_halvings() {
        assert_eq!(key(1.0, 3.0, 0.5), KEY_ONE);
        assert_eq!(key(3.0, 3.0, 1e30), 0);
        assert_eq!(key(-40.0, 0.0, 1.0), NOTHING);
        assert_eq!(key(f32::NEG_INFINITY, 0.0, 1e-30), NOTHING);
    }

    #[test]
    fn shares_are_exact() {
        assert_eq!(share(u64::MAX, 1 << 63), u64::MAX / 2);
        assert_eq!(share(3, u64::MAX), 2);
        assert_eq!(share(1000, 0), 0);
    }
}
