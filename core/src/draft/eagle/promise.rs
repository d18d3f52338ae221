//! How deep a tree is worth drafting, foretold from the trees before.

use crate::tree::Tree;

/// How much of a new tree's mass counts for what is expected of the next.
const NEW: f32 = 0.2;
/// Every so many trees one is a level deeper than it is worth: what is not drafted is never
/// seen to have become worth it.
const TRY: usize = 12;
/// Levels that are tried at once below those that were seen.
const GUESSED: usize = 4;

/// The mass of each level of trees: the chances that a head gave to the nodes that were
/// expanded there, their ancestors' included, added up.
///
/// A host that looks at each level stops where the mass is below the price of a pass. Where to
/// look costs more than a pass, what to draft is decided beforehand, by what levels are worth
/// on average.
#[derive(Clone, Debug, Default)]
pub(super) struct Promise {
    /// Of levels 1, 2..
    masses: Vec<f32>,
    /// Trees so far.
    trees: usize,
}

impl Promise {
    /// The depth, of `deepest` at most, to which a tree is worth passes of some price.
    pub fn depth(&mut self, price: f32, deepest: usize) -> usize {
        let levels = 1..deepest.min(self.masses.len() + GUESSED + 1);
        let worth = levels
            .take_while(|&level| self.mass(level) >= price)
            .count();
        self.trees += 1;
        let more = usize::from(self.trees.is_multiple_of(TRY));
        deepest.min(1 + worth + more)
    }

    /// What is expected of a level; deeper than ever seen, what the last two say.
    fn mass(&self, level: usize) -> f32 {
        let at = |level: usize| level.checked_sub(1).map_or(1.0, |at| self.masses[at]);
        let known = self.masses.len();
        if level <= known {
            return at(level);
        }
        let fall = match known {
            0 => 1.0, // Nothing is known: try.
            _ => (at(known) / at(known - 1)).min(1.0),
        };
        at(known) * fall.powi((level - known) as i32)
    }

    /// Takes note of all levels of a tree whose nodes were not chosen.
    pub fn record_all(&mut self, tree: &Tree) {
        for level in 1..tree.height() {
            let nodes = (1..tree.len()).filter(|&node| tree.depth(node) == level);
            let expanded = nodes.filter(|&node| tree.children(node).next().is_some());
            self.record(level, expanded.map(|node| reach(tree, node)).sum());
        }
    }

    /// Takes note of a tree whose nodes come likeliest first: of each level but the last of
    /// `depth`, the first `width` were expanded.
    pub fn record_ranked(&mut self, tree: &Tree, width: usize, depth: usize) {
        for level in 1..depth {
            let nodes = (1..tree.len()).filter(|&node| tree.depth(node) == level);
            let expanded = nodes.take(width);
            self.record(level, expanded.map(|node| reach(tree, node)).sum());
        }
    }

    /// Takes note of a level of a tree.
    fn record(&mut self, level: usize, mass: f32) {
        if !mass.is_finite() {
            return;
        }
        let deepest = self.masses.len();
        match self.masses.get_mut(level - 1) {
            Some(known) => *known += NEW * (mass - *known),
            None if level == deepest + 1 => self.masses.push(mass),
            None => {} // Levels come one after another.
        }
    }
}

/// The chance of a node, its ancestors' included.
fn reach(tree: &Tree, node: usize) -> f32 {
    tree.path(node)
        .into_iter()
        .map(|node| tree.chance(node))
        .product()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tree_is_as_deep_as_others_were_worth() {
        let mut promise = Promise::default();
        assert_eq!(promise.depth(0.5, 4), 4, "nothing is known");
        assert_eq!(
            promise.depth(0.5, 99),
            1 + GUESSED,
            "but not everything is tried"
        );
        for _ in 0..20 {
            promise.record(1, 0.9);
            promise.record(2, 0.6);
        }
        // 0.9, 0.6, then 0.4, 0.27..
        let depths = [0.95, 0.7, 0.5, 0.3, 0.0].map(|price| promise.depth(price, 6));
        assert_eq!(depths, [1, 2, 3, 4, 6]);
        assert_eq!((promise.depth(0.5, 2), promise.depth(0.5, 0)), (2, 0));
        // It believes what it sees, by and by.
        promise.record(2, 0.0);
        assert_eq!(promise.depth(0.5, 6), 2);
        promise.record(1, f32::NAN);
        promise.record(9, 1.0);
        assert_eq!(promise.depth(0.7, 6), 2);
    }

    #[test]
    fn levels_of_a_ranked_tree_are_worth_what_was_expanded_of_them() {
        let mut tree = Tree::new(9);
        let first = tree.add(0, 1, 0.5);
        tree.add(first, 4, 0.8);
        tree.add(0, 2, 0.25);
        tree.add(0, 3, 0.1);
        let mut promise = Promise::default();
        promise.record_ranked(&tree, 2, 4);
        assert_eq!(
            promise.masses,
            [0.75, 0.4, 0.0],
            "and a level without nodes nothing"
        );
    }

    #[test]
    fn a_level_that_was_not_worth_it_is_tried_again() {
        let mut promise = Promise::default();
        for _ in 0..20 {
            promise.record(1, 0.1);
        }
        let depths: Vec<_> = (0..TRY).map(|_| promise.depth(0.5, 6)).collect();
        assert_eq!(depths.iter().sum::<usize>(), TRY + 1);
        for _ in 0..9 {
            promise.record(1, 0.9);
        }
        assert!(promise.depth(0.5, 6) > 1);
    }
}
