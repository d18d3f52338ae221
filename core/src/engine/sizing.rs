//! How much of what was drafted is worth verifying.
//!
//! Verifying more rows costs more time (`costs.rs`). How likely a node is to be accepted
//! is the drafter's estimate, corrected by what became of earlier estimates at its depth
//! (`calibration.rs`). A round verifies the N most likely nodes that maximise expected
//! tokens per second, and none when nothing pays: then it is a plain step. A drafter
//! stops growing where another of its passes costs more than it will add, and rests
//! while nothing that it does pays (`worth.rs`). Where a device need not wait for the host
//! between draft and verification, N is foretold (`foresight.rs`). None of this can change a
//! token.

use std::time::Duration;

use super::calibration::Calibration;
use super::costs::Costs;
use super::worth::Worth;
use crate::tree::Tree;

/// How much of a draft is verified.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Sizing {
    /// Verify what is likely to pay for its time.
    #[default]
    Measured,
    /// Verify everything that is drafted, in rounds in which drafting pays: for trees of
    /// which only the whole is worth anything, such as lookahead's window.
    Whole,
    /// Verify everything that is drafted, always.
    Fixed,
}

/// What another pass of a drafter, and a row for what it drafts, cost in tokens.
/// `roots` sequences share a round.
pub(super) fn pass_cost(costs: &Costs, worth: &Worth, roots: usize) -> f64 {
    let pass = |rows| costs.estimate(rows);
    let row = (pass(roots + 8) - pass(roots)).max(0.0) / 8.0;
    let rate = worth.rate(pass(roots) / roots as f64);
    (worth.pass() + row) * rate
}

/// Cuts the trees of one round, each with its sequence's calibration, to the nodes that
/// maximise expected tokens per second of the whole round, which began with `drafting`.
pub(super) fn cut(trees: &mut [(&mut Tree, &Calibration)], costs: &Costs, drafting: Duration) {
    let roots = trees.len();
    let drafting = drafting.as_secs_f64();
    let chances: Vec<Vec<f64>> = trees.iter().map(|(t, c)| c.chances(t)).collect();
    let mut nodes: Vec<(f64, usize, usize)> = Vec::new();
    for (tree, chances) in chances.iter().enumerate() {
        nodes.extend((1..chances.len()).map(|node| (chances[node], tree, node)));
    }
    // A child is less likely than its parent, and comes after it where they tie: any
    // number of the first nodes is a tree.
    nodes.sort_by(|a, b| b.0.total_cmp(&a.0).then(a.2.cmp(&b.2)));
    let count = match costs.is_known(roots) {
        true => paying(nodes.iter().map(|node| node.0), roots, costs, drafting),
        false => 0, // One plain round comes first: it is the measure of all others.
    };
    let mut keep: Vec<Vec<bool>> = chances.iter().map(|c| vec![false; c.len()]).collect();
    for &(_, tree, node) in &nodes[..count] {
        keep[tree][node] = true;
    }
    for ((tree, _), keep) in trees.iter_mut().zip(&keep) {
        tree.retain(keep);
    }
}

/// How many nodes below `roots` roots, given by their chances, likeliest first, maximise
/// expected tokens per second, where `drafting` seconds were spent before.
pub(super) fn paying(
    chances: impl Iterator<Item = f64>,
    roots: usize,
    costs: &Costs,
    drafting: f64,
) -> usize {
    let mut expected = roots as f64;
    let mut best = (expected / (drafting + costs.estimate(roots)), 0);
    for (count, chance) in (1..).zip(chances) {
        expected += chance;
        let rate = expected / (drafting + costs.estimate(roots + count));
        if rate > best.0 {
            best = (rate, count);
        }
    }
    best.1
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kept(tree: &Tree, calibration: &Calibration, costs: &Costs) -> usize {
        let mut tree = tree.clone();
        cut(&mut [(&mut tree, calibration)], costs, Duration::ZERO);
        tree.len() - 1
    }

    fn chain(chance: f32) -> Tree {
        let mut tree = Tree::new(0);
        tree.graft(0, &[1, 2, 3, 4], chance);
        tree
    }

    #[test]
    fn a_tree_is_as_large_as_it_pays() {
        let fresh = Calibration::default();
        assert_eq!(
            kept(&chain(0.9), &fresh, &Costs::default()),
            0,
            "a plain round first"
        );
        let cheap = Costs::of(&[(1, 100), (5, 104)]);
        assert_eq!(kept(&chain(0.9), &fresh, &cheap), 4);
        let dear = Costs::of(&[(1, 100), (2, 200), (3, 300), (5, 500)]);
        assert_eq!(kept(&chain(0.9), &fresh, &dear), 0);
        // 0.3 pays for 20 ms in 100, 0.09 does not.
        let middling = Costs::of(&[(1, 100), (5, 180)]);
        assert_eq!(kept(&chain(0.3), &fresh, &middling), 1);
    }

    #[test]
    fn a_drafter_that_boasts_is_found_out_and_later_tried_again() {
        let costs = Costs::of(&[(1, 100), (5, 150)]);
        let mut calibration = Calibration::default();
        assert_eq!(kept(&chain(0.9), &calibration, &costs), 4);
        for _ in 0..30 {
            calibration.record(&chain(0.9), &[]);
        }
        assert_eq!(kept(&chain(0.9), &calibration, &costs), 0);
        for _ in 0..100 {
            calibration.record(&Tree::new(0), &[]);
        }
        assert!(kept(&chain(0.9), &calibration, &costs) > 0);
    }

    #[test]
    fn sequences_share_the_budget_where_it_pays_most() {
        let costs = Costs::of(&[(2, 100), (4, 140), (5, 200), (6, 270), (10, 500)]);
        let (mut sure, mut vague) = (chain(0.9), chain(0.1));
        let fresh = Calibration::default();
        cut(
            &mut [(&mut vague, &fresh), (&mut sure, &fresh)],
            &costs,
            Duration::ZERO,
        );
        assert_eq!((sure.len() - 1, vague.len() - 1), (2, 0));
    }

    #[test]
    fn time_that_is_spent_already_makes_more_nodes_worth_their_time() {
        let costs = Costs::of(&[(1, 100), (2, 150), (5, 300)]);
        let fresh = Calibration::default();
        let kept = |drafting| {
            let mut tree = chain(0.6);
            cut(
                &mut [(&mut tree, &fresh)],
                &costs,
                Duration::from_millis(drafting),
            );
            tree.len() - 1
        };
        assert_eq!((kept(0), kept(100)), (1, 2));
    }

    #[test]
    fn a_pass_has_its_cost_in_tokens() {
        let mut worth = Worth::default();
        let costs = Costs::of(&[(1, 100), (9, 180)]);
        let row = pass_cost(&costs, &worth, 1);
        assert!(
            (row - 0.1).abs() < 1e-9,
            "a row is 10 ms, a token 100 ms: {row}"
        );
        for _ in 0..3 {
            worth.record_draft(Duration::from_millis(40), 2, 0.1);
        }
        let pass = pass_cost(&costs, &worth, 1);
        assert!((pass - 0.3).abs() < 1e-9, "and a pass 20 ms: {pass}");
        worth.record(true, Duration::from_millis(100), 2, 0.1);
        assert!(
            pass_cost(&costs, &worth, 1) > 1.9 * pass,
            "fast rounds make time dear"
        );
    }
}
