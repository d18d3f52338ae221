//! Whether outcomes have the probabilities that they should have.

use statrs::distribution::{ChiSquared, ContinuousCDF};

/// The p-value of a G-test: how often counts drawn with these probabilities would lie as
/// far from them as `counts` do. Outcomes expected fewer than five times are taken
/// together; one that cannot be makes it 0.
pub fn g_test(counts: &[usize], probabilities: &[f64]) -> f64 {
    assert_eq!(counts.len(), probabilities.len());
    assert!((probabilities.iter().sum::<f64>() - 1.0).abs() < 1e-6);
    let total = counts.iter().sum::<usize>() as f64;
    let (mut bins, mut rare) = (Vec::new(), (0.0, 0.0));
    for (&count, &probability) in counts.iter().zip(probabilities) {
        if probability == 0.0 && count > 0 {
            return 0.0;
        }
        let bin = (count as f64, total * probability);
        match bin.1 < 5.0 {
            true => rare = (rare.0 + bin.0, rare.1 + bin.1),
            false => bins.push(bin),
        }
    }
    bins.sort_by(|a, b| b.1.total_cmp(&a.1));
    match (rare.1 < 5.0, bins.last_mut()) {
        (true, Some(least)) => *least = (least.0 + rare.0, least.1 + rare.1),
        _ => bins.push(rare),
    }
    assert!(bins.len() > 1, "there is nothing to compare");
    let freedom = bins.len() as f64 - 1.0;
    let term = |&(found, expected): &(f64, f64)| match found {
        0.0 => 0.0,
        _ => found * (found / expected).ln(),
    };
    let g = 2.0 * bins.iter().map(term).sum::<f64>();
    // Williams' correction for the smaller bins.
    let inverse: f64 = bins.iter().map(|&(_, expected)| total / expected).sum();
    let g = g / (1.0 + (inverse - 1.0) / (6.0 * total * freedom));
    ChiSquared::new(freedom).unwrap().sf(g)
}

#[cfg(test)]
mod tests {
    use super::*;
    use eaglet_core::sample::{Distribution, uniform};

    fn counts(distribution: &Distribution, seed: u64) -> Vec<usize> {
        let mut counts = vec![0; distribution.probabilities().len()];
        (0..2000).for_each(|i| counts[distribution.draw(uniform(seed, i)) as usize] += 1);
        counts
    }

    #[test]
    fn true_probabilities_give_even_p_values_and_wrong_ones_small() {
        let weights = [30.0, 20.0, 10.0, 5.0, 1.0, 0.3, 0.1, 0.02, 0.01, 0.0];
        let truth = Distribution::new(weights.to_vec());
        let mut p_values: Vec<f64> = (0..500)
            .map(|seed| g_test(&counts(&truth, seed), truth.probabilities()))
            .collect();
        p_values.sort_by(f64::total_cmp);
        // Kolmogorov and Smirnov: exceeded once in a thousand.
        for (i, p) in p_values.iter().enumerate() {
            assert!((p - (i as f64 + 0.5) / 500.0).abs() < 1.95 / 500f64.sqrt());
        }
        let mut wrong = weights.to_vec();
        wrong[1] *= 1.3;
        let wrong = counts(&Distribution::new(wrong), 1);
        assert!(g_test(&wrong, truth.probabilities()) < 1e-3);
        let mut impossible = counts(&truth, 1);
        impossible[9] = 1;
        assert_eq!(g_test(&impossible, truth.probabilities()), 0.0);
    }
}
