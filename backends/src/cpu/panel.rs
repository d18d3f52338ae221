//! Weights as the kernels read them: panels of sixteen outputs, so that one lane is one
//! output, scales serve sixteen at once, and a whole matrix is one sequential stream.
//!
//! A panel holds 16 rows of a matrix `[outputs, inputs]`, k being the input:
//! - f32, f16: `[k][16]` values.
//! - q8: `[blocks][16]` f16 scales, padded to 64 bytes; then for each block of 32
//!   `[k / 4][16][4]` bytes, each value plus 128.
//! - q4: for each block of 32 `[16]` f16 scales, `[16]` f16 minima, then `[4][16][4]`
//!   bytes: byte t of lane o in chunk c holds values 4c + t (low) and 16 + 4c + t (high).
//!
//! The last panel is filled up with zeros.

use bytemuck::{Pod, Zeroable};
use eaglet_core::error::{Error, Result};
use eaglet_core::weights::{Dtype, Matrix};
use half::f16;

use super::simd::{LANES, Q4_BLOCK, Q8_BLOCK};
use super::threads::Threads;

/// Values in a quantised block.
pub const BLOCK: usize = 32;
/// Bytes of the scales and minima that precede a 4-bit block.
pub const Q4_SCALES: usize = 64;

/// A cache line: panels start on one.
#[derive(Clone, Copy, Pod, Zeroable)]
#[repr(C, align(64))]
struct Line([u8; 64]);

/// A matrix `[outputs, inputs]` in panels.
pub struct Panels {
    /// Rows of the matrix.
    pub outputs: usize,
    /// Columns of the matrix.
    pub inputs: usize,
    /// The layout of the panels.
    pub dtype: Dtype,
    stride: usize,
    lines: Vec<Line>,
}

/// Bytes of one panel, a multiple of 64.
fn panel_bytes(dtype: Dtype, inputs: usize) -> usize {
    let blocks = inputs / BLOCK;
    match dtype {
        Dtype::F32 => inputs * LANES * 4,
        Dtype::F16 => (inputs * LANES * 2).next_multiple_of(64),
        Dtype::Q8 => q8_scales(inputs) + blocks * Q8_BLOCK,
        Dtype::Q4 => blocks * (Q4_SCALES + Q4_BLOCK),
    }
}

/// Bytes of the scales at the start of an 8-bit panel.
pub fn q8_scales(inputs: usize) -> usize {
    (inputs / BLOCK * LANES * 2).next_multiple_of(64)
}

impl Panels {
    /// Lays out matrices of one dtype and width, stacked along their rows.
    ///
    /// # Errors
    /// There is no memory for them.
    pub fn pack(
        parts: &[Matrix<'_>],
        dtype: Dtype,
        inputs: usize,
        threads: &Threads,
    ) -> Result<Self> {
        let rows: Vec<&[u8]> = parts
            .iter()
            .flat_map(|part| part.bytes.chunks_exact(part.bytes.len() / part.rows.max(1)))
            .collect();
        let stride = panel_bytes(dtype, inputs);
        let count = rows.len().div_ceil(LANES);
        let lines = bytemuck::allocation::try_zeroed_vec::<Line>(count * stride / 64);
        let mut lines = lines.map_err(|()| {
            let rows = rows.len();
            Error::Memory(format!("a weight [{rows}, {inputs}] in {dtype}"))
        })?;
        let panels: Vec<_> = bytemuck::cast_slice_mut::<Line, u8>(&mut lines)
            .chunks_exact_mut(stride)
            .zip(rows.chunks(LANES))
            .map(std::sync::Mutex::new)
            .collect();
        threads.ranges(count, |range| {
            for panel in &panels[range] {
                // Each panel is taken once: the lock only proves it to the compiler.
                if let Ok(mut panel) = panel.lock() {
                    let (to, rows) = &mut *panel;
                    for (lane, row) in rows.iter().enumerate() {
                        pack_row(dtype, inputs, row, lane, to);
                    }
                }
            }
        });
        drop(panels);
        Ok(Self {
            outputs: rows.len(),
            inputs,
            dtype,
            stride,
            lines,
        })
    }

    /// The number of panels.
    pub fn count(&self) -> usize {
        self.outputs.div_ceil(LANES)
    }

    /// All bytes, which a forward pass reads once.
    pub fn bytes(&self) -> usize {
        self.lines.len() * 64
    }

    /// One panel's bytes.
    pub fn panel(&self, index: usize) -> &[u8] {
        &bytemuck::cast_slice(&self.lines)[index * self.stride..(index + 1) * self.stride]
    }

    /// Widens one row of the matrix into `to`, `inputs` values.
    pub fn read_row(&self, row: usize, to: &mut [f32]) {
        let (panel, lane) = (self.panel(row / LANES), row % LANES);
        let half_at = |at: usize| f16::from_le_bytes([panel[at], panel[at + 1]]).to_f32();
        match self.dtype {
            Dtype::F32 => {
                let values: &[f32] = bytemuck::cast_slice(panel);
                let lane = values[lane..].iter().step_by(LANES);
                to.iter_mut().zip(lane).for_each(|(to, &value)| *to = value);
            }
            Dtype::F16 => {
                for (k, to) in to.iter_mut().enumerate() {
                    *to = half_at((k * LANES + lane) * 2);
                }
            }
            Dtype::Q8 => {
                let quants = &panel[q8_scales(self.inputs)..];
                for (b, to) in to.chunks_exact_mut(BLOCK).enumerate() {
                    let scale = half_at((b * LANES + lane) * 2);
                    for (k, to) in to.iter_mut().enumerate() {
                        let at = b * Q8_BLOCK + k / 4 * 64 + lane * 4 + k % 4;
                        *to = scale * (quants[at] as i32 - 128) as f32;
                    }
                }
            }
            Dtype::Q4 => {
                for (b, to) in to.chunks_exact_mut(BLOCK).enumerate() {
                    let at = b * (Q4_SCALES + Q4_BLOCK);
                    let (scale, min) = (half_at(at + lane * 2), half_at(at + 32 + lane * 2));
                    for (k, to) in to.iter_mut().enumerate() {
                        let pair = panel[at + Q4_SCALES + k % 16 / 4 * 64 + lane * 4 + k % 4];
                        let quant = if k < 16 { pair & 15 } else { pair >> 4 };
                        *to = scale * quant as f32 + min;
                    }
                }
            }
        }
    }
}

/// Writes one encoded row into its lane of a panel.
fn pack_row(dtype: Dtype, inputs: usize, row: &[u8], lane: usize, to: &mut [u8]) {
    match dtype {
        Dtype::F32 | Dtype::F16 => {
            let size = if dtype == Dtype::F32 { 4 } else { 2 };
            for (k, value) in row.chunks_exact(size).enumerate() {
                let at = (k * LANES + lane) * size;
                to[at..at + size].copy_from_slice(value);
            }
        }
        Dtype::Q8 => {
            let (scales, quants) = to.split_at_mut(q8_scales(inputs));
            for (b, block) in row.chunks_exact(2 + BLOCK).enumerate() {
                let at = (b * LANES + lane) * 2;
                scales[at..at + 2].copy_from_slice(&block[..2]);
                for (g, four) in block[2..].chunks_exact(4).enumerate() {
                    let at = b * Q8_BLOCK + g * 64 + lane * 4;
                    for (to, &value) in quants[at..at + 4].iter_mut().zip(four) {
                        // -128, which no writer of the format emits, has no counterpart
                        // of the other sign; the kernels need one.
                        *to = ((value as i8).max(-127) as u8) ^ 0x80;
                    }
                }
            }
        }
        Dtype::Q4 => {
            for (b, block) in row.chunks_exact(4 + BLOCK / 2).enumerate() {
                let at = b * (Q4_SCALES + Q4_BLOCK);
                to[at + lane * 2..][..2].copy_from_slice(&block[..2]);
                to[at + 32 + lane * 2..][..2].copy_from_slice(&block[2..4]);
                for (c, four) in block[4..].chunks_exact(4).enumerate() {
                    to[at + Q4_SCALES + c * 64 + lane * 4..][..4].copy_from_slice(four);
                }
            }
        }
    }
}
