//! The few most likely tokens of a row, for drafting.

/// The logarithm of the sum of exponentials, in f64: what turns logits into
/// log-probabilities.
pub fn log_sum_exp(logits: &[f32]) -> f32 {
    let largest = logits.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let sum: f64 = logits.iter().map(|&l| f64::from((l - largest).exp())).sum();
    largest + sum.ln() as f32
}

/// The `k` largest logits, largest first and equal ones by rising index, as (index,
/// logit - `total`). NaN is never among them.
pub fn top_k(logits: &[f32], k: usize, total: f32) -> Vec<(u32, f32)> {
    let mut largest = Largest::new(k);
    for (index, &logit) in (0..).zip(logits) {
        largest.offer(index, logit);
    }
    largest.less(total)
}

/// The largest of the values that it was offered, in the order of their indices.
#[derive(Clone, Debug)]
pub struct Largest {
    count: usize,
    /// Largest first, equal ones by rising index.
    best: Vec<(u32, f32)>,
    floor: f32,
}

impl Largest {
    /// Keeps `count` values.
    pub fn new(count: usize) -> Self {
        Self {
            count,
            best: Vec::new(),
            floor: match count {
                0 => f32::INFINITY,
                _ => f32::NEG_INFINITY,
            },
        }
    }

    /// Only a value above this gets in.
    pub fn floor(&self) -> f32 {
        self.floor
    }

    /// Takes a value if it is large enough. Indices must rise.
    #[inline]
    pub fn offer(&mut self, index: u32, value: f32) {
        // Almost none is.
        if value > self.floor {
            self.insert(index, value);
        }
    }

    fn insert(&mut self, index: u32, value: f32) {
        let at = self.best.partition_point(|&(_, other)| other >= value);
        self.best.insert(at, (index, value));
        self.best.truncate(self.count);
        if let (Some(&(_, least)), true) = (self.best.last(), self.best.len() == self.count) {
            self.floor = least;
        }
    }

    /// What was kept, as (index, value).
    pub fn as_slice(&self) -> &[(u32, f32)] {
        &self.best
    }

    /// The same, `total` taken from every value.
    pub fn less(mut self, total: f32) -> Vec<(u32, f32)> {
        self.best.iter_mut().for_each(|(_, value)| *value -= total);
        self.best
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_largest_come_first_and_equal_ones_in_order() {
        let logits = [1.0, 3.0, f32::NAN, 2.0, 3.0, 2.0];
        let found = top_k(&logits, 4, 1.0);
        assert_eq!(found, [(1, 2.0), (4, 2.0), (3, 1.0), (5, 1.0)]);
        assert_eq!(top_k(&logits[..2], 9, 0.0), [(1, 3.0), (0, 1.0)]);
        assert!(top_k(&logits, 0, 0.0).is_empty());
    }

    #[test]
    fn log_probabilities_add_up_to_one() {
        let logits: Vec<f32> = (0..100).map(|i| (i * 37 % 100) as f32 / 7.0).collect();
        let all = top_k(&logits, 100, log_sum_exp(&logits));
        let sum: f64 = all.iter().map(|&(_, l)| f64::from(l).exp()).sum();
        assert!((sum - 1.0).abs() < 1e-5, "{sum}");
    }
}
