//! Medusa's typical acceptance: what the target finds likely enough stands.
//!
//! Cai et al., "Medusa: Simple LLM Inference Acceleration Framework with Multiple
//! Decoding Heads" (2024), section 2.3.1. **Lossy**: above temperature 0 the text is not
//! distributed as the target's own; likely tokens come too often, and which of them is up
//! to the drafter.

use super::Verdict;
use crate::error::Result;
use crate::sample::Distribution;
use crate::tree::Tree;

/// A token above this probability stands in any case (Medusa's `posterior_threshold`).
const THRESHOLD: f64 = 0.09;
/// How far below a typical token's probability, exp(-entropy), one may be
/// (`posterior_alpha`).
const ALPHA: f64 = 0.3;

/// A node whose path stands.
struct Reached {
    target: Distribution,
    /// A child stands if the target finds it likelier than this.
    least: f64,
    /// The sum of the log-probabilities of the path.
    likelihood: f64,
}

impl Reached {
    fn new(target: Distribution, likelihood: f64) -> Self {
        let terms = target.probabilities().iter();
        let entropy: f64 = terms.map(|p| -p * (p + 1e-5).ln()).sum();
        Self {
            target,
            least: THRESHOLD.min(ALPHA * (-entropy).exp()),
            likelihood,
        }
    }
}

/// Typical acceptance: a node stands if its parent does and p > min(0.09, 0.3 exp(-H)),
/// where p is its probability at its parent and H the entropy there. The longest path
/// that stands is accepted, the likeliest where several are as long.
///
/// `target` is the target's distribution at a node, asked for once at each node that
/// stands. The bonus token is drawn from the last one's, by `uniform` of that node; the
/// published code takes the most likely token instead, or draws among the typical ones.
///
/// # Errors
/// Those of `target`.
pub fn typical(
    tree: &Tree,
    mut target: impl FnMut(usize) -> Result<Distribution>,
    uniform: impl FnOnce(usize) -> f64,
) -> Result<Verdict> {
    let mut reached = vec![Some(Reached::new(target(0)?, 0.0))];
    let (mut best, mut rank) = (0, (0, 0.0));
    for node in 1..tree.len() {
        let parent = reached[tree.parent(node)].as_ref();
        let stands = parent.and_then(|parent| {
            let p = parent.target.probability(tree.token(node));
            (p > parent.least).then(|| parent.likelihood + p.ln())
        });
        reached.push(match stands {
            Some(likelihood) => Some(Reached::new(target(node)?, likelihood)),
            None => None,
        });
        if let Some(likelihood) = stands
            && (tree.depth(node), likelihood) > rank
        {
            (best, rank) = (node, (tree.depth(node), likelihood));
        }
    }
    let bonus = reached[best]
        .as_ref()
        .map_or(0, |last| last.target.draw(uniform(best)));
    let accepted = tree.path(best)[1..].to_vec();
    Ok(Verdict { accepted, bonus })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::verify::walk;

    #[test]
    fn at_temperature_0_it_is_the_walk_along_the_most_likely_tokens() {
        let mut tree = Tree::new(9);
        for (parent, token) in [(0, 1), (0, 2), (1, 3), (2, 1), (2, 3), (4, 0), (5, 2)] {
            tree.add(parent, token, 1.0);
        }
        let (mut accepted, count) = (0, 4usize.pow(8));
        for choice in 0..count {
            // The most likely token after each node: all ways there are.
            let best = |node: usize| (choice >> (2 * node) & 3) as u32;
            let target = |node| {
                let mut weights = vec![0.0; 4];
                weights[best(node) as usize] = 1.0;
                Ok(Distribution::new(weights))
            };
            let found = typical(&tree, target, |_| 0.7).unwrap();
            assert_eq!(found, walk(&tree, |node| Ok(best(node))).unwrap());
            accepted += found.accepted.len();
        }
        assert!(accepted > count / 2);
    }

    #[test]
    fn typical_tokens_stand_and_the_longest_path_wins() {
        let even = Distribution::new(vec![0.5, 0.5, 0.0]);
        let steep = Distribution::new(vec![0.85, 0.05, 0.1]);
        let middling = Distribution::new(vec![0.6, 0.3, 0.1]);
        let mut tree = Tree::new(9);
        let [short, long] = [1, 0].map(|token| tree.add(0, token, 1.0));
        let below = tree.add(long, 2, 1.0);
        let judge = |root: &Distribution, rest: &Distribution| {
            let target = |node| {
                Ok(if node == 0 {
                    root.clone()
                } else {
                    rest.clone()
                })
            };
            let found = typical(&tree, target, |node| [0.99, 0.4, 0.6, 0.95][node]).unwrap();
            (found.accepted, found.bonus)
        };
        assert_eq!(judge(&even, &steep), (vec![long, below], 2));
        // 0.05 is below the threshold; of two paths as long the likelier wins.
        assert_eq!(judge(&steep, &even), (vec![long], 1));
        assert_eq!(judge(&middling, &even), (vec![long], 1));
        // Where nothing is likely, a token may be as unlikely as the typical ones.
        let vague = Distribution::new(vec![1.0; 50]);
        assert_eq!(judge(&vague, &even), (vec![short], 0));
        let banned = Distribution::new(vec![0.0, 0.0, 1.0]);
        assert_eq!(judge(&banned, &even), (vec![], 2));
    }
}
