//! How much of what was drafted is worth verifying.
//!
//! Verifying more rows costs more time; how much is measured while decoding. How likely
//! a node is to be accepted is the drafter's estimate, corrected by what became of
//! earlier estimates at its depth. A round verifies the N most likely nodes that
//! maximise expected tokens per second, and none when nothing pays: then it is a plain
//! step. None of this can change a token.

use std::time::Duration;

use crate::tree::Tree;

/// Whether trees are cut to what pays.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Sizing {
    /// Verify what is likely to pay for its time.
    #[default]
    Measured,
    /// Verify everything that is drafted.
    Fixed,
}

/// The time of a forward pass by its number of rows, as measured so far.
#[derive(Clone, Debug, Default)]
pub(super) struct Costs {
    /// By rising rows.
    seen: Vec<Cost>,
    passes: usize,
}

#[derive(Clone, Copy, Debug)]
struct Cost {
    rows: usize,
    seconds: f64,
    /// The pass that measured it last.
    at: usize,
}

/// Weight of the newest time in the running mean.
const NEWEST: f64 = 0.2;
/// What a row beyond those measured adds, in passes of one row: cheap enough to be
/// tried once and measured.
const GUESS: f64 = 0.1;
/// Passes after which a width that was not used is forgotten, so that one slow moment
/// does not rule it out for ever.
const FORGET: usize = 100;

impl Costs {
    /// Takes note of a pass.
    pub fn record(&mut self, rows: usize, time: Duration) {
        self.passes += 1;
        let at = self.passes;
        self.seen.retain(|cost| at - cost.at < FORGET);
        // A pass that lost its core says nothing of its rows.
        let limit = match self.seen.is_empty() {
            true => f64::INFINITY,
            false => 2.0 * self.estimate(rows),
        };
        let seconds = time.as_secs_f64().min(limit);
        match self.seen.binary_search_by_key(&rows, |cost| cost.rows) {
            Ok(i) => {
                self.seen[i].seconds += NEWEST * (seconds - self.seen[i].seconds);
                self.seen[i].at = at;
            }
            Err(i) => self.seen.insert(i, Cost { rows, seconds, at }),
        }
    }

    /// Whether the cost of a plain step is known; nothing else can be judged without.
    pub fn is_known(&self, rows: usize) -> bool {
        self.seen.first().is_some_and(|first| first.rows <= rows)
    }

    /// Seconds that a pass of `rows` rows will take: between the neighbours measured, or
    /// a little above the widest one.
    pub fn estimate(&self, rows: usize) -> f64 {
        let after = self.seen.partition_point(|cost| cost.rows < rows);
        let below = after.checked_sub(1).map(|i| self.seen[i]);
        match (below, self.seen.get(after)) {
            (_, Some(cost)) if cost.rows == rows => cost.seconds,
            (Some(a), Some(b)) => {
                let share = (rows - a.rows) as f64 / (b.rows - a.rows) as f64;
                a.seconds + (b.seconds - a.seconds) * share
            }
            (Some(a), None) => {
                let plain = self.seen[0].seconds / self.seen[0].rows as f64;
                a.seconds + GUESS * plain * (rows - a.rows) as f64
            }
            (None, Some(b)) => b.seconds,
            (None, None) => 1.0,
        }
    }
}

/// What became of one sequence's estimates, by depth.
#[derive(Clone, Debug, Default)]
pub(super) struct Calibration {
    /// For each depth the sum of estimates and the number accepted, fading out.
    depths: Vec<(f64, f64)>,
}

/// Estimates are trusted as far as this many accepted nodes would support them.
const TRUST: f64 = 2.0;
/// How fast old rounds are forgotten; also how soon a method that failed is tried again.
const MEMORY: f64 = 0.97;

impl Calibration {
    /// Takes note of a round: nodes whose parent was accepted, and which of them were.
    pub fn record(&mut self, tree: &Tree, accepted: &[usize]) {
        for (estimates, hits) in &mut self.depths {
            (*estimates, *hits) = (*estimates * MEMORY, *hits * MEMORY);
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
    fn chances(&self, tree: &Tree) -> Vec<f64> {
        let mut chances = vec![1.0];
        for node in 1..tree.len() {
            let seen = self.depths.get(tree.depth(node) - 1);
            let (estimates, hits) = seen.copied().unwrap_or_default();
            let correction = (hits + TRUST) / (estimates + TRUST);
            let chance = (f64::from(tree.chance(node)) * correction).min(0.99);
            chances.push(chances[tree.parent(node)] * chance);
        }
        chances
    }
}

/// Whether drafting pays for itself, the drafter's own time included. When it does not,
/// it rests, and each time that it fails again it rests longer.
#[derive(Clone, Debug, Default)]
pub(super) struct Worth {
    /// Time per token in rounds that drafted, in those of plain steps; a running mean.
    ratio: f64,
    judged: usize,
    resting: usize,
    rest: usize,
}

/// Rounds before drafting is judged.
const TRIAL: usize = 6;
/// What noise alone may cost.
const NOISE: f64 = 1.05;

impl Worth {
    /// Whether this round should draft nothing.
    pub fn is_resting(&self) -> bool {
        self.resting > 0
    }

    /// Takes note of a round: its whole time, the tokens that it gave, and the seconds
    /// that a plain step takes for each.
    pub fn record(&mut self, drafted: bool, time: Duration, tokens: usize, plain: f64) {
        self.resting = self.resting.saturating_sub(1);
        if !drafted {
            return;
        }
        let ratio = (time.as_secs_f64() / (tokens as f64 * plain)).min(4.0);
        self.ratio = match self.judged {
            0 => ratio,
            _ => self.ratio + NEWEST * (ratio - self.ratio),
        };
        self.judged += 1;
        if self.judged >= TRIAL && self.ratio > NOISE {
            self.rest = (2 * self.rest).clamp(16, 256);
            (self.resting, self.judged) = (self.rest, 0);
        } else if self.ratio < 1.0 {
            self.rest = 0;
        }
    }
}

/// Cuts the trees of one round, each with its sequence's calibration, to the nodes that
/// maximise expected tokens per second of the whole pass.
pub(super) fn cut(trees: &mut [(&mut Tree, &Calibration)], costs: &Costs) {
    let roots = trees.len();
    let chances: Vec<Vec<f64>> = trees.iter().map(|(t, c)| c.chances(t)).collect();
    let mut nodes: Vec<(f64, usize, usize)> = Vec::new();
    for (tree, chances) in chances.iter().enumerate() {
        nodes.extend((1..chances.len()).map(|node| (chances[node], tree, node)));
    }
    // A child is less likely than its parent, and comes after it where they tie: any
    // number of the first nodes is a tree.
    nodes.sort_by(|a, b| b.0.total_cmp(&a.0).then(a.2.cmp(&b.2)));
    let mut best = (roots as f64 / costs.estimate(roots), 0);
    let mut expected = roots as f64;
    for (count, (chance, ..)) in nodes.iter().enumerate() {
        expected += chance;
        let rate = expected / costs.estimate(roots + count + 1);
        if rate > best.0 {
            best = (rate, count + 1);
        }
    }
    if !costs.is_known(roots) {
        best.1 = 0; // One plain round comes first: it is the measure of all others.
    }
    let mut keep: Vec<Vec<bool>> = chances.iter().map(|c| vec![false; c.len()]).collect();
    for &(_, tree, node) in &nodes[..best.1] {
        keep[tree][node] = true;
    }
    for ((tree, _), keep) in trees.iter_mut().zip(&keep) {
        tree.retain(keep);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn costs(times: &[(usize, u64)]) -> Costs {
        let mut costs = Costs::default();
        for &(rows, time) in times {
            costs.record(rows, Duration::from_millis(time));
        }
        costs
    }

    fn kept(tree: &Tree, calibration: &Calibration, costs: &Costs) -> usize {
        let mut tree = tree.clone();
        cut(&mut [(&mut tree, calibration)], costs);
        tree.len() - 1
    }

    fn chain(chance: f32) -> Tree {
        let mut tree = Tree::new(0);
        tree.graft(0, &[1, 2, 3, 4], chance);
        tree
    }

    #[test]
    fn costs_are_interpolated_between_measured_widths() {
        let costs = costs(&[(1, 100), (5, 200)]);
        assert!((costs.estimate(3) - 0.15).abs() < 1e-12);
        assert!((costs.estimate(5) - 0.2).abs() < 1e-12);
        assert!((costs.estimate(7) - 0.22).abs() < 1e-12);
    }

    #[test]
    fn one_slow_moment_does_not_rule_a_width_out_for_ever() {
        let mut costs = costs(&[(1, 100), (5, 9000)]);
        assert!(
            costs.estimate(5) < 0.3,
            "no width is taken for over twice its guess"
        );
        for _ in 0..FORGET {
            costs.record(1, Duration::from_millis(100));
        }
        assert!(
            (costs.estimate(5) - 0.14).abs() < 1e-9,
            "it is guessed anew"
        );
    }

    #[test]
    fn a_tree_is_as_large_as_it_pays() {
        let fresh = Calibration::default();
        assert_eq!(
            kept(&chain(0.9), &fresh, &Costs::default()),
            0,
            "a plain round first"
        );
        let cheap = costs(&[(1, 100), (5, 104)]);
        assert_eq!(kept(&chain(0.9), &fresh, &cheap), 4);
        let dear = costs(&[(1, 100), (2, 200), (3, 300), (5, 500)]);
        assert_eq!(kept(&chain(0.9), &fresh, &dear), 0);
        // 0.3 pays for 20 ms in 100, 0.09 does not.
        let middling = costs(&[(1, 100), (5, 180)]);
        assert_eq!(kept(&chain(0.3), &fresh, &middling), 1);
    }

    #[test]
    fn a_drafter_that_boasts_is_found_out_and_later_tried_again() {
        let costs = costs(&[(1, 100), (5, 150)]);
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
    fn a_drafter_that_costs_more_than_it_gives_rests_ever_longer() {
        let mut worth = Worth::default();
        let mut drafts = 0;
        for _ in 0..400 {
            let drafted = !worth.is_resting();
            drafts += usize::from(drafted);
            let time = Duration::from_millis(if drafted { 180 } else { 100 });
            worth.record(drafted, time, 1, 0.1);
        }
        assert!((TRIAL * 3..TRIAL * 7).contains(&drafts), "{drafts}");
        let mut worth = Worth::default();
        for _ in 0..100 {
            worth.record(true, Duration::from_millis(180), 2, 0.1);
            assert!(!worth.is_resting());
        }
    }

    #[test]
    fn sequences_share_the_budget_where_it_pays_most() {
        let costs = costs(&[(2, 100), (4, 140), (5, 200), (6, 270), (10, 500)]);
        let (mut sure, mut vague) = (chain(0.9), chain(0.1));
        let fresh = Calibration::default();
        cut(&mut [(&mut vague, &fresh), (&mut sure, &fresh)], &costs);
        assert_eq!((sure.len() - 1, vague.len() - 1), (2, 0));
    }
}
