//! Linear layers on tensor cores, long enough that each warp goes round several times, in every
//! cut: compiled for the host, see `emulator.hpp`.

use std::path::Path;

use burn::tensor::{Tensor, TensorData};
use eaglet_core::ops::{Norm, Ops};
use eaglet_core::weights::{BlockFormat, Dtype, Matrix, TensorView};

use super::cores;
use crate::cpu::CpuOps;
use crate::cube::decode::Storage;
use crate::cube::launch::Layer;
use crate::cube::linear::Finish;
use crate::cube::tensor_cores::Program;
use crate::cube::tensor_cores::linear::{Cut, Variant};
use crate::cube::{CubeOps, Cuda};
use crate::open::{On, spread};

/// Of a weight: more than a workgroup makes. A row alone is split for the second time beyond 2048
/// inputs.
const OUTPUTS: usize = 140;
const DTYPES: [Dtype; 3] = [Dtype::F16, Dtype::Q8, Dtype::Q4];

/// Numbers may end within a block of 32, quantised ones do not.
fn inputs(dtype: Dtype) -> usize {
    match dtype {
        Dtype::F16 => 2324,
        _ => 2368,
    }
}

/// What the test launches.
pub fn programs(clusters: bool) -> Vec<Program> {
    let mut all = Vec::new();
    for (dtype, gate) in kinds() {
        let storage = Storage::of(dtype);
        let variant = |(_, cut)| Variant {
            storage,
            cut,
            norm: true,
            bias: !gate,
            residual: false,
            gate,
        };
        let cuts = Cut::all(storage, gate).into_iter();
        all.extend(cuts.filter(|(_, cut)| cut.suits(clusters)).map(variant));
    }
    all.into_iter().map(Program::Linear).collect()
}

/// Layers that gate, and that do not.
fn kinds() -> impl Iterator<Item = (Dtype, bool)> {
    DTYPES
        .into_iter()
        .flat_map(|dtype| [(dtype, false), (dtype, true)])
}

/// Every cut computes the layer, of numbers of any size, and all the same bits.
pub fn every_cut() {
    let ops = cores();
    for (dtype, gate) in kinds() {
        let known = Known::new(dtype, gate);
        // The last has 31 rows.
        let cuts = Cut::all(Storage::of(dtype), gate);
        let all = known.rows(31);
        for size in [1.0, 1e-7, 3e4] {
            let expected = known.exactly(&all, size);
            let most = expected.iter().fold(0f64, |most, v| most.max(v.abs()));
            let mut together: Vec<f32> = Vec::new();
            for &(rows, cut) in cuts.iter().rev() {
                let found = known.run(&ops, &all[..rows * inputs(dtype)], size, cut);
                let what = format!("{dtype} of {size}, gated: {gate}, {cut:?}");
                for (at, (found, known)) in found.iter().zip(&expected).enumerate() {
                    let off = (f64::from(*found) - known).abs();
                    // What is not a number is no number below it.
                    assert!(off <= 1e-6 * most, "{what}, {at}: {found}, not {known}");
                }
                if together.is_empty() {
                    together = found;
                } else {
                    assert!(found == together[..found.len()], "{what}");
                }
            }
        }
    }
}

/// Compiles every cut; nothing runs.
pub fn compile(ops: &CubeOps<Cuda>) {
    for (dtype, gate) in kinds() {
        let known = Known::new(dtype, gate);
        let cuts = Cut::all(Storage::of(dtype), gate).into_iter();
        for (rows, cut) in cuts.filter(|(_, cut)| cut.suits(ops.limits().clusters)) {
            known.run(ops, &known.rows(rows), 1.0, cut);
        }
    }
}

/// What goes in, and the weight as it is after rounding.
struct Known {
    dtype: Dtype,
    gate: bool,
    values: Vec<f32>,
}

impl Known {
    fn new(dtype: Dtype, gate: bool) -> Self {
        Self {
            dtype,
            gate,
            values: spread(1, OUTPUTS * inputs(dtype)),
        }
    }

    fn matrix<'a>(&self, values: &'a [f32], dtype: Dtype) -> Matrix<'a> {
        let view = TensorView {
            name: "known".into(),
            shape: vec![OUTPUTS, inputs(self.dtype)],
            format: BlockFormat::F32,
            bytes: bytemuck::cast_slice(values).into(),
        };
        Matrix::new(Path::new("test"), view, dtype).unwrap()
    }

    /// Values of some rows, few of which are far larger than the others; a row of zeros.
    fn rows(&self, rows: usize) -> Vec<f32> {
        let mut values = spread(2, rows * inputs(self.dtype));
        values
            .iter_mut()
            .step_by(997)
            .for_each(|value| *value *= 1e3);
        let inputs = inputs(self.dtype);
        values
            .iter_mut()
            .skip(5 * inputs)
            .take(inputs)
            .for_each(|value| *value = 0.0);
        values
    }

    /// The norm does not hide how large rows are: it adds far more than their squares.
    fn norm(&self, ops: &dyn Ops) -> Norm {
        Norm {
            epsilon: 1e16,
            ..On(ops).norm(3, inputs(self.dtype))
        }
    }

    /// What comes out, but for rounding: in f64 throughout.
    fn exactly(&self, x: &[f32], size: f32) -> Vec<f64> {
        let inputs = inputs(self.dtype);
        let weight = self.matrix(&self.values, self.dtype).to_f32();
        let norm = self.norm(&CpuOps::new(1));
        let gains: Vec<f32> = norm.weight.to_data().iter().collect();
        let layer = |row: &[f32]| -> Vec<f64> {
            let row: Vec<f64> = row.iter().map(|value| f64::from(value * size)).collect();
            let squares: f64 = row.iter().map(|value| value * value).sum();
            let root = (squares / inputs as f64 + f64::from(norm.epsilon)).sqrt();
            let scaled = |(value, &gain): (&f64, &f32)| value * f64::from(gain) / root;
            let row: Vec<f64> = row.iter().zip(&gains).map(scaled).collect();
            let product = |weights: &[f32]| -> f64 {
                let each = weights.iter().zip(&row);
                each.map(|(&weight, value)| f64::from(weight) * value).sum()
            };
            weight.chunks(inputs).map(product).collect()
        };
        let rows = x.chunks(inputs).map(layer);
        rows.flat_map(|sums| match self.gate {
            true => {
                let (gates, gated) = sums.split_at(OUTPUTS / 2);
                let silu = |v: f64| v / (1.0 + (-v).exp());
                let each = gates.iter().zip(gated);
                each.map(|(&gate, &up)| silu(gate) * up).collect()
            }
            false => sums,
        })
        .collect()
    }

    fn run(&self, ops: &CubeOps<Cuda>, x: &[f32], size: f32, cut: Cut) -> Vec<f32> {
        let weight = ops.pack(&[self.matrix(&self.values, self.dtype)]).unwrap();
        let bias = Tensor::from_data(
            TensorData::new(vec![0f32; OUTPUTS], [OUTPUTS]),
            ops.device(),
        );
        let norm = self.norm(ops);
        let layer = Layer {
            norm: Some(&norm),
            weight: weight.packed().unwrap(),
            bias: (!self.gate).then_some(&bias),
            residual: None,
            finish: if self.gate {
                Finish::Gate
            } else {
                Finish::Store
            },
        };
        let x: Vec<f32> = x.iter().map(|value| value * size).collect();
        let x = ops.upload_rows(&x, x.len() / inputs(self.dtype)).unwrap();
        let y = ops.run_cut(&x, &layer, cut).unwrap();
        pollster::block_on(ops.read(y)).unwrap()
    }
}
