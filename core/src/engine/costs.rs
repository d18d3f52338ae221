//! What a forward pass of the target costs, by its number of rows.
//!
//! A table is measured once for a model and a device ([`Session::measure`]); how far the
//! moment is from it is learnt from every pass: a longer context, or a neighbour that
//! takes half of the machine, makes all widths dearer alike.
//!
//! [`Session::measure`]: super::Session::measure

use std::time::Duration;

use serde::{Deserialize, Serialize};

/// Seconds of a forward pass by its number of rows, measured in advance.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "Vec<(usize, f64)>")]
pub struct CostTable(Vec<(usize, f64)>);

impl TryFrom<Vec<(usize, f64)>> for CostTable {
    type Error = &'static str;

    fn try_from(widths: Vec<(usize, f64)>) -> Result<Self, Self::Error> {
        Self::new(widths).ok_or("costs must be positive times of rising widths, from 1 on")
    }
}

impl CostTable {
    /// A table of (rows, seconds). Nothing that is not a time makes one, nor do widths
    /// that do not rise.
    pub fn new(widths: Vec<(usize, f64)>) -> Option<Self> {
        let rising = widths.windows(2).all(|pair| pair[0].0 < pair[1].0);
        let times = widths
            .iter()
            .all(|(_, time)| time.is_finite() && *time > 0.0);
        let begins = widths.first().is_some_and(|&(rows, _)| rows == 1);
        (rising && times && begins).then_some(Self(widths))
    }

    /// The widths and their times, by rising width.
    pub fn widths(&self) -> &[(usize, f64)] {
        &self.0
    }

    /// The lower of two times of each width: a machine that was busy is slow, and nothing
    /// makes it faster than it is.
    pub fn best(&self, other: &Self) -> Self {
        let mut widths = self.0.clone();
        for &(rows, time) in &other.0 {
            match widths.binary_search_by_key(&rows, |width| width.0) {
                Ok(i) => widths[i].1 = widths[i].1.min(time),
                Err(i) => widths.insert(i, (rows, time)),
            }
        }
        Self(widths)
    }

    /// Between the neighbours measured; beyond the widest, on along the last slope.
    fn seconds(&self, rows: usize) -> Option<f64> {
        let after = self.0.partition_point(|&(width, _)| width < rows);
        let (low, high) = match after {
            0 => return self.0.first().map(|&(_, time)| time),
            n if n < self.0.len() => (self.0[n - 1], self.0[n]),
            1 => return Some(self.0[0].1 * rows as f64),
            n => (self.0[n - 2], self.0[n - 1]),
        };
        let slope = (high.1 - low.1) / (high.0 - low.0) as f64;
        let reach = rows as f64 - low.0 as f64;
        Some((low.1 + slope * reach).max(low.1.min(high.1)))
    }
}

/// The table, and what passes took since.
#[derive(Clone, Debug, Default)]
pub(super) struct Costs {
    table: CostTable,
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
/// What a row beyond those measured adds, in passes of one row, where there is no table:
/// cheap enough to be tried once and measured.
const GUESS: f64 = 0.1;
/// How many times dearer than in the table the first pass may have been.
const FIRST: f64 = 4.0;
/// Passes after which a width that was not used is forgotten, so that one slow moment
/// does not rule it out for ever.
const FORGET: usize = 100;

impl Costs {
    /// Starts from a table.
    pub fn new(table: CostTable) -> Self {
        Self {
            table,
            ..Default::default()
        }
    }

    /// Takes note of a pass.
    pub fn record(&mut self, rows: usize, time: Duration) {
        self.passes += 1;
        let at = self.passes;
        self.seen.retain(|cost| at - cost.at < FORGET);
        // A pass that lost its core says nothing of its rows.
        let limit = match (self.seen.is_empty(), self.table.0.is_empty()) {
            (true, true) => f64::INFINITY,
            (true, false) => FIRST * self.estimate(rows),
            (false, _) => 2.0 * self.estimate(rows),
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
        !self.table.0.is_empty() || self.seen.first().is_some_and(|first| first.rows <= rows)
    }

    /// Seconds that a pass of `rows` rows will take.
    pub fn estimate(&self, rows: usize) -> f64 {
        match self.seen.binary_search_by_key(&rows, |cost| cost.rows) {
            Ok(i) => self.seen[i].seconds,
            Err(after) => match self.table.seconds(rows) {
                Some(seconds) => seconds * self.drift(rows, after),
                None => self.guess(rows, after),
            },
        }
    }

    /// How much dearer than in the table the widths were that have been used, on both sides
    /// of `rows`.
    fn drift(&self, rows: usize, after: usize) -> f64 {
        let ratio = |cost: &Cost| Some(cost.seconds / self.table.seconds(cost.rows)?);
        let side = |cost: Option<&Cost>| cost.and_then(|cost| Some((cost.rows, ratio(cost)?)));
        match (side(self.seen[..after].last()), side(self.seen.get(after))) {
            (Some((low, a)), Some((high, b))) => {
                a + (b - a) * (rows - low) as f64 / (high - low) as f64
            }
            (Some((_, ratio)), None) | (None, Some((_, ratio))) => ratio,
            (None, None) => 1.0,
        }
    }

    /// Between the neighbours used so far, or a little above the widest.
    fn guess(&self, rows: usize, after: usize) -> f64 {
        let below = after.checked_sub(1).map(|i| self.seen[i]);
        match (below, self.seen.get(after)) {
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

#[cfg(test)]
impl Costs {
    /// Costs that were seen, in milliseconds.
    pub fn of(times: &[(usize, u64)]) -> Self {
        let mut costs = Self::default();
        for &(rows, time) in times {
            costs.record(rows, Duration::from_millis(time));
        }
        costs
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn near(a: f64, b: f64) {
        assert!((a - b).abs() < 1e-9, "{a} {b}");
    }

    #[test]
    fn without_a_table_costs_are_interpolated_between_the_widths_used() {
        let costs = Costs::of(&[(1, 100), (5, 200)]);
        near(costs.estimate(3), 0.15);
        near(costs.estimate(5), 0.2);
        near(costs.estimate(7), 0.22);
    }

    #[test]
    fn one_slow_moment_does_not_rule_a_width_out_for_ever() {
        let mut costs = Costs::of(&[(1, 100), (5, 9000)]);
        assert!(
            costs.estimate(5) < 0.3,
            "no width is taken for over twice its guess"
        );
        for _ in 0..FORGET {
            costs.record(1, Duration::from_millis(100));
        }
        near(costs.estimate(5), 0.14);
    }

    #[test]
    fn a_table_is_interpolated_and_continued() {
        let table = CostTable::new(vec![(1, 1.0), (4, 1.3), (8, 2.1)]).unwrap();
        let costs = Costs::new(table);
        assert!(costs.is_known(1));
        near(costs.estimate(1), 1.0);
        near(costs.estimate(2), 1.1);
        near(costs.estimate(8), 2.1);
        near(costs.estimate(12), 2.9);
        let lone = Costs::new(CostTable::new(vec![(1, 1.0)]).unwrap());
        near(lone.estimate(3), 3.0);
    }

    #[test]
    fn a_slower_moment_makes_every_width_of_the_table_dearer() {
        let table = CostTable::new(vec![(1, 0.1), (4, 0.16), (8, 0.2)]).unwrap();
        let mut costs = Costs::new(table);
        costs.record(4, Duration::from_millis(320));
        near(costs.estimate(4), 0.32);
        near(costs.estimate(1), 0.2);
        near(costs.estimate(8), 0.4);
        costs.record(8, Duration::from_millis(200));
        near(costs.estimate(6), 0.18 * 1.5);
        let mut lost = Costs::new(CostTable::new(vec![(1, 0.1)]).unwrap());
        lost.record(1, Duration::from_secs(9));
        near(lost.estimate(1), 0.4);
    }

    #[test]
    fn of_two_tables_the_lower_times_are_taken() {
        let table = |widths: &[(usize, f64)]| CostTable::new(widths.to_vec()).unwrap();
        let busy = table(&[(1, 2.0), (2, 2.1), (8, 9.0)]);
        let best = busy.best(&table(&[(1, 1.0), (2, 2.5), (4, 3.0)]));
        assert_eq!(best, table(&[(1, 1.0), (2, 2.1), (4, 3.0), (8, 9.0)]));
    }

    #[test]
    fn what_is_no_table_makes_none() {
        for widths in [
            vec![],
            vec![(2, 1.0)],
            vec![(1, 1.0), (1, 2.0)],
            vec![(1, 0.0)],
            vec![(1, f64::NAN)],
        ] {
            assert_eq!(CostTable::new(widths), None);
        }
    }
}
