//! Medians and spread.

use serde::Serialize;

/// The middle of some values, and how far most of them lie from it.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Spread {
    pub median: f64,
    /// A tenth of the values lie below.
    pub p10: f64,
    /// A tenth of the values lie above.
    pub p90: f64,
}

impl Spread {
    /// Of some values; of none there is none.
    pub fn of(values: &[f64]) -> Option<Self> {
        Some(Self {
            median: median(values)?,
            p10: percentile(values, 0.1)?,
            p90: percentile(values, 0.9)?,
        })
    }
}

/// The middle value, or the mean of the middle two.
pub fn median(values: &[f64]) -> Option<f64> {
    percentile(values, 0.5)
}

/// The value below which the share `p` of the values lies; between two of them, in
/// proportion (Hyndman and Fan's definition 7, which most programs use).
pub fn percentile(values: &[f64], p: f64) -> Option<f64> {
    let mut sorted = values.to_vec();
    sorted.sort_unstable_by(f64::total_cmp);
    let place = p.clamp(0.0, 1.0) * sorted.len().checked_sub(1)? as f64;
    let below = sorted[place as usize];
    let above = sorted[place.ceil() as usize];
    Some(below + (above - below) * place.fract())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn medians_are_in_the_middle_whatever_the_order() {
        assert_eq!(median(&[]), None);
        assert_eq!(median(&[3.0]), Some(3.0));
        assert_eq!(median(&[9.0, 1.0, 2.0]), Some(2.0));
        assert_eq!(median(&[4.0, 1.0, 2.0, 9.0]), Some(3.0));
    }

    #[test]
    fn percentiles_lie_between_neighbours_in_proportion() {
        let values: Vec<f64> = (0..=10).rev().map(f64::from).collect();
        assert_eq!(percentile(&values, 0.1), Some(1.0));
        assert_eq!(percentile(&values, 0.25), Some(2.5));
        assert_eq!(percentile(&values, 0.0), Some(0.0));
        assert_eq!(percentile(&values, 1.0), Some(10.0));
        let spread = Spread::of(&[1.0, 2.0]).unwrap();
        assert_eq!(spread.median, 1.5);
        assert!((spread.p10 - 1.1).abs() < 1e-12 && (spread.p90 - 1.9).abs() < 1e-12);
        assert_eq!(Spread::of(&[]), None);
    }
}
