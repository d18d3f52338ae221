//! The tokens that are still in the draw, and their weights.

use super::Distribution;

/// Tokens with unnormalised probabilities. Filters keep it exact: no token is dropped
/// that its filter would keep.
pub(super) struct Candidates {
    /// (token, weight); in order of falling weight once `sorted`, else of rising token.
    entries: Vec<(u32, f32)>,
    total: f64,
    sorted: bool,
}

impl Candidates {
    /// All tokens, weighted `exp((logit - largest) / temperature)`.
    pub fn new(logits: &[f32], largest: f32, temperature: f32) -> Self {
        let weight = |&logit: &f32| ((logit - largest) / temperature).exp();
        let entries: Vec<_> = (0..).zip(logits.iter().map(weight)).collect();
        let mut candidates = Self {
            entries,
            total: 0.0,
            sorted: false,
        };
        candidates.add_up();
        candidates
    }

    /// One token, which is certain.
    pub fn only(token: u32) -> Self {
        Self {
            entries: vec![(token, 1.0)],
            total: 1.0,
            sorted: true,
        }
    }

    fn add_up(&mut self) {
        self.total = self.entries.iter().map(|&(_, w)| f64::from(w)).sum();
    }

    /// Falling weight, rising token: a total order, so that ties never matter.
    fn sort(&mut self) {
        if !self.sorted {
            let order = |a: &(u32, f32), b: &(u32, f32)| b.1.total_cmp(&a.1).then(a.0.cmp(&b.0));
            self.entries.sort_unstable_by(order);
            self.sorted = true;
        }
    }

    /// Keeps the `k` heaviest; 0 keeps all.
    pub fn top_k(&mut self, k: usize) {
        if k == 0 || k >= self.entries.len() {
            return;
        }
        // The k heaviest include no token lighter than the k-th weight: find that first
        // and sort the few that are left.
        let mut weights: Vec<f32> = self.entries.iter().map(|e| e.1).collect();
        let (_, &mut floor, _) = weights.select_nth_unstable_by(k - 1, |a, b| b.total_cmp(a));
        self.entries.retain(|&(_, weight)| weight >= floor);
        self.sort();
        self.entries.truncate(k);
        self.add_up();
    }

    /// Keeps the fewest heaviest whose probabilities add up to `p`.
    pub fn top_p(&mut self, p: f32) {
        if p >= 1.0 {
            return;
        }
        // Tokens lighter than this weigh less than 1 - p together: never needed.
        let floor = self.total * f64::from(1.0 - p) / self.entries.len() as f64;
        let goal = self.total * f64::from(p);
        self.entries
            .retain(|&(_, weight)| f64::from(weight) >= floor);
        self.sort();
        let mut sum = 0.0;
        let enough = |&(_, weight): &(u32, f32)| {
            sum += f64::from(weight);
            sum >= goal
        };
        if let Some(last) = self.entries.iter().position(enough) {
            self.entries.truncate(last + 1);
        }
        self.add_up();
    }

    /// Drops what weighs less than `share` of the heaviest, whose weight is 1.
    pub fn min_p(&mut self, share: f32) {
        if share > 0.0 {
            self.entries.retain(|&(_, weight)| weight >= share);
            self.add_up();
        }
    }

    /// The probabilities of `vocab` tokens.
    pub fn distribution(&self, vocab: usize) -> Distribution {
        let mut weights = vec![0.0; vocab];
        for &(token, weight) in &self.entries {
            weights[token as usize] = weight.into();
        }
        Distribution::new(weights)
    }

    /// The token at `uniform` (in [0, 1)) of the cumulative distribution.
    pub fn draw(&self, uniform: f64) -> u32 {
        let mut left = uniform * self.total;
        for &(token, weight) in &self.entries {
            left -= f64::from(weight);
            if left < 0.0 {
                return token;
            }
        }
        // Rounding can leave a crumb: it belongs to the last token that has any weight.
        let last = self.entries.iter().rev().find(|entry| entry.1 > 0.0);
        last.map_or(0, |entry| entry.0)
    }
}
