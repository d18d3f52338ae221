//! How many nodes of a tree will pay, said before the tree is seen.

use super::costs::Costs;
use super::sizing::paying;

/// Weight of the newest tree.
const NEW: f64 = 0.2;
/// Every so many rounds one is looked at between its draft and its verification: only then is
/// it known what each of them takes.
const LOOK: usize = 16;

/// The chances of nodes to be accepted, by their rank in a tree: what trees were like on average.
#[derive(Clone, Debug, Default)]
pub(super) struct Foresight {
    chances: Vec<f64>,
    trees: usize,
    /// Rounds that could have been looked at.
    rounds: usize,
}

impl Foresight {
    /// Whether this round is to be looked at.
    pub fn is_look_due(&mut self) -> bool {
        self.rounds += 1;
        self.rounds.is_multiple_of(LOOK)
    }

    /// Takes note of a tree: the chance of each node, likeliest first. Where it ends there was
    /// nothing to draft.
    pub fn record(&mut self, chances: &[f64]) {
        self.trees += 1;
        let weight = if self.trees == 1 { 1.0 } else { NEW };
        let longest = self.chances.len().max(chances.len());
        self.chances.resize(longest, 0.0);
        let new = chances.iter().copied().chain(std::iter::repeat(0.0));
        for (known, new) in self.chances.iter_mut().zip(new) {
            *known += weight * (new - *known);
        }
    }

    /// How many nodes, of `most`, to verify in a round of one sequence whose draft takes
    /// `drafting` seconds: one at least, since it is drafted. The first tree is taken whole.
    pub fn nodes(&self, most: usize, costs: &Costs, drafting: f64) -> usize {
        match self.trees {
            0 => most,
            _ => {
                let chances = self.chances.iter().copied().take(most);
                paying(chances, 1, costs, drafting).clamp(1, most)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn as_many_nodes_as_were_worth_it_on_average() {
        let costs = Costs::of(&[(1, 100), (5, 180)]);
        let mut foresight = Foresight::default();
        assert_eq!(foresight.nodes(4, &costs, 0.0), 4, "nothing is known");
        foresight.record(&[0.9, 0.5, 0.1, 0.05]);
        assert_eq!(foresight.nodes(4, &costs, 0.0), 2);
        assert_eq!(foresight.nodes(1, &costs, 0.0), 1, "no more than there are");
        assert!(
            foresight.nodes(4, &costs, 0.5) > 2,
            "time that is spent anyway"
        );
        for _ in 0..30 {
            foresight.record(&[0.05]);
        }
        assert_eq!(foresight.nodes(4, &costs, 0.0), 1, "it is drafted already");
        assert!(
            foresight.chances[1] < 0.01,
            "what is not there has no chance"
        );
    }

    #[test]
    fn some_rounds_are_looked_at() {
        let mut foresight = Foresight::default();
        let looked = (0..10 * LOOK).filter(|_| foresight.is_look_due()).count();
        assert_eq!(looked, 10);
    }
}
