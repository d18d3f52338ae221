//! The tokens that are still in the draw.

use super::Distribution;
use super::die::{Die, NOTHING, key, share, weight};

/// A prefix of the tokens by falling probability, equal ones by rising id.
pub(super) struct Nucleus {
    /// Of all tokens (see [`weight`]); 0 of those that are out of the draw.
    weights: Vec<u32>,
}

impl Nucleus {
    /// What a die leaves of all tokens. `best` is the most likely one.
    pub fn new(die: &Die, logits: &[f32], best: u32) -> Self {
        let most = logits[best as usize];
        let keys = logits.iter().map(|&logit| key(logit, most, die.scale));
        let keys: Vec<u32> = keys.collect();
        let mut all = Self::of_most_likely(&keys, die.top_k as usize);
        if die.left_out > 0 {
            let total = all.total();
            let left_out = share(total, u64::from(die.left_out) << 32);
            // All that are lighter than this weigh less than what may be left out.
            let floor = (left_out / keys.len() as u64) as u32;
            let likely = tokens(&all.weights, |weight| weight >= floor.max(1));
            let goal = total - left_out;
            let (last, before) = reach(&keys, likely, goal, |token| all.weights[token].into());
            let ties = (goal - before).div_ceil(u64::from(weight(last)).max(1));
            all.drop_beyond(&keys, last);
            all.drop_ties(&keys, last, ties as usize);
        }
        if die.last < NOTHING - 1 {
            all.drop_beyond(&keys, die.last);
        }
        all
    }

    /// The first `top_k` tokens.
    fn of_most_likely(keys: &[u32], top_k: usize) -> Self {
        if top_k >= keys.len() {
            let weights = keys.iter().map(|&key| weight(key)).collect();
            return Self { weights };
        }
        // So many parts have so many tokens up to the worst of their best.
        let parts = keys.chunks(keys.len() / top_k);
        let bound = parts.filter_map(|part| part.iter().min()).max();
        let likely = tokens(keys, |key| Some(&key) <= bound);
        let (last, before) = reach(keys, likely, top_k as u64, |_| 1);
        let kept = |&key: &u32| if key > last { 0 } else { weight(key) };
        let mut all = Self {
            weights: keys.iter().map(kept).collect(),
        };
        all.drop_ties(keys, last, top_k - before as usize);
        all
    }

    fn drop_beyond(&mut self, keys: &[u32], last: u32) {
        for (weight, &key) in self.weights.iter_mut().zip(keys) {
            *weight = if key > last { 0 } else { *weight };
        }
    }

    /// Keeps the first `ties` tokens of a key.
    fn drop_ties(&mut self, keys: &[u32], last: u32, ties: usize) {
        for token in tokens(keys, |key| key == last).into_iter().skip(ties) {
            self.weights[token] = 0;
        }
    }

    fn total(&self) -> u64 {
        self.weights.iter().map(|&weight| u64::from(weight)).sum()
    }

    /// The token in which a random place of all weights lies, one after the other by rising id.
    pub fn draw(&self, random: u64) -> u32 {
        let mut left = share(self.total(), random);
        let here = self.weights.iter().position(|&weight| {
            let here = left < weight.into();
            left = left.wrapping_sub(weight.into());
            here
        });
        // The most likely token has a weight, so that the place is within.
        here.unwrap_or(0) as u32
    }

    /// The probabilities of all tokens.
    pub fn distribution(&self) -> Distribution {
        Distribution::new(self.weights.iter().map(|&weight| weight.into()).collect())
    }
}

/// The tokens of which something holds.
fn tokens(of: &[u32], holds: impl Fn(u32) -> bool) -> Vec<usize> {
    (0..of.len()).filter(|&token| holds(of[token])).collect()
}

/// The key with which tokens, by rising keys, measure `goal` together, and what those of lower
/// keys measure. It is found byte by byte, from sums over all that share the bytes before.
fn reach(
    keys: &[u32],
    mut tokens: Vec<usize>,
    goal: u64,
    measure: impl Fn(usize) -> u64,
) -> (u32, u64) {
    let (mut last, mut before) = (0, 0);
    for shift in [24, 16, 8, 0] {
        let byte = |token: usize| (keys[token] >> shift & 255) as usize;
        let mut sums = [0; 256];
        for &token in tokens.iter().filter(|&&token| keys[token] != NOTHING) {
            sums[byte(token)] += measure(token);
        }
        let mut reached = 0;
        while reached < 255 && before + sums[reached] < goal {
            before += sums[reached];
            reached += 1;
        }
        last = last << 8 | reached as u32;
        tokens.retain(|&token| byte(token) == reached);
    }
    (last, before)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sample::die::KEY_ONE;
    use crate::sample::uniform;

    /// The draw by its definition: tokens sorted, and counted off one by one.
    fn sorted(die: &Die, logits: &[f32]) -> Vec<u32> {
        let most = logits.iter().copied().fold(f32::MIN, f32::max);
        let keys: Vec<u32> = logits.iter().map(|&l| key(l, most, die.scale)).collect();
        let mut order: Vec<usize> = (0..keys.len()).collect();
        order.sort_by_key(|&token| (keys[token], token));
        order.truncate(die.top_k as usize);
        let total: u64 = order.iter().map(|&t| u64::from(weight(keys[t]))).sum();
        let goal = total - ((u128::from(total) * u128::from(die.left_out)) >> 32) as u64;
        let mut sum = 0;
        let reached = order.iter().position(|&token| {
            sum += u64::from(weight(keys[token]));
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
                        let known = sorted(&die, &logits);
                        assert_eq!(kept.weights, known, "{seed} {die:?}");
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
        assert_eq!(all.weights, [1 << 30, 0, 1 << 31, 1 << 30, 0]);
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
