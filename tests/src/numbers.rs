//! Deterministic numbers: the same on every machine, without a generator's state.

use eaglet_core::sample::uniform;

/// `count` values spread evenly over -1..1.
pub fn spread(seed: u64, count: usize) -> Vec<f32> {
    (0..count as u64)
        .map(|i| (2.0 * uniform(seed, i) - 1.0) as f32)
        .collect()
}

/// The largest difference between two slices, as a share of the largest value; not a number
/// where one is none.
pub fn relative_error(found: &[f32], expected: &[f32]) -> f32 {
    assert_eq!(found.len(), expected.len());
    let size = expected.iter().fold(1e-30, |a: f32, b| a.max(b.abs()));
    let differences = found.iter().zip(expected).map(|(a, b)| (a - b).abs());
    // `max` would pass over what is not a number.
    differences.fold(0.0, |worst: f32, d| if d <= worst { worst } else { d }) / size
}
