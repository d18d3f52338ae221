//! Block formats to `f32`, exactly as ggml defines them.
//!
//! In the 32-value formats, byte `j` of the nibbles holds value `j` in its low half and
//! value `j + 16` in its high half. The K formats hold 256 values in sub-blocks whose
//! scales are themselves quantised.

use half::{bf16, f16};

use super::BlockFormat;

/// Decodes whole blocks; `bytes` holds exactly the encoding of `out.len()` values.
///
/// Broken scales (NaN, infinite) decode to values that are not finite; nothing is
/// checked here.
///
/// # Panics
///
/// If `bytes.len()` is not `format.bytes_for(out.len())`: the readers have checked that.
pub fn dequantize(format: BlockFormat, bytes: &[u8], out: &mut [f32]) {
    assert_eq!(
        Some(bytes.len()),
        format.bytes_for(out.len()),
        "bytes of {} values in {format}",
        out.len()
    );
    match format {
        BlockFormat::F32 => each(bytes, out, |block, [value]| {
            *value = f32::from_le_bytes(*block)
        }),
        BlockFormat::F16 => {
            each(bytes, out, |block, [value]| {
                *value = f16::from_le_bytes(*block).to_f32()
            });
        }
        BlockFormat::BF16 => {
            each(bytes, out, |block, [value]| {
                *value = bf16::from_le_bytes(*block).to_f32()
            });
        }
        BlockFormat::Q4_0 => each(bytes, out, q4_0),
        BlockFormat::Q4_1 => each(bytes, out, q4_1),
        BlockFormat::Q5_0 => each(bytes, out, q5_0),
        BlockFormat::Q5_1 => each(bytes, out, q5_1),
        BlockFormat::Q8_0 => each(bytes, out, q8_0),
        BlockFormat::Q4K => each(bytes, out, q4_k),
        BlockFormat::Q5K => each(bytes, out, q5_k),
        BlockFormat::Q6K => each(bytes, out, q6_k),
    }
}

/// Calls `decode` for every block of `BYTES` bytes and `LEN` values.
fn each<const BYTES: usize, const LEN: usize>(
    bytes: &[u8],
    out: &mut [f32],
    decode: impl Fn(&[u8; BYTES], &mut [f32; LEN]),
) {
    let (blocks, _) = bytes.as_chunks();
    let (values, _) = out.as_chunks_mut();
    for (block, values) in blocks.iter().zip(values) {
        decode(block, values);
    }
}

/// The half-precision number at byte `at`.
fn half(block: &[u8], at: usize) -> f32 {
    f16::from_le_bytes([block[at], block[at + 1]]).to_f32()
}

/// d f16, 16 bytes of nibbles.
fn q4_0(block: &[u8; 18], out: &mut [f32; 32]) {
    let d = half(block, 0);
    for j in 0..16 {
        out[j] = d * f32::from((block[2 + j] & 15) as i8 - 8);
        out[j + 16] = d * f32::from((block[2 + j] >> 4) as i8 - 8);
    }
}

/// d f16, m f16, 16 bytes of nibbles.
fn q4_1(block: &[u8; 20], out: &mut [f32; 32]) {
    let (d, m) = (half(block, 0), half(block, 2));
    for j in 0..16 {
        out[j] = d * f32::from(block[4 + j] & 15) + m;
        out[j + 16] = d * f32::from(block[4 + j] >> 4) + m;
    }
}

/// The two 5-bit numbers of byte `j` of a Q5 block: nibbles from `at + 4`, and their fifth
/// bits at `at`, bit `i` for value `i`.
fn fives(block: &[u8], at: usize, j: usize) -> [u8; 2] {
    let fifth = |i: usize| (block[at + i / 8] >> (i % 8) & 1) << 4;
    let nibbles = block[at + 4 + j];
    [nibbles & 15 | fifth(j), nibbles >> 4 | fifth(j + 16)]
}

/// d f16, 32 fifth bits, 16 bytes of nibbles.
fn q5_0(block: &[u8; 22], out: &mut [f32; 32]) {
    let d = half(block, 0);
    for j in 0..16 {
        let [low, high] = fives(block, 2, j);
        out[j] = d * f32::from(low as i8 - 16);
        out[j + 16] = d * f32::from(high as i8 - 16);
    }
}

/// d f16, m f16, 32 fifth bits, 16 bytes of nibbles.
fn q5_1(block: &[u8; 24], out: &mut [f32; 32]) {
    let (d, m) = (half(block, 0), half(block, 2));
    for j in 0..16 {
        let [low, high] = fives(block, 4, j);
        out[j] = d * f32::from(low) + m;
        out[j + 16] = d * f32::from(high) + m;
    }
}

/// d f16, 32 signed bytes.
fn q8_0(block: &[u8; 34], out: &mut [f32; 32]) {
    let d = half(block, 0);
    for (value, q) in out.iter_mut().zip(&block[2..]) {
        *value = d * f32::from(*q as i8);
    }
}

/// Scale and minimum of sub-block `i` of 8, six bits each, from the 12 bytes that start
/// at byte 4: the first four pairs lie in the low six bits of bytes 0..4 (scales) and
/// 4..8 (minima), whose spare two bits complete the nibbles that bytes 8..12 hold of the
/// last four pairs. Multiplied with `d` (byte 0) and `dmin` (byte 2).
fn sub_block(block: &[u8], i: usize) -> (f32, f32) {
    let packed = &block[4..16];
    let (scale, min) = if i < 4 {
        (packed[i] & 63, packed[i + 4] & 63)
    } else {
        (
            packed[i + 4] & 15 | packed[i - 4] >> 6 << 4,
            packed[i + 4] >> 4 | packed[i] >> 6 << 4,
        )
    };
    (
        half(block, 0) * f32::from(scale),
        half(block, 2) * f32::from(min),
    )
}

/// d f16, dmin f16, 12 bytes of scales and minima, 128 bytes of nibbles: each 32 of them
/// hold two sub-blocks, low halves first.
fn q4_k(block: &[u8; 144], out: &mut [f32; 256]) {
    for (i, values) in out.chunks_exact_mut(32).enumerate() {
        let (d, m) = sub_block(block, i);
        let nibbles = &block[16 + i / 2 * 32..];
        for (value, byte) in values.iter_mut().zip(nibbles) {
            *value = d * f32::from(byte >> (i % 2 * 4) & 15) - m;
        }
    }
}

/// As `q4_k`, with 32 bytes of fifth bits before the nibbles: bit `i` of byte `l` belongs
/// to value `l` of sub-block `i`.
fn q5_k(block: &[u8; 176], out: &mut [f32; 256]) {
    let fifths = &block[16..48];
    for (i, values) in out.chunks_exact_mut(32).enumerate() {
        let (d, m) = sub_block(block, i);
        let nibbles = &block[48 + i / 2 * 32..];
        for ((value, byte), fifth) in values.iter_mut().zip(nibbles).zip(fifths) {
            let q = byte >> (i % 2 * 4) & 15 | (fifth >> i & 1) << 4;
            *value = d * f32::from(q) - m;
        }
    }
}

/// 128 bytes of low nibbles, 64 of high bit pairs, 16 signed scales, d f16.
///
/// Each half of the block (128 values, in four groups of 32) has 64 bytes of nibbles
/// (groups 0 and 1 in the low halves, 2 and 3 in the high ones) and 32 bytes of pairs
/// (group `g` at bit `2 g`). A scale serves 16 values.
fn q6_k(block: &[u8; 210], out: &mut [f32; 256]) {
    let d = half(block, 208);
    for (i, values) in out.chunks_exact_mut(32).enumerate() {
        let (upper, group) = (i / 4, i % 4);
        let nibbles = &block[upper * 64 + group % 2 * 32..];
        let pairs = &block[128 + upper * 32..];
        let scales = &block[192 + i * 2..];
        for (l, value) in values.iter_mut().enumerate() {
            let q = nibbles[l] >> (group / 2 * 4) & 15 | (pairs[l] >> (group * 2) & 3) << 4;
            *value = d * f32::from(scales[l / 16] as i8) * f32::from(q as i8 - 32);
        }
    }
}

#[cfg(test)]
mod tests;
