//! Linear layers over panels, for any number of rows.
//!
//! For one output of one row the reduction runs over k in order, in one accumulator, by
//! fused multiply-adds, whatever rows share the pass: the result is row-invariant, and
//! weights are read once for all rows.

use eaglet_core::weights::Dtype;

use super::activation::{self, NormSlice, Quantised};
use super::panel::{BLOCK, Panels, Q4_SCALES, q8_scales};
use super::simd::{Isa, Kernel, LANES, Q4_BLOCK, Q8_BLOCK, Simd, exp};
use super::threads::Threads;
use super::unshared::Unshared;

/// What becomes of a row's dot products.
#[derive(Clone, Copy)]
pub enum Finish<'a> {
    /// `y = Wx + b`
    Store(Option<&'a [f32]>),
    /// `y += Wx + b`
    Add(Option<&'a [f32]>),
    /// `y = silu(g) * u`, the weight stacking gate over up, whole panels of each.
    Gate,
}

/// Runs `x` (`[rows, inputs]`, normed first if asked) through a weight into `y`
/// (`[rows, outputs]`, or half as wide for [`Finish::Gate`]).
pub fn linear(
    x: &[f32],
    norm: Option<NormSlice<'_>>,
    weight: &Panels,
    finish: Finish<'_>,
    y: &mut [f32],
    isa: Isa,
    threads: &Threads,
) {
    let width = weight.inputs;
    let rows = x.len() / width;
    let y_width = match finish {
        Finish::Gate => weight.outputs / 2,
        _ => weight.outputs,
    };
    assert_eq!(x.len(), rows * width, "rows of the weight's width");
    assert_eq!(y.len(), rows * y_width, "results of the weight's width");
    assert!(!matches!(finish, Finish::Gate) || weight.outputs.is_multiple_of(2 * LANES));
    if let Finish::Store(Some(bias)) | Finish::Add(Some(bias)) = finish {
        assert_eq!(bias.len(), weight.outputs, "a bias has a value an output");
    }
    let (quantised, normed);
    let input = match weight.dtype {
        Dtype::Q8 | Dtype::Q4 => {
            quantised = activation::quantise(x, width, norm, isa, threads);
            Input::Blocks(&quantised)
        }
        Dtype::F32 | Dtype::F16 => Input::Floats(match norm {
            Some(norm) => {
                normed = activation::norm(x, width, norm, isa, threads);
                &normed
            }
            None => x,
        }),
    };
    let panels = match finish {
        Finish::Gate => weight.count() / 2,
        _ => weight.count(),
    };
    let y = &Unshared::new(y);
    threads.ranges(panels, |range| {
        isa.run(Tile {
            range,
            rows,
            y_width,
            weight,
            input,
            finish,
            y,
        });
    });
}

/// How many bytes ahead of the sums weights are asked for.
const AHEAD: usize = 4096;

#[derive(Clone, Copy)]
enum Input<'a> {
    Floats(&'a [f32]),
    Blocks(&'a Quantised),
}

/// A range of panels for all rows.
struct Tile<'a> {
    range: std::ops::Range<usize>,
    rows: usize,
    y_width: usize,
    weight: &'a Panels,
    input: Input<'a>,
    finish: Finish<'a>,
    y: &'a Unshared<'a, f32>,
}

impl Kernel for Tile<'_> {
    #[inline(always)]
    unsafe fn run<S: Simd>(self) {
        for panel in self.range.clone() {
            let mut row = 0;
            while row < self.rows {
                // SAFETY: `rows` bounds every row; the range bounds the panel.
                row += unsafe {
                    match self.rows - row {
                        8.. if S::ROWS >= 8 => self.rows_of::<S, 8>(panel, row),
                        7 if S::ROWS >= 8 => self.rows_of::<S, 7>(panel, row),
                        6 if S::ROWS >= 8 => self.rows_of::<S, 6>(panel, row),
                        5 if S::ROWS >= 8 => self.rows_of::<S, 5>(panel, row),
                        4.. => self.rows_of::<S, 4>(panel, row),
                        3 => self.rows_of::<S, 3>(panel, row),
                        2 => self.rows_of::<S, 2>(panel, row),
                        _ => self.rows_of::<S, 1>(panel, row),
                    }
                };
            }
        }
    }
}

impl Tile<'_> {
    /// `R` rows of one panel, to the end. Returns `R`.
    #[inline(always)]
    unsafe fn rows_of<S: Simd, const R: usize>(&self, panel: usize, row: usize) -> usize {
        // SAFETY: the caller keeps panel and rows in bounds; `y` is written at columns
        // of this panel only, which no other range holds.
        unsafe {
            let mut sums = self.dots::<S, R>(panel, row);
            if let Finish::Gate = self.finish {
                let up = self.dots::<S, R>(panel + self.weight.count() / 2, row);
                for r in 0..R {
                    let gate = sums[r];
                    let e = exp::<S>(S::sub(S::splat(0.0), gate));
                    sums[r] = S::mul(S::div(gate, S::add(S::splat(1.0), e)), up[r]);
                }
            }
            let first = panel * LANES;
            let lanes = LANES.min(self.y_width - first);
            for r in 0..R {
                let at = (row + r) * self.y_width + first;
                let y = self.y.slice(at..at + lanes);
                if lanes == LANES {
                    S::store(y.as_mut_ptr(), self.finished::<S>(sums[r], first, y));
                } else {
                    // The last panel of an odd width: the same lanes, through a buffer.
                    let mut buffer = [0.0; LANES];
                    buffer[..lanes].copy_from_slice(y);
                    let done = self.finished::<S>(sums[r], first, &buffer);
                    S::store(buffer.as_mut_ptr(), done);
                    y.copy_from_slice(&buffer[..lanes]);
                }
            }
        }
        R
    }

    /// Adds bias and residual.
    #[inline(always)]
    unsafe fn finished<S: Simd>(&self, sum: S::F, first: usize, y: &[f32]) -> S::F {
        let (bias, residual) = match self.finish {
            Finish::Gate => return sum,
            Finish::Store(bias) => (bias, false),
            Finish::Add(bias) => (bias, true),
        };
        // SAFETY: `y` has sixteen values; a short bias is copied into sixteen.
        unsafe {
            let mut sum = sum;
            if let Some(bias) = bias {
                let mut buffer = [0.0; LANES];
                let lanes = LANES.min(bias.len() - first);
                buffer[..lanes].copy_from_slice(&bias[first..first + lanes]);
                sum = S::add(sum, S::load(buffer.as_ptr()));
            }
            if residual {
                sum = S::add(S::load(y.as_ptr()), sum);
            }
            sum
        }
    }

    /// Dot products of a panel's sixteen outputs with `R` rows.
    #[inline(always)]
    unsafe fn dots<S: Simd, const R: usize>(&self, panel: usize, row: usize) -> [S::F; R] {
        let panel = self.weight.panel(panel);
        // SAFETY: the panel is as long as its layout says, and so are the rows.
        unsafe {
            match (self.input, self.weight.dtype) {
                (Input::Floats(x), Dtype::F32) => self.floats::<S, R, false>(panel, x, row),
                (Input::Floats(x), _) => self.floats::<S, R, true>(panel, x, row),
                (Input::Blocks(x), Dtype::Q8) => self.q8::<S, R>(panel, x, row),
                (Input::Blocks(x), _) => self.q4::<S, R>(panel, x, row),
            }
        }
    }

    #[inline(always)]
    unsafe fn floats<S: Simd, const R: usize, const HALF: bool>(
        &self,
        panel: &[u8],
        x: &[f32],
        row: usize,
    ) -> [S::F; R] {
        let width = self.weight.inputs;
        // SAFETY: rows `row..row + R` of `x` are there.
        unsafe {
            let x = x.as_ptr().add(row * width);
            let mut sums = [S::splat(0.0); R];
            for k in 0..width {
                let line = k * LANES * if HALF { 2 } else { 4 };
                S::prefetch(panel.as_ptr().wrapping_add(line + AHEAD));
                let w = match HALF {
                    true => S::load_finite_f16(panel.as_ptr().cast::<u16>().add(k * LANES)),
                    false => S::load(panel.as_ptr().cast::<f32>().add(k * LANES)),
                };
                for r in 0..R {
                    sums[r] = S::fma(w, S::splat(*x.add(r * width + k)), sums[r]);
                }
            }
            sums
        }
    }

    #[inline(always)]
    unsafe fn q8<S: Simd, const R: usize>(
        &self,
        panel: &[u8],
        x: &Quantised,
        row: usize,
    ) -> [S::F; R] {
        let (width, blocks) = (self.weight.inputs, self.weight.inputs / BLOCK);
        // SAFETY: rows `row..row + R` of `x` and all blocks of the panel are there.
        unsafe {
            let scales = panel.as_ptr().cast::<u16>();
            let quants = panel.as_ptr().add(q8_scales(width));
            let mut sums = [S::splat(0.0); R];
            for b in 0..blocks {
                let mut from = [std::ptr::null(); R];
                let mut block_sums = [0; R];
                for r in 0..R {
                    from[r] = x.quants.as_ptr().add((row + r) * width + b * BLOCK);
                    block_sums[r] = *x.sums.as_ptr().add((row + r) * blocks + b);
                }
                for line in 0..Q8_BLOCK / 64 {
                    S::prefetch(quants.wrapping_add(b * Q8_BLOCK + line * 64 + AHEAD));
                }
                let dots = S::dot_q8::<R>(quants.add(b * Q8_BLOCK), from, block_sums);
                let scale = S::load_finite_f16(scales.add(b * LANES));
                for r in 0..R {
                    let x_scale = S::splat(*x.scales.as_ptr().add((row + r) * blocks + b));
                    sums[r] = S::fma(S::to_float(dots[r]), S::mul(scale, x_scale), sums[r]);
                }
            }
            sums
        }
    }

    #[inline(always)]
    unsafe fn q4<S: Simd, const R: usize>(
        &self,
        panel: &[u8],
        x: &Quantised,
        row: usize,
    ) -> [S::F; R] {
        let (width, blocks) = (self.weight.inputs, self.weight.inputs / BLOCK);
        // SAFETY: rows `row..row + R` of `x` and all blocks of the panel are there.
        unsafe {
            let mut sums = [S::splat(0.0); R];
            for b in 0..blocks {
                let block = panel.as_ptr().add(b * (Q4_SCALES + Q4_BLOCK));
                let mut from = [std::ptr::null(); R];
                for r in 0..R {
                    from[r] = x.quants.as_ptr().add((row + r) * width + b * BLOCK);
                }
                for line in 0..(Q4_SCALES + Q4_BLOCK) / 64 {
                    S::prefetch(block.wrapping_add(line * 64 + AHEAD));
                }
                let dots = S::dot_q4::<R>(block.add(Q4_SCALES), from);
                let scale = S::load_finite_f16(block.cast());
                let min = S::load_finite_f16(block.add(32).cast());
                for r in 0..R {
                    // sum of (d q + m) * s x  =  s (d sum of q x + m sum of x)
                    let at = (row + r) * blocks + b;
                    let x_sum = S::splat(*x.sums.as_ptr().add(at) as f32);
                    let dot = S::fma(S::to_float(dots[r]), scale, S::mul(min, x_sum));
                    sums[r] = S::fma(dot, S::splat(*x.scales.as_ptr().add(at)), sums[r]);
                }
            }
            sums
        }
    }
}
