//! From matrices to packets; see [`super::decode`] for the layout.

use burn_cubecl::CubeRuntime;
use cubecl::server::Handle;
use eaglet_core::error::{Error, Result};
use eaglet_core::weights::{Dtype, Matrix};
use half::f16;

use super::decode::Storage;
use super::gpu::Gpu;

/// Values in a quantised block.
const BLOCK: usize = 32;

/// Outputs that are packed side by side, so that both rows and packets stay in cache.
const STRIPE: usize = 16;

/// A matrix on a device, cut along its outputs where one buffer cannot hold it.
pub struct Packed {
    /// How packets are read.
    pub storage: Storage,
    /// Whether numbers and scales are f16.
    pub half: bool,
    /// Rows of the matrix.
    pub outputs: usize,
    /// Columns of the matrix.
    pub inputs: usize,
    /// Consecutive rows each.
    pub parts: Vec<Part>,
}

/// Consecutive rows of a matrix.
pub struct Part {
    /// The first of its rows.
    pub first: usize,
    /// How many rows it has.
    pub outputs: usize,
    /// `[packets, outputs]`
    pub packets: Handle,
    /// `[blocks, outputs]`, with minima in q4.
    pub scales: Option<Handle>,
}

impl Packed {
    /// Lays out and uploads matrices of one dtype and width, stacked along their rows.
    ///
    /// # Errors
    /// Rows are not whole packets, or no buffer of the device can hold even one row.
    pub fn new<R: CubeRuntime>(
        gpu: &Gpu<R>,
        parts: &[Matrix<'_>],
        dtype: Dtype,
        inputs: usize,
    ) -> Result<Self> {
        if !inputs.is_multiple_of(4) {
            return Err(Error::Device(format!(
                "a matrix with {inputs} columns: this device takes multiples of 4; \
                 use --device cpu"
            )));
        }
        let rows: Vec<&[u8]> = parts
            .iter()
            .flat_map(|part| part.bytes.chunks_exact(part.bytes.len() / part.rows.max(1)))
            .collect();
        let half = gpu.limits.half && dtype != Dtype::F32;
        let bytes = packet_bytes(dtype, half) * packets(dtype, inputs);
        let most = gpu.limits.piece / bytes.max(1);
        // Tensor cores read outputs in pairs.
        let most = (most - most % 2).max(1);
        let mut packed = Self {
            storage: Storage::of(dtype),
            half,
            outputs: rows.len(),
            inputs,
            parts: Vec::new(),
        };
        for rows in rows.chunks(most) {
            packed.parts.push(Part {
                first: packed.parts.iter().map(|part| part.outputs).sum(),
                outputs: rows.len(),
                packets: gpu.hand_over(pack(rows, dtype, half, inputs))?,
                scales: match Storage::of(dtype) {
                    Storage::Float => None,
                    _ => Some(gpu.hand_over(pack_scales(rows, dtype, half))?),
                },
            });
        }
        Ok(packed)
    }

    /// All that was uploaded.
    pub fn buffers(&self) -> impl Iterator<Item = Handle> {
        let of = |part: &Part| [Some(part.packets.clone()), part.scales.clone()];
        self.parts.iter().flat_map(of).flatten()
    }

    /// All bytes, which a forward pass reads once.
    pub fn bytes(&self) -> usize {
        let part = |part: &Part| {
            part.packets.size() + part.scales.as_ref().map_or(0, |scales| scales.size())
        };
        self.parts.iter().map(part).sum::<u64>() as usize
    }

    /// Bytes of one packet over values in it: what indexes buffers of packets.
    pub fn packets(&self) -> usize {
        self.inputs / 4 / self.storage.quads()
    }
}

/// Packets of a row.
fn packets(dtype: Dtype, inputs: usize) -> usize {
    inputs / 4 / Storage::of(dtype).quads()
}

fn packet_bytes(dtype: Dtype, half: bool) -> usize {
    if dtype == Dtype::F16 && half { 8 } else { 16 }
}

/// The packets of encoded rows, `[packets, rows]`.
fn pack(rows: &[&[u8]], dtype: Dtype, half: bool, inputs: usize) -> Vec<u8> {
    let size = packet_bytes(dtype, half);
    let count = packets(dtype, inputs);
    let mut packed = vec![0; size * count * rows.len()];
    for (stripe, some) in rows.chunks(STRIPE).enumerate() {
        for packet in 0..count {
            for (lane, row) in some.iter().enumerate() {
                let at = (packet * rows.len() + stripe * STRIPE + lane) * size;
                fill(&mut packed[at..at + size], row, packet, dtype, half);
            }
        }
    }
    packed
}

/// Writes one packet of one encoded row.
fn fill(to: &mut [u8], row: &[u8], packet: usize, dtype: Dtype, half: bool) {
    match dtype {
        Dtype::F32 => to.copy_from_slice(&row[packet * 16..][..16]),
        Dtype::F16 if half => to.copy_from_slice(&row[packet * 8..][..8]),
        Dtype::F16 => {
            for (to, value) in to
                .as_chunks_mut::<4>()
                .0
                .iter_mut()
                .zip(row[packet * 8..].as_chunks::<2>().0)
            {
                *to = f16::from_le_bytes(*value).to_f32().to_le_bytes();
            }
        }
        Dtype::Q8 => {
            let quants = &row[packet / 2 * (2 + BLOCK) + 2 + packet % 2 * 16..][..16];
            to.iter_mut().zip(quants).for_each(|(to, q)| *to = q ^ 0x80);
        }
        Dtype::Q4 => to.copy_from_slice(&row[packet * (4 + BLOCK / 2) + 4..][..16]),
    }
}

/// The scales of encoded rows, `[blocks, rows]`, each with its minimum in q4.
fn pack_scales(rows: &[&[u8]], dtype: Dtype, half: bool) -> Vec<u8> {
    let (block, head) = match dtype {
        Dtype::Q4 => (4 + BLOCK / 2, 4),
        _ => (2 + BLOCK, 2),
    };
    let count = rows.first().map_or(0, |row| row.len() / block);
    let mut packed = Vec::with_capacity(count * rows.len() * head * if half { 1 } else { 2 });
    for at in (0..count).map(|index| index * block) {
        for value in rows
            .iter()
            .flat_map(|row| row[at..at + head].as_chunks::<2>().0)
        {
            match half {
                true => packed.extend(value),
                false => packed.extend(f16::from_le_bytes(*value).to_f32().to_le_bytes()),
            }
        }
    }
    packed
}
