//! Probabilities of tokens, for the rules that compare what was drafted with the target.

/// How likely each token is: `[vocab]` numbers that add up to 1. Tokens beyond the end
/// are impossible. What nothing is left of is *empty*: all of it is 0.
#[derive(Clone, Debug, PartialEq)]
pub struct Distribution(Vec<f64>);

impl Distribution {
    /// In proportion to `weights`; what is negative or not a number weighs nothing.
    pub fn new(mut weights: Vec<f64>) -> Self {
        for weight in &mut weights {
            *weight = if weight.is_finite() {
                weight.max(0.0)
            } else {
                0.0
            };
        }
        let mut distribution = Self(weights);
        distribution.scale();
        distribution
    }

    /// One token, which is certain.
    pub fn point(token: u32) -> Self {
        let mut weights = vec![0.0; token as usize + 1];
        weights[token as usize] = 1.0;
        Self(weights)
    }

    /// The probability of each token, by id.
    pub fn probabilities(&self) -> &[f64] {
        &self.0
    }

    /// The probability of a token.
    pub fn probability(&self, token: u32) -> f64 {
        self.0.get(token as usize).copied().unwrap_or(0.0)
    }

    /// The token at `uniform` (in [0, 1)) of the cumulative distribution, by rising id;
    /// never an impossible one, and 0 of an empty distribution.
    pub fn draw(&self, uniform: f64) -> u32 {
        let mut left = uniform;
        let passed = self.0.iter().position(|&probability| {
            left -= probability;
            left < 0.0
        });
        // Rounding can leave a crumb: it belongs to the last token that is possible.
        let last = || self.0.iter().rposition(|&probability| probability > 0.0);
        passed.or_else(last).unwrap_or(0) as u32
    }

    /// Makes a token impossible and scales the others up. Returns whether any is left.
    pub fn remove(&mut self, token: u32) -> bool {
        if let Some(probability) = self.0.get_mut(token as usize) {
            *probability = 0.0;
        }
        self.scale()
    }

    /// What is left above another distribution: max(0, self - other), scaled up. Where
    /// nothing is left, as when both are equal to rounding, it stays as it was.
    pub fn subtract(&mut self, other: &Self) {
        let rest = |token: usize, p: f64| (p - other.probability(token as u32)).max(0.0);
        let all = self.0.iter().enumerate();
        let total: f64 = all.map(|(token, &p)| rest(token, p)).sum();
        if total > 0.0 {
            let all = self.0.iter_mut().enumerate();
            all.for_each(|(token, p)| *p = rest(token, *p));
            self.scale();
        }
    }

    fn scale(&mut self) -> bool {
        let total: f64 = self.0.iter().sum();
        if total > 0.0 {
            self.0.iter_mut().for_each(|p| *p /= total);
        }
        total > 0.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_are_drawn_from_where_their_probability_lies() {
        let distribution = Distribution::new(vec![0.0, 1.0, f64::NAN, 2.0, -1.0, 1.0, 0.0]);
        assert_eq!(
            distribution.probabilities(),
            [0.0, 0.25, 0.0, 0.5, 0.0, 0.25, 0.0]
        );
        for (uniform, token) in [(0.0, 1), (0.249, 1), (0.25, 3), (0.749, 3), (0.75, 5)] {
            assert_eq!(distribution.draw(uniform), token);
        }
        // Beyond the sum, as rounding may have it.
        assert_eq!(distribution.draw(1.0), 5);
    }

    #[test]
    fn what_is_taken_away_is_shared_by_the_rest() {
        let mut distribution = Distribution::new(vec![1.0, 1.0, 2.0]);
        assert!(distribution.remove(2));
        assert_eq!(distribution.probabilities(), [0.5, 0.5, 0.0]);
        assert!(distribution.remove(0) && distribution.remove(9));
        assert_eq!(distribution, Distribution::new(vec![0.0, 3.0, 0.0]));
        assert!(!distribution.remove(1));
        assert_eq!(distribution.probabilities(), [0.0; 3]);
    }

    #[test]
    fn what_nothing_is_left_of_stays() {
        let mut p = Distribution::new(vec![2.0, 1.0, 1.0]);
        let q = Distribution::new(vec![1.0, 3.0]);
        p.subtract(&q);
        assert_eq!(p.probabilities(), [0.5, 0.0, 0.5]);
        p.subtract(&p.clone());
        assert_eq!(p.probabilities(), [0.5, 0.0, 0.5]);
        p.subtract(&Distribution::point(2));
        assert_eq!(p.probabilities(), [1.0, 0.0, 0.0]);
    }
}
