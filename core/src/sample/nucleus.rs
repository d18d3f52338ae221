//! The tokens that are still in the draw.

use super::Distribution;
use super::die::{Die, NOTHING, key, share, weight};

/// A prefix of the tokens by falling probability, equal ones by rising id.
pub(super) struct Nucleus {
    /// Of all tokens (see [`key`]).
    keys: Vec<u32>,
    /// The key of the last token that is in it.
    last: u32,
    /// How many tokens of that key are.
    ties: u64,
}

impl Nucleus {
    /// What a die leaves of all tokens. `best` is the most likely one.
    pub fn new(die: &Die, logits: &[f32], best: u32) -> Self {
        let most = logits[best as usize];
        let keys = logits.iter().map(|&logit| key(logit, most, die.scale));
        let mut all = Self {
            keys: keys.collect(),
            last: NOTHING - 1,
            ties: u64::MAX,
        };
        if (die.top_k as usize) < logits.len() {
            all.keep(die.top_k.into(), |_| 1);
        }
        if die.left_out > 0 {
            let total = all.weights().sum();
            let left_out = share(total, u64::from(die.left_out) << 32);
            all.keep(total - left_out, weight);
        }
        if die.last < all.last {
            (all.last, all.ties) = (die.last, u64::MAX);
        }
        all
    }

    /// Keeps the shortest prefix whose tokens measure `goal` together. The last key is found
    /// byte by byte, from sums over all tokens that share the bytes before.
    fn keep(&mut self, goal: u64, measure: impl Fn(u32) -> u64) {
        let (mut last, mut before) = (0, 0);
        for shift in [24, 16, 8, 0] {
            let mut sums = [0; 256];
            for &key in &self.keys {
                if key != NOTHING && key >> shift >> 8 == last {
                    sums[(key >> shift & 255) as usize] += measure(key);
                }
            }
            let mut byte = 0;
            while byte < 255 && before + sums[byte] < goal {
                before += sums[byte];
                byte += 1;
            }
            last = last << 8 | byte as u32;
        }
        (self.last, self.ties) = (last, (goal - before).div_ceil(measure(last).max(1)));
    }

    /// The weights of all tokens, 0 of those that are out of the draw.
    fn weights(&self) -> impl Iterator<Item = u64> {
        let mut ties = self.ties;
        self.keys.iter().map(move |&key| {
            let tied = key == self.last && ties > 0;
            ties -= u64::from(tied);
            if key < self.last || tied {
                weight(key)
            } else {
                0
            }
        })
    }

    /// The token in which a random place of all weights lies, one after the other by rising id.
    pub fn draw(&self, random: u64) -> u32 {
        let weights: Vec<u64> = self.weights().collect();
        let mut left = share(weights.iter().sum(), random);
        let passed = weights.iter().position(|&weight| {
            let here = left < weight;
            left = left.saturating_sub(weight);
            here
        });
        // The most likely token has a weight, so that the place is within.
        passed.unwrap_or(0) as u32
    }

    /// The probabilities of all tokens.
    pub fn distribution(&self) -> Distribution {
        Distribution::new(self.weights().map(|weight| weight as f64).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sample::die::KEY_ONE;
    use crate::sample::uniform;

    /// The draw by its definition: tokens sorted, and counted off one by one.
    fn sorted(die: &Die, logits: &[f32]) -> Vec<u64> {
        let most = logits.iter().copied().fold(f32::MIN, f32::max);
        let keys: Vec<u32> = logits.iter().map(|&l| key(l, most, die.scale)).collect();
        let mut order: Vec<usize> = (0..keys.len()).collect();
        order.sort_by_key(|&token| (keys[token], token));
        order.truncate(die.top_k as usize);
        let total: u64 = order.iter().map(|&token| weight(keys[token])).sum();
        let goal = total - (u128::from(total) * u128::from(die.left_out) >> 32) as u64;
        let mut sum = 0;
        let reached = order.iter().position(|&token| {
            sum += weight(keys[token]);
            sum >= goal
        });
        order.truncate(reached.map_or(order.len(), |last| last + 1));
        order.retain(|&token| keys[token] <= die.last);
        let weight = |token| {
            if order.contains(&token) {
                weight(keys[token])
            } else {
                0
            }
        };
        (0..keys.len()).map(weight).collect()
    }

    #[test]
    fn what_is_kept_is_a_prefix_of_the_sorted_tokens() {
        for seed in 0..60 {
            // Few values, so that many are equal, and some that are impossible.
            let logit = |i| match (uniform(seed, i) * 40.0) as u32 {
                0 => f32::NEG_INFINITY,
                value => value as f32 * if seed % 2 == 0 { 0.1 } else { 3.0 },
            };
            let logits: Vec<f32> = (0..300).map(logit).collect();
            for top_k in [2, 3, 40, 299, 300, u32::MAX] {
                for left_out in [0, 1, 1 << 28, 1 << 31, u32::MAX] {
                    for last in [0, KEY_ONE, 20 * KEY_ONE, NOTHING - 1] {
                        let die = Die {
                            scale: 1.4,
                            top_k,
                            left_out,
                            last,
                            random: 0,
                        };
                        let best = crate::sample::argmax(&logits);
                        let kept = Nucleus::new(&die, &logits, best);
                        let (found, known) = (kept.weights(), sorted(&die, &logits));
                        assert!(found.eq(known.iter().copied()), "{seed} {die:?}");
                    }
                }
            }
        }
    }

    #[test]
    fn a_token_is_drawn_where_its_weights_lie() {
        let logits = [1.0, f32::NEG_INFINITY, 2.0, 1.0, f32::NEG_INFINITY];
        let die = Die {
            scale: 1.0,
            top_k: u32::MAX,
            left_out: 0,
            last: NOTHING - 1,
            random: 0,
        };
        let all = Nucleus::new(&die, &logits, 2);
        assert!(all.weights().eq([1 << 30, 0, 1 << 31, 1 << 30, 0]));
        let quarter = 1 << 62;
        for (random, token) in [
            (0, 0),
            (quarter - 1, 0),
            (quarter, 2),
            (3 * quarter - 1, 2),
            (3 * quarter, 3),
            (u64::MAX, 3),
        ] {
            assert_eq!(all.draw(random), token, "{random:x}");
        }
    }
}
