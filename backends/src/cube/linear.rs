//! Linear layers: `x W^T`, with what surrounds it in a transformer, in one dispatch.
//!
//! An invocation computes one output for a tile of rows, so weights are read once for the
//! tile. The sum along k is cut into a fixed number of parts, each summed in the order of
//! its packets by four lanes, and put together in a fixed order: a row's result does not
//! depend, to the bit, on the rows beside it, nor on the size of the tile.

use cubecl::prelude::*;

use super::decode::{Storage, quad, scales};

/// What becomes of the sums.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Finish {
    /// They are the result.
    Store,
    /// The first half of the outputs gates the second: `silu(g) * u`.
    Gate,
}

/// What a kernel is compiled for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Plan {
    /// How weights are read.
    pub storage: Storage,
    /// Rows of a tile.
    pub rows: usize,
    /// Outputs that a workgroup computes side by side.
    pub lanes: usize,
    /// Parts of the sum along k.
    pub splits: usize,
    /// Whether `x` goes through an RMS norm first.
    pub norm: bool,
    /// Whether a bias is added.
    pub bias: bool,
    /// Whether a residual is added.
    pub residual: bool,
    /// What becomes of the sums.
    pub finish: Finish,
}

/// Sizes of one launch.
#[derive(Clone, Copy, Debug, CubeType, CubeLaunch)]
pub struct Sizes {
    /// Rows of `x`.
    pub rows: usize,
    /// Columns of `x`, over four.
    pub quads: usize,
    /// Rows of the weight.
    pub outputs: usize,
    /// Where they begin among the columns of the result.
    pub first: usize,
    /// Columns of the result.
    pub width: usize,
    /// Added to the mean square by the norm.
    pub epsilon: f32,
}

/// `x` is `[rows, quads]`, `gain` `[quads]`, `weights` `[packets, outputs]`, `y` and
/// `residual` `[rows, width]`, `bias` `[width]`. A workgroup is `[lanes, splits]`; the grid
/// is `[row tiles, output groups]`. What the plan does without may be any buffer.
#[allow(clippy::too_many_arguments)]
#[cube(launch_unchecked)]
pub fn linear<W: Numeric, S: Float>(
    x: &[Vector<f32, Const<4>>],
    gain: &[Vector<f32, Const<4>>],
    weights: &[Vector<W, Const<4>>],
    scale: &[S],
    bias: &[f32],
    residual: &[f32],
    y: &mut [f32],
    sizes: Sizes,
    #[comptime] plan: Plan,
) {
    let streams = comptime!(if plan.finish == Finish::Gate { 2 } else { 1 });
    let lane = UNIT_POS_X as usize;
    let split = UNIT_POS_Y as usize;
    let first_row = CUBE_POS_X as usize * plan.rows;
    let outputs = sizes.outputs / streams;
    let output = CUBE_POS_Y as usize * plan.lanes + lane;
    // Invocations beyond the end do the last one's work and store nothing: barriers
    // want everyone.
    let column = select(output < outputs, output, outputs - 1);

    let mut starts = Array::<usize>::new(plan.rows);
    #[unroll]
    for r in 0..plan.rows {
        let row = first_row + r;
        starts[r] = select(row < sizes.rows, row, sizes.rows - 1) * sizes.quads;
    }
    let mut inverse = Array::<f32>::new(plan.rows);
    if comptime!(plan.norm) {
        let roots = inverse_roots(x, &starts, sizes.quads, sizes.epsilon, plan);
        #[unroll]
        for r in 0..plan.rows {
            inverse[r] = roots[r];
        }
    }

    let mut sums = Array::<Vector<f32, Const<4>>>::new(comptime!(streams * plan.rows));
    #[unroll]
    for i in 0..comptime!(streams * plan.rows) {
        sums[i] = Vector::new(0.0);
    }
    let quads = comptime!(plan.storage.quads());
    let packets = sizes.quads / quads;
    let mut packed = Array::<Vector<W, Const<4>>>::new(streams);
    let mut scaled = Array::<f32>::new(streams);
    let mut mins = Array::<f32>::new(streams);
    for packet in range_stepped(split, packets, plan.splits) {
        #[unroll]
        for s in 0..streams {
            let at = column + s * outputs;
            packed[s] = weights[packet * sizes.outputs + at];
            let (factor, min) = scales::<S>(scale, packet, sizes.outputs, at, plan.storage);
            scaled[s] = factor;
            mins[s] = min;
        }
        #[unroll]
        for q in 0..quads {
            let k = packet * quads + q;
            #[unroll]
            for s in 0..streams {
                let mut w = quad::<W>(packed[s], scaled[s], mins[s], q, plan.storage);
                if comptime!(plan.norm) {
                    w *= gain[k];
                }
                #[unroll]
                for r in 0..plan.rows {
                    let i = comptime!(s * plan.rows + r);
                    sums[i] = fma(w, x[starts[r] + k], sums[i]);
                }
            }
        }
    }

    let mut totals = Array::<f32>::new(comptime!(streams * plan.rows));
    #[unroll]
    for i in 0..comptime!(streams * plan.rows) {
        totals[i] = across(sums[i]);
    }
    if comptime!(plan.splits > 1) {
        let tile = comptime!(plan.lanes * plan.splits);
        let mut partial = Shared::<[f32]>::new_slice(comptime!(streams * plan.rows * tile));
        #[unroll]
        for i in 0..comptime!(streams * plan.rows) {
            partial[i * tile + split * plan.lanes + lane] = totals[i];
        }
        sync_cube();
        #[unroll]
        for i in 0..comptime!(streams * plan.rows) {
            let mut total = partial[i * tile + lane];
            for s in 1..plan.splits {
                total += partial[i * tile + s * plan.lanes + lane];
            }
            totals[i] = total;
        }
    }
    if output < outputs {
        #[unroll]
        for r in 0..plan.rows {
            // The parts of the sum share the rows.
            if comptime!(r % plan.splits) == split && first_row + r < sizes.rows {
                let at = (first_row + r) * sizes.width + sizes.first + output;
                let mut value = totals[r];
                if comptime!(plan.norm && plan.bias) {
                    // Fused by us: a compiler might do so for tiles of one size only.
                    value = fma(value, inverse[r], bias[sizes.first + output]);
                } else if comptime!(plan.norm) {
                    value *= inverse[r];
                } else if comptime!(plan.bias) {
                    value += bias[sizes.first + output];
                }
                if comptime!(plan.finish == Finish::Gate) {
                    let up = totals[comptime!(plan.rows + r)] * inverse[r];
                    value = value / (f32::new(1.0) + (-value).exp()) * up;
                }
                if comptime!(plan.residual) {
                    value += residual[at];
                }
                y[at] = value;
            }
        }
    }
}

/// The sum of four lanes, in a fixed order.
#[cube]
pub fn across(v: Vector<f32, Const<4>>) -> f32 {
    (v.extract(0usize) + v.extract(1usize)) + (v.extract(2usize) + v.extract(3usize))
}

/// `1 / sqrt(mean(x^2) + epsilon)` of the rows of a tile, computed by all invocations of
/// the workgroup together.
#[cube]
fn inverse_roots(
    x: &[Vector<f32, Const<4>>],
    starts: &Array<usize>,
    quads: usize,
    epsilon: f32,
    #[comptime] plan: Plan,
) -> Shared<[f32]> {
    let units = comptime!(plan.lanes * plan.splits);
    let unit = UNIT_POS as usize;
    let mut squares = Shared::<[f32]>::new_slice(comptime!(plan.rows * units));
    let mut roots = Shared::<[f32]>::new_slice(plan.rows);
    #[unroll]
    for r in 0..plan.rows {
        let mut sum = Vector::<f32, Const<4>>::new(0.0);
        for k in range_stepped(unit, quads, units) {
            let v = x[starts[r] + k];
            sum = fma(v, v, sum);
        }
        squares[r * units + unit] = across(sum);
    }
    sync_cube();
    if unit < plan.rows {
        let mut total = f32::new(0.0);
        for i in 0..units {
            total += squares[unit * units + i];
        }
        let mean = total / f32::cast_from(quads * 4);
        roots[unit] = f32::new(1.0) / (mean + epsilon).sqrt();
    }
    sync_cube();
    roots
}
