//! Rows on their way into a linear layer: normed, and for quantised weights turned into
//! 8-bit blocks with a scale each.

use std::ops::Range;

use super::panel::BLOCK;
use super::simd::{Isa, Kernel, LANES, Simd};
use super::threads::Threads;
use super::unshared::Unshared;

/// RMS norm's parameters: a factor a column, and epsilon.
pub type NormSlice<'a> = (&'a [f32], f32);

/// Rows `[rows, width]` in 8 bits: `x = scale * quant` in blocks of 32.
pub struct Quantised {
    /// Values in -127..=127, `[rows, width]`.
    pub quants: Vec<i8>,
    /// Scales, `[rows, width / 32]`.
    pub scales: Vec<f32>,
    /// Sum of each block's quants, `[rows, width / 32]`.
    pub sums: Vec<i32>,
}

/// Rows that are worth sharing among threads: below, forking costs more than it saves.
const PARALLEL: usize = 8;

/// Splits rows among threads where that pays.
fn over_rows(threads: &Threads, rows: usize, job: impl Fn(Range<usize>) + Sync) {
    if rows < PARALLEL {
        job(0..rows);
    } else {
        threads.ranges(rows, job);
    }
}

/// Norms rows of `width` values, or copies them where there is no norm.
pub fn norm(x: &[f32], width: usize, norm: NormSlice<'_>, isa: Isa, threads: &Threads) -> Vec<f32> {
    assert_eq!(norm.0.len(), width, "a norm has a weight a column");
    let rows = x.len() / width;
    let mut y = vec![0.0; x.len()];
    let out = Unshared::new(&mut y);
    over_rows(threads, rows, |range| {
        for row in range {
            // SAFETY: ranges do not overlap, so neither do the rows.
            let y = unsafe { out.slice(row * width..(row + 1) * width) };
            isa.run(NormRow {
                x: &x[row * width..(row + 1) * width],
                norm,
                y,
            });
        }
    });
    y
}

/// Quantises rows of `width` values, normed first where `norm` is given.
pub fn quantise(
    x: &[f32],
    width: usize,
    norm: Option<NormSlice<'_>>,
    isa: Isa,
    threads: &Threads,
) -> Quantised {
    let normed = norm.map(|norm| self::norm(x, width, norm, isa, threads));
    let x = normed.as_deref().unwrap_or(x);
    let (rows, blocks) = (x.len() / width, width / BLOCK);
    let mut out = Quantised {
        quants: vec![0; x.len()],
        scales: vec![0.0; rows * blocks],
        sums: vec![0; rows * blocks],
    };
    let quants = Unshared::new(&mut out.quants);
    let scales = Unshared::new(&mut out.scales);
    let sums = Unshared::new(&mut out.sums);
    over_rows(threads, rows, |range| {
        let values = range.start * width..range.end * width;
        let blocks = range.start * blocks..range.end * blocks;
        // SAFETY: ranges do not overlap, so neither do their rows and blocks.
        isa.run(QuantiseBlocks {
            x: &x[values.clone()],
            quants: unsafe { quants.slice(values) },
            scales: unsafe { scales.slice(blocks.clone()) },
            sums: unsafe { sums.slice(blocks) },
        });
    });
    out
}

struct NormRow<'a> {
    x: &'a [f32],
    norm: NormSlice<'a>,
    y: &'a mut [f32],
}

impl Kernel for NormRow<'_> {
    #[inline(always)]
    unsafe fn run<S: Simd>(self) {
        let (weight, epsilon) = self.norm;
        let width = self.x.len();
        let whole = width - width % LANES;
        // SAFETY: `whole` values are read and written of slices that are as long.
        unsafe {
            let (x, y) = (self.x.as_ptr(), self.y.as_mut_ptr());
            let mut squares = S::splat(0.0);
            for i in (0..whole).step_by(LANES) {
                let x = S::load(x.add(i));
                squares = S::fma(x, x, squares);
            }
            let mut sum = S::sum(squares);
            for x in &self.x[whole..] {
                sum += x * x;
            }
            let scale = 1.0 / (sum / width as f32 + epsilon).sqrt();
            for i in (0..whole).step_by(LANES) {
                let scaled = S::mul(S::load(x.add(i)), S::splat(scale));
                S::store(y.add(i), S::mul(scaled, S::load(weight.as_ptr().add(i))));
            }
            for i in whole..width {
                self.y[i] = self.x[i] * scale * weight[i];
            }
        }
    }
}

struct QuantiseBlocks<'a> {
    x: &'a [f32],
    quants: &'a mut [i8],
    scales: &'a mut [f32],
    sums: &'a mut [i32],
}

impl Kernel for QuantiseBlocks<'_> {
    #[inline(always)]
    unsafe fn run<S: Simd>(self) {
        for (b, scale) in self.scales.iter_mut().enumerate() {
            // SAFETY: `quantise` made the slices of whole blocks.
            unsafe {
                let x = self.x.as_ptr().add(b * BLOCK);
                let (low, high) = (S::load(x), S::load(x.add(LANES)));
                let negated = S::splat(0.0);
                let sizes = S::max(
                    S::max(low, S::sub(negated, low)),
                    S::max(high, S::sub(negated, high)),
                );
                let mut lanes = [0.0; LANES];
                S::store(lanes.as_mut_ptr(), sizes);
                let largest = lanes.iter().fold(0.0, |a: f32, &b| a.max(b));
                // NaN where a value is not finite, else 0: damage must reach the output.
                let damage = S::sum(S::mul(S::add(low, high), S::splat(0.0)));
                *scale = largest / 127.0 + damage;
                let inverse = match 127.0 / largest {
                    inverse if inverse.is_finite() => inverse,
                    _ => 0.0, // Nothing, or too little to be told from it.
                };
                let (low, high) = (
                    S::round(S::mul(low, S::splat(inverse))),
                    S::round(S::mul(high, S::splat(inverse))),
                );
                let quants = self.quants.as_mut_ptr().add(b * BLOCK);
                S::store_i8(quants, low);
                S::store_i8(quants.add(LANES), high);
                // Exact in f32: at most 32 * 127.
                self.sums[b] = S::sum(S::add(low, high)) as i32;
            }
        }
    }
}
