//! How far a drafter's estimates can be trusted.

use crate::tree::Tree;

/// What became of one sequence's estimates, by depth.
#[derive(Clone, Debug, Default)]
pub(super) struct Calibration {
    /// For each depth the sum of estimates and the number accepted, fading out.
    depths: Vec<(f64, f64)>,
    /// Nodes that were right so far and had children, and how many of these had one that
    /// was right too; fading out.
    parents: (f64, f64),
}

/// Estimates are trusted as far as this many accepted nodes would support them.
const TRUST: f64 = 2.0;
/// How fast old rounds are forgotten; also how soon a method that failed is tried again.
const MEMORY: f64 = 0.97;

impl Calibration {
    /// Takes note of a round: nodes whose parent was accepted, and which of them were.
    pub fn record(&mut self, tree: &Tree, accepted: &[usize]) {
        for (estimates, hits) in self.depths.iter_mut().chain([&mut self.parents]) {
            (*estimates, *hits) = (*estimates * MEMORY, *hits * MEMORY);
        }
        for parent in [0].iter().chain(accepted).copied() {
            if tree.children(parent).next().is_some() {
                let hit = tree.children(parent).any(|child| accepted.contains(&child));
                self.parents.0 += 1.0;
                self.parents.1 += f64::from(u8::from(hit));
            }
        }
        for node in 1..tree.len() {
            let parent = tree.parent(node);
            if parent != 0 && !accepted.contains(&parent) {
                continue;
            }
            let depth = tree.depth(node);
            if self.depths.len() < depth {
                self.depths.resize(depth, (0.0, 0.0));
            }
            let (estimates, hits) = &mut self.depths[depth - 1];
            *estimates += f64::from(tree.chance(node));
            *hits += f64::from(u8::from(accepted.contains(&node)));
        }
    }

    /// The chance of each node to be accepted, its ancestors included.
    pub fn chances(&self, tree: &Tree) -> Vec<f64> {
        let mut chances = vec![1.0];
        for node in 1..tree.len() {
            let seen = self.depths.get(tree.depth(node) - 1);
            let chance = f64::from(tree.chance(node)) * correction(seen.copied());
            chances.push(chances[tree.parent(node)] * chance.min(0.99));
        }
        chances
    }

    /// How many tokens a level below nodes whose chances, as the drafter estimates them,
    /// add up to one will add: the share of them that will be right, and of those the
    /// share with a child that is.
    pub fn gain(&self) -> f64 {
        let all = self.depths.iter();
        let all = all.fold((0.0, 0.0), |sum, d| (sum.0 + d.0, sum.1 + d.1));
        let (parents, hits) = self.parents;
        correction(Some(all)).min(1.0) * (hits + TRUST) / (parents + TRUST)
    }
}

/// What to multiply an estimate by, given the sums of those before and of their hits.
fn correction(seen: Option<(f64, f64)>) -> f64 {
    let (estimates, hits) = seen.unwrap_or_default();
    (hits + TRUST) / (estimates + TRUST)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chain(chance: f32) -> Tree {
        let mut tree = Tree::new(0);
        tree.graft(0, &[1, 2, 3, 4], chance);
        tree
    }

    #[test]
    fn a_level_is_worth_what_became_of_the_levels_before() {
        let mut good = Calibration::default();
        assert_eq!(good.gain(), 1.0, "whoever has said nothing yet is believed");
        let mut bad = good.clone();
        for _ in 0..200 {
            good.record(&chain(0.9), &[1, 2, 3, 4]);
            bad.record(&chain(0.9), &[]);
        }
        assert!(good.gain() > 0.98, "{}", good.gain());
        assert!(bad.gain() < 0.01, "{}", bad.gain());
    }
}
