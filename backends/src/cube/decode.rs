//! Weights as kernels read them, and how a matrix gets there.
//!
//! A matrix `[outputs, inputs]` lies in *packets* of sixteen bytes (eight in f16), one
//! output beside the next: packet c of output o is at `c * outputs + o`, so that
//! neighbouring invocations read neighbouring bytes. A packet holds
//! - 4 values in f32 and f16,
//! - 16 values in q8, half a block: bytes, each value plus 128,
//! - 32 values in q4, a block as [`Dtype::Q4`] has it: byte j holds value j and j + 16.
//!
//! Scales lie in a buffer of their own, `[blocks, outputs]`; in q4 each is followed by the
//! block's minimum. They are f16, or f32 where the device knows no f16.

use cubecl::prelude::*;
use eaglet_core::weights::Dtype;

/// How packets are read; part of what a kernel is compiled for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Storage {
    /// Numbers, as they are.
    Float,
    /// 8 bits and a scale.
    Q8,
    /// 4 bits, a scale and a minimum.
    Q4,
}

impl Storage {
    /// Of a dtype's weights.
    pub fn of(dtype: Dtype) -> Self {
        match dtype {
            Dtype::F32 | Dtype::F16 => Self::Float,
            Dtype::Q8 => Self::Q8,
            Dtype::Q4 => Self::Q4,
        }
    }

    /// Vectors of four values in a packet.
    pub fn quads(self) -> usize {
        match self {
            Self::Float => 1,
            Self::Q8 => 4,
            Self::Q4 => 8,
        }
    }
}

/// Scale and minimum of the block that a packet belongs to; 1 and 0 where there is none.
#[cube]
pub fn scales<S: Float>(
    scales: &[S],
    packet: usize,
    outputs: usize,
    output: usize,
    #[comptime] storage: Storage,
) -> (f32, f32) {
    match comptime!(storage) {
        Storage::Float => (f32::new(1.0), f32::new(0.0)),
        Storage::Q8 => {
            let scale = f32::cast_from(scales[packet / 2 * outputs + output]);
            (scale, scale * f32::new(-128.0))
        }
        Storage::Q4 => {
            let at = (packet * outputs + output) * 2;
            (f32::cast_from(scales[at]), f32::cast_from(scales[at + 1]))
        }
    }
}

/// The `index`th vector of four values of a packet.
#[cube]
pub fn quad<W: Numeric>(
    packet: Vector<W, Const<4>>,
    scale: f32,
    min: f32,
    #[comptime] index: usize,
    #[comptime] storage: Storage,
) -> Vector<f32, Const<4>> {
    match comptime!(storage) {
        Storage::Float => Vector::<f32, Const<4>>::cast_from(packet),
        Storage::Q8 => {
            let word = u32::cast_from(packet.extract(index));
            unpack(word, 0xffu32, 0u32, scale, min)
        }
        Storage::Q4 => {
            let word = u32::cast_from(packet.extract(comptime!(index % 4)));
            unpack(word, 0xfu32, comptime!(index as u32 / 4 * 4), scale, min)
        }
    }
}

/// `scale * q + min` of the four bytes of a word, shifted and masked.
#[cube]
fn unpack(
    word: u32,
    #[comptime] mask: u32,
    #[comptime] shift: u32,
    scale: f32,
    min: f32,
) -> Vector<f32, Const<4>> {
    let mut values = Vector::<f32, Const<4>>::new(0.0);
    #[unroll]
    for i in 0..4usize {
        let quant = (word >> comptime!(shift + 8 * i as u32)) & mask;
        values.insert(i, fma(f32::cast_from(quant), scale, min));
    }
    values
}
