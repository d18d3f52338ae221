//! Rows of `f32` to the layouts of [`Dtype`].

use half::f16;

use super::Dtype;
use crate::error::{Error, Result as Checked};

/// Values in a block of q8 or q4.
const BLOCK: usize = 32;

/// The column of a value that is too large for the target's half-precision numbers.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct OutOfRange(pub usize);

/// Appends one row of finite values to `out`; for q8 and q4, a row of whole blocks.
pub(super) fn encode(dtype: Dtype, row: &[f32], out: &mut Vec<u8>) -> Result<(), OutOfRange> {
    match dtype {
        Dtype::F32 => row.iter().for_each(|value| out.extend(value.to_le_bytes())),
        Dtype::F16 => {
            for (column, &value) in row.iter().enumerate() {
                out.extend(half(value).ok_or(OutOfRange(column))?.to_le_bytes());
            }
        }
        Dtype::Q8 => blocks(row, |values| q8(values, out))?,
        Dtype::Q4 => blocks(row, |values| q4(values, out))?,
    }
    Ok(())
}

/// A whole tensor, row-major and outermost dimension first, in the layout of `dtype`.
///
/// [`Error::Invalid`] with the tensor's name where the values do not fill the shape, are
/// not finite, or are none that `dtype` can hold.
pub(super) fn encode_tensor(
    name: &str,
    shape: &[usize],
    dtype: Dtype,
    values: &[f32],
) -> Checked<Vec<u8>> {
    let invalid = |rule: String| Err(Error::Invalid(format!("tensor `{name}`: {rule}")));
    let width = shape.last().copied().unwrap_or(0);
    if width == 0 || shape.iter().product::<usize>() != values.len() {
        return invalid(format!("{} values do not fill {shape:?}", values.len()));
    }
    if dtype.layout().bytes_for(width).is_none() {
        return invalid(format!("rows of {width} are not whole blocks of {dtype}"));
    }
    if let Some(value) = values.iter().find(|value| !value.is_finite()) {
        return invalid(format!("{value} among its values"));
    }
    let mut bytes = Vec::new();
    for row in values.chunks_exact(width) {
        if encode(dtype, row, &mut bytes).is_err() {
            return invalid(format!("a value beyond the range of {dtype}"));
        }
    }
    Ok(bytes)
}

/// Q4_0 to q4 without loss, one row: the numbers stay, and the offset of -8 steps, exact in
/// half precision, becomes the minimum.
pub(super) fn q4_from_q4_0(row: &[u8], out: &mut Vec<u8>) -> Result<(), OutOfRange> {
    let (blocks, _) = row.as_chunks::<18>();
    for (i, block) in blocks.iter().enumerate() {
        let [d0, d1, numbers @ ..] = block;
        let d = f16::from_le_bytes([*d0, *d1]);
        let m = half(-8.0 * d.to_f32()).ok_or(OutOfRange(i * BLOCK))?;
        out.extend(d.to_le_bytes());
        out.extend(m.to_le_bytes());
        out.extend(numbers);
    }
    Ok(())
}

/// Encodes block by block. A refused block is reported by its largest value.
fn blocks(
    row: &[f32],
    mut encode: impl FnMut(&[f32; BLOCK]) -> Option<()>,
) -> Result<(), OutOfRange> {
    let (blocks, _) = row.as_chunks();
    for (i, values) in blocks.iter().enumerate() {
        let largest = || (0..BLOCK).max_by(|&a, &b| values[a].abs().total_cmp(&values[b].abs()));
        encode(values).ok_or_else(|| OutOfRange(i * BLOCK + largest().unwrap_or(0)))?;
    }
    Ok(())
}

/// The nearest half-precision number, or `None` beyond ±65504.
fn half(value: f32) -> Option<f16> {
    let half = f16::from_f32(value);
    half.is_finite().then_some(half)
}

/// The nearest whole number of steps. Steps are as stored, after rounding to half
/// precision; a step that vanished there makes every number 0.
fn steps(distance: f32, step: f16) -> f32 {
    let step = step.to_f32();
    if step == 0.0 {
        0.0
    } else {
        (distance / step).round_ties_even()
    }
}

/// One block: d, and each value in steps of d, symmetric around zero.
fn q8(values: &[f32; BLOCK], out: &mut Vec<u8>) -> Option<()> {
    let largest = values
        .iter()
        .fold(0f32, |most, value| most.max(value.abs()));
    let d = half(largest / 127.0)?;
    out.extend(d.to_le_bytes());
    out.extend(values.map(|value| steps(value, d).clamp(-127.0, 127.0) as i8 as u8));
    Some(())
}

/// One block: d, m, and each value in steps of d above m.
fn q4(values: &[f32; BLOCK], out: &mut Vec<u8>) -> Option<()> {
    let least = values.iter().copied().fold(f32::INFINITY, f32::min);
    let most = values.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let (d, m) = (half((most - least) / 15.0)?, half(least)?);
    out.extend(d.to_le_bytes());
    out.extend(m.to_le_bytes());
    let q = values.map(|value| steps(value - m.to_f32(), d).clamp(0.0, 15.0) as u8);
    let (low, high) = q.split_at(BLOCK / 2);
    out.extend(low.iter().zip(high).map(|(low, high)| low | high << 4));
    Some(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::weights::{BlockFormat, dequantize};

    fn encoded(dtype: Dtype, row: &[f32]) -> Vec<u8> {
        let mut out = Vec::new();
        encode(dtype, row, &mut out).unwrap();
        out
    }

    #[test]
    fn numbers_that_fit_the_grid_come_back_exactly() {
        let row: Vec<f32> = (0..32).map(|i| (i % 16) as f32 * 0.5 - 3.0).collect();
        let mut back = [0.0; 32];
        dequantize(BlockFormat::Q4_1, &encoded(Dtype::Q4, &row), &mut back);
        assert_eq!(back, row[..]);

        let row: Vec<f32> = (0..32).map(|i| (i * 8 - 127) as f32 * 0.25).collect();
        dequantize(BlockFormat::Q8_0, &encoded(Dtype::Q8, &row), &mut back);
        assert_eq!(back, row[..]);
    }

    #[test]
    fn errors_stay_within_half_a_step() {
        let row: Vec<f32> = (0..64).map(|i| (i as f32 * 0.7).sin() * 0.02).collect();
        let mut back = [0.0; 64];
        for (dtype, step) in [(Dtype::Q8, 0.02 / 127.0), (Dtype::Q4, 0.04 / 15.0)] {
            dequantize(dtype.layout(), &encoded(dtype, &row), &mut back);
            for (value, back) in row.iter().zip(back) {
                // A little more than half, for the rounding of d and m themselves.
                assert!(
                    (value - back).abs() < step * 0.52,
                    "{dtype}: {value} became {back}"
                );
            }
        }
    }

    #[test]
    fn constant_and_vanishing_blocks_have_no_step() {
        let mut back = [f32::NAN; 32];
        for (value, expected) in [(0.0, 0.0), (0.75, 0.75), (1e-30, 0.0)] {
            dequantize(
                BlockFormat::Q4_1,
                &encoded(Dtype::Q4, &[value; 32]),
                &mut back,
            );
            assert_eq!(back, [expected; 32]);
        }
        dequantize(
            BlockFormat::Q8_0,
            &encoded(Dtype::Q8, &[1e-30; 32]),
            &mut back,
        );
        assert_eq!(back, [0.0; 32]);
    }

    #[test]
    fn too_large_for_half_precision() {
        let mut row = [1.0; 64];
        row[37] = -1e30;
        for dtype in [Dtype::F16, Dtype::Q8, Dtype::Q4] {
            assert_eq!(
                encode(dtype, &row, &mut Vec::new()),
                Err(OutOfRange(37)),
                "{dtype}"
            );
        }
        row[37] = f32::MAX;
        row[38] = -f32::MAX;
        assert!(
            encode(Dtype::Q4, &row, &mut Vec::new()).is_err(),
            "the span overflows"
        );
        assert!(encode(Dtype::F32, &row, &mut Vec::new()).is_ok());
    }

    #[test]
    fn q4_0_is_exact_in_q4() {
        let d = f16::from_f32(0.0137);
        let row = [&d.to_le_bytes()[..], &[0x80, 0x1F, 0xE3, 0x77].repeat(4)].concat();
        let mut out = Vec::new();
        q4_from_q4_0(&row, &mut out).unwrap();
        let (mut before, mut after) = ([0.0; 32], [1.0; 32]);
        dequantize(BlockFormat::Q4_0, &row, &mut before);
        dequantize(BlockFormat::Q4_1, &out, &mut after);
        assert_eq!(before, after);
    }
}
