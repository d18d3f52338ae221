//! Rows of tables and of tensors, and the RMS norm of rows by itself.

use cubecl::prelude::*;

use super::decode::{Storage, quad, scales};
use super::linear::across;

/// Sizes of a launch of [`embed`].
#[derive(Clone, Copy, Debug, CubeType, CubeLaunch)]
pub struct Table {
    /// Ids that are looked up.
    pub count: usize,
    /// Packets of a row of the table.
    pub packets: usize,
    /// Rows of this part of the table.
    pub outputs: usize,
    /// The id of the first of them.
    pub first: usize,
    /// Words from one id to the next.
    pub stride: usize,
    /// The word of the first id.
    pub at: usize,
}

/// Widens rows of a packed table: `ids` to `y`, `[count, packets * quads]`. Ids in other
/// parts of the table are left alone. An invocation takes one packet.
#[cube(launch_unchecked)]
pub fn embed<W: Numeric, S: Float>(
    weights: &[Vector<W, Const<4>>],
    scale: &[S],
    ids: &[u32],
    y: &mut [Vector<f32, Const<4>>],
    table: Table,
    #[comptime] storage: Storage,
) {
    let item = ABSOLUTE_POS;
    if item >= table.count * table.packets {
        terminate!();
    }
    let row = item / table.packets;
    let packet = item % table.packets;
    let id = ids[table.at + row * table.stride] as usize;
    if id < table.first || id >= table.first + table.outputs {
        terminate!();
    }
    let output = id - table.first;
    let packed = weights[packet * table.outputs + output];
    let (factor, min) = scales::<S>(scale, packet, table.outputs, output, storage);
    let quads = comptime!(storage.quads());
    #[unroll]
    for q in 0..quads {
        y[item * quads + q] = quad::<W>(packed, factor, min, q, storage);
    }
}

/// Up to eight numbers of rows below 256, in the launch itself.
#[derive(Clone, Copy, Debug, CubeType, CubeLaunch)]
pub struct Few {
    /// The first four, a byte each.
    pub first: u32,
    /// The others.
    pub others: u32,
}

/// Copies rows: `y` is `[chosen, width]` of `x`, `[rows, width]`. Which they are is in `chosen`
/// or, if they are few, in `few`.
#[cube(launch_unchecked)]
pub fn select_rows(
    x: &[f32],
    chosen: &[u32],
    y: &mut [f32],
    few: Few,
    count: usize,
    width: usize,
    #[comptime] are_few: bool,
) {
    let item = ABSOLUTE_POS;
    if item >= count * width {
        terminate!();
    }
    let which = item / width;
    let row = if comptime!(are_few) {
        let four = select(which < 4, few.first, few.others);
        (four >> (8 * (which as u32 % 4))) & 0xff
    } else {
        chosen[which]
    };
    let row = row as usize;
    y[item] = x[row * width + item % width];
}

/// Sizes of a launch of [`copy_into`].
#[derive(Clone, Copy, Debug, CubeType, CubeLaunch)]
pub struct Place {
    /// Words to copy.
    pub count: usize,
    /// Words of a row of theirs.
    pub width: usize,
    /// Words of a row where they go.
    pub stride: usize,
    /// The first word there.
    pub first: usize,
}

/// Copies rows of words, whatever they hold, to columns of wider rows.
#[cube(launch_unchecked)]
pub fn copy_into(x: &[u32], y: &mut [u32], to: Place) {
    let item = ABSOLUTE_POS;
    if item >= to.count {
        terminate!();
    }
    y[to.first + item / to.width * to.stride + item % to.width] = x[item];
}

/// Makes all of `count` words zero.
#[cube(launch_unchecked)]
pub fn clear(y: &mut [u32], count: usize) {
    let item = ABSOLUTE_POS;
    if item >= count {
        terminate!();
    }
    y[item] = 0;
}

/// RMS norm of `x`, `[rows, quads]`, a workgroup of `units` a row. (CUDA has a `norm` of its
/// own, which kernels share a name space with.)
#[cube(launch_unchecked)]
pub fn norm_rows(
    x: &[Vector<f32, Const<4>>],
    gain: &[Vector<f32, Const<4>>],
    y: &mut [Vector<f32, Const<4>>],
    quads: usize,
    epsilon: f32,
    #[comptime] units: usize,
) {
    let unit = UNIT_POS as usize;
    let start = CUBE_POS * quads;
    let mut squares = Shared::<[f32]>::new_slice(units);
    let mut sum = Vector::<f32, Const<4>>::new(0.0);
    for k in range_stepped(unit, quads, units) {
        let v = x[start + k];
        sum = fma(v, v, sum);
    }
    squares[unit] = across(sum);
    sync_cube();
    let mut total = f32::new(0.0);
    for i in 0..units {
        total += squares[i];
    }
    let mean = total / f32::cast_from(quads * 4);
    let root = f32::new(1.0) / (mean + epsilon).sqrt();
    for k in range_stepped(unit, quads, units) {
        y[start + k] = x[start + k] * Vector::new(root) * gain[k];
    }
}

/// `silu(g) * u` of `both`, `[rows, 2 width]` with `g` before `u`, to `[rows, width]`.
#[cube(launch_unchecked)]
pub fn gate(both: &[f32], y: &mut [f32], rows: usize, width: usize) {
    let item = ABSOLUTE_POS;
    if item >= rows * width {
        terminate!();
    }
    let at = item / width * (2 * width) + item % width;
    let value = both[at];
    y[item] = value / (f32::new(1.0) + (-value).exp()) * both[at + width];
}
