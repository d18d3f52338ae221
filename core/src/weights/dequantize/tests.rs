//! Each test packs known numbers by the layout of the format and expects them back.
//! Scales are powers of two or small integers, so that every product is exact.

use super::*;

fn half_bytes(value: f32) -> [u8; 2] {
    f16::from_f32(value).to_le_bytes()
}

fn decode(format: BlockFormat, bytes: &[u8]) -> Vec<f32> {
    let mut out = vec![f32::NAN; bytes.len() / format.block_bytes() * format.block_len()];
    dequantize(format, bytes, &mut out);
    out
}

/// `count` numbers below `limit` without a period that a layout mistake could hide in.
fn numbers(count: usize, limit: usize) -> Vec<u8> {
    (0..count)
        .map(|i| ((i * i * 7 + i * 3 + 5) % 257 % limit) as u8)
        .collect()
}

/// The nibbles of 32 numbers: number `j` low, number `j + 16` high.
fn nibbles(q: &[u8]) -> Vec<u8> {
    (0..16)
        .map(|j| (q[j] & 15) + (q[j + 16] & 15) * 16)
        .collect()
}

/// The fifth bits of 32 numbers as a little-endian `u32`.
fn fifths(q: &[u8]) -> [u8; 4] {
    q.iter()
        .enumerate()
        .map(|(i, q)| u32::from(q / 16) << i)
        .sum::<u32>()
        .to_le_bytes()
}

#[test]
fn floats() {
    let values = [1.5f32, -0.25, 3.0, 65504.0];
    let bytes: Vec<u8> = values.iter().flat_map(|v| v.to_le_bytes()).collect();
    assert_eq!(decode(BlockFormat::F32, &bytes), values);
    let bytes: Vec<u8> = values.iter().flat_map(|v| half_bytes(*v)).collect();
    assert_eq!(decode(BlockFormat::F16, &bytes), values);
    assert_eq!(
        decode(BlockFormat::BF16, &[0xC0, 0x3F, 0x80, 0xBE]),
        [1.5, -0.25]
    );
}

#[test]
fn q4_0_and_q4_1() {
    let q = numbers(32, 16);
    let block = [&half_bytes(0.5)[..], &nibbles(&q)].concat();
    let expected: Vec<f32> = q.iter().map(|&q| 0.5 * (f32::from(q) - 8.0)).collect();
    assert_eq!(decode(BlockFormat::Q4_0, &block), expected);

    let block = [&half_bytes(0.5)[..], &half_bytes(-3.25), &nibbles(&q)].concat();
    let expected: Vec<f32> = q.iter().map(|&q| 0.5 * f32::from(q) - 3.25).collect();
    assert_eq!(decode(BlockFormat::Q4_1, &block), expected);
}

#[test]
fn q5_0_and_q5_1() {
    let q = numbers(32, 32);
    let block = [&half_bytes(-0.25)[..], &fifths(&q), &nibbles(&q)].concat();
    let expected: Vec<f32> = q.iter().map(|&q| -0.25 * (f32::from(q) - 16.0)).collect();
    assert_eq!(decode(BlockFormat::Q5_0, &block), expected);

    let block = [
        &half_bytes(0.125)[..],
        &half_bytes(7.0),
        &fifths(&q),
        &nibbles(&q),
    ]
    .concat();
    let expected: Vec<f32> = q.iter().map(|&q| 0.125 * f32::from(q) + 7.0).collect();
    assert_eq!(decode(BlockFormat::Q5_1, &block), expected);
}

#[test]
fn q8_0_in_two_blocks() {
    let q: Vec<i8> = numbers(64, 256).iter().map(|&q| q as i8).collect();
    let raw: Vec<u8> = q.iter().map(|&q| q as u8).collect();
    let bytes = [
        &half_bytes(0.5)[..],
        &raw[..32],
        &half_bytes(2.0),
        &raw[32..],
    ]
    .concat();
    let expected: Vec<f32> = q
        .iter()
        .enumerate()
        .map(|(i, &q)| [0.5, 2.0][i / 32] * f32::from(q))
        .collect();
    assert_eq!(decode(BlockFormat::Q8_0, &bytes), expected);
}

/// The 12 bytes that hold eight 6-bit scales and eight 6-bit minima.
fn pack_scales(scales: &[u8], mins: &[u8]) -> Vec<u8> {
    let first = (0..4).map(|i| scales[i] + scales[i + 4] / 16 * 64);
    let second = (0..4).map(|i| mins[i] + mins[i + 4] / 16 * 64);
    let third = (4..8).map(|i| scales[i] % 16 + mins[i] % 16 * 16);
    first.chain(second).chain(third).collect()
}

/// The 128 bytes of low nibbles of a K block of 8 sub-blocks: pairs of sub-blocks share
/// 32 bytes.
fn pack_pairs(q: &[u8]) -> Vec<u8> {
    q.chunks(64)
        .flat_map(|q| (0..32).map(|l| q[l] % 16 + q[l + 32] % 16 * 16))
        .collect()
}

#[test]
fn q4_k_and_q5_k() {
    let (scales, mins) = (numbers(8, 64), [63, 0, 17, 5, 48, 33, 15, 62]);
    let head = [
        &half_bytes(0.5)[..],
        &half_bytes(0.25),
        &pack_scales(&scales, &mins),
    ]
    .concat();
    let expected = |q: &[u8]| -> Vec<f32> {
        let of = |i: usize| {
            let (scale, min) = (f32::from(scales[i / 32]), f32::from(mins[i / 32]));
            0.5 * scale * f32::from(q[i]) - 0.25 * min
        };
        (0..256).map(of).collect()
    };

    let q = numbers(256, 16);
    let block = [&head[..], &pack_pairs(&q)].concat();
    assert_eq!(decode(BlockFormat::Q4K, &block), expected(&q));

    let q = numbers(256, 32);
    let high: Vec<u8> = (0..32)
        .map(|l| (0..8).map(|i| (q[i * 32 + l] / 16) << i).sum())
        .collect();
    let block = [&head[..], &high, &pack_pairs(&q)].concat();
    assert_eq!(decode(BlockFormat::Q5K, &block), expected(&q));
}

#[test]
fn q6_k() {
    let q = numbers(256, 64);
    let scales: Vec<i8> = numbers(16, 256).iter().map(|&s| s as i8).collect();
    let low = q
        .chunks(128)
        .flat_map(|q| (0..64).map(|l| q[l] % 16 + q[l + 64] % 16 * 16));
    let high = q
        .chunks(128)
        .flat_map(|q| (0..32).map(|l| (0..4).map(|g| (q[g * 32 + l] / 16) << (2 * g)).sum::<u8>()));
    let mut block: Vec<u8> = low.chain(high).collect();
    block.extend(scales.iter().map(|&s| s as u8));
    block.extend(half_bytes(0.125));
    let expected: Vec<f32> = (0..256)
        .map(|i| 0.125 * f32::from(scales[i / 16]) * (f32::from(q[i]) - 32.0))
        .collect();
    assert_eq!(decode(BlockFormat::Q6K, &block), expected);
}

#[test]
#[should_panic(expected = "bytes of 64 values in Q4_1")]
fn a_wrong_length_is_a_bug_of_the_caller() {
    dequantize(BlockFormat::Q4_1, &[0; 20], &mut [0.0; 64]);
}
