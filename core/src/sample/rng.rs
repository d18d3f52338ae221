//! A counter-based generator: the n-th random number without the n - 1 before it.
//!
//! Philox4x32-10 of Salmon et al., "Parallel Random Numbers: As Easy as 1, 2, 3" (2011).

/// What a random number decides. Numbers of different streams have nothing to do with
/// one another: a token that was drafted must not be judged by the number that drew it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stream {
    /// Which token the target emits.
    Target = 0,
    /// Which tokens a drafter draws.
    Draft = 1,
    /// Whether a drafted token is accepted.
    Accept = 2,
}

/// 64 random bits, a pure function of the arguments: those that draw the target's token at
/// `position`.
pub fn random(seed: u64, position: u64) -> u64 {
    random_in(Stream::Target, seed, position, 0)
}

/// A number in [0, 1) of 53 random bits, those of [`random`].
pub fn uniform(seed: u64, position: u64) -> f64 {
    uniform_in(Stream::Target, seed, position, 0)
}

/// A number of any stream, in which a position has many, told apart by `index`.
pub fn uniform_in(stream: Stream, seed: u64, position: u64, index: u32) -> f64 {
    let bits = random_in(stream, seed, position, index) >> 11;
    bits as f64 / (1u64 << 53) as f64
}

fn random_in(stream: Stream, seed: u64, position: u64, index: u32) -> u64 {
    let [a, b, ..] = philox(
        [
            position as u32,
            (position >> 32) as u32,
            stream as u32,
            index,
        ],
        [seed as u32, (seed >> 32) as u32],
    );
    u64::from(a) << 32 | u64::from(b)
}

/// Ten rounds of Philox over a counter, with a key.
fn philox(mut counter: [u32; 4], mut key: [u32; 2]) -> [u32; 4] {
    for _ in 0..10 {
        let (high_0, low_0) = wide_product(counter[0], 0xD251_1F53);
        let (high_1, low_1) = wide_product(counter[2], 0xCD9E_8D57);
        counter = [
            high_1 ^ counter[1] ^ key[0],
            low_1,
            high_0 ^ counter[3] ^ key[1],
            low_0,
        ];
        key[0] = key[0].wrapping_add(0x9E37_79B9);
        key[1] = key[1].wrapping_add(0xBB67_AE85);
    }
    counter
}

fn wide_product(a: u32, b: u32) -> (u32, u32) {
    let product = u64::from(a) * u64::from(b);
    ((product >> 32) as u32, product as u32)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The known answers that the Random123 distribution publishes for philox4x32-10.
    #[test]
    fn known_answers() {
        assert_eq!(
            philox([0; 4], [0; 2]),
            [0x6627_e8d5, 0xe169_c58d, 0xbc57_ac4c, 0x9b00_dbd8]
        );
        assert_eq!(
            philox([u32::MAX; 4], [u32::MAX; 2]),
            [0x408f_276d, 0x41c8_3b0e, 0xa20b_c7c6, 0x6d54_51fd]
        );
        assert_eq!(
            philox(
                [0x243f_6a88, 0x85a3_08d3, 0x1319_8a2e, 0x0370_7344],
                [0xa409_3822, 0x299f_31d0]
            ),
            [0xd16c_fe09, 0x94fd_cceb, 0x5001_e420, 0x2412_6ea1]
        );
    }

    #[test]
    fn numbers_spread_over_positions_and_seeds() {
        let mean: f64 = (0..10_000).map(|p| uniform(42, p)).sum::<f64>() / 10_000.0;
        assert!((mean - 0.5).abs() < 0.012, "{mean}");
        assert_ne!(uniform(1, 7), uniform(2, 7));
    }

    #[test]
    fn streams_and_indices_do_not_follow_one_another() {
        let numbers =
            |stream, index| (0..10_000).map(move |p| uniform_in(stream, 42, p, index) - 0.5);
        let all = [
            (Stream::Target, 0),
            (Stream::Draft, 0),
            (Stream::Draft, 1),
            (Stream::Accept, 1),
        ];
        for (i, &(a, x)) in all.iter().enumerate() {
            for &(b, y) in &all[..i] {
                let products = numbers(a, x).zip(numbers(b, y)).map(|(a, b)| a * b);
                let correlation = 12.0 * products.sum::<f64>() / 10_000.0;
                // Four standard deviations.
                assert!(correlation.abs() < 0.04, "{a:?} {b:?}: {correlation}");
            }
        }
    }
}
