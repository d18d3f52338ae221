//! Linear layers on tensor cores, long enough that each warp goes round several times, in every
//! cut: compiled for the host, see `emulator.hpp`.

use std::path::Path;

use burn::tensor::{Tensor, TensorData};
use eaglet_core::ops::{Linear, Norm, Ops};
use eaglet_core::weights::{BlockFormat, Dtype, Matrix, TensorView};

use super::device;
use crate::cpu::CpuOps;
use crate::cube::decode::Storage;
use crate::cube::launch::Layer;
use crate::cube::linear::Finish;
use crate::cube::tensor_cores::Program;
use crate::cube::tensor_cores::linear::{Cut, Variant};
use crate::cube::{CubeOps, Cuda};
use crate::open::{On, spread};

/// Of a weight; a row alone is split for the second time beyond 2048 inputs.
const OUTPUTS: usize = 40;
const DTYPES: [Dtype; 3] = [Dtype::F16, Dtype::Q8, Dtype::Q4];

/// Numbers may end within a block of 32, quantised ones do not.
fn inputs(dtype: Dtype) -> usize {
    match dtype {
        Dtype::F16 => 2324,
        _ => 2368,
    }
}

/// What the test launches.
pub fn programs() -> Vec<Program> {
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
        all.extend(Cut::all(storage, gate).into_iter().map(variant));
    }
    all.into_iter().map(Program::Linear).collect()
}

/// Layers that gate, and that do not.
fn kinds() -> impl Iterator<Item = (Dtype, bool)> {
    DTYPES
        .into_iter()
        .flat_map(|dtype| [(dtype, false), (dtype, true)])
}

/// Every cut computes what the processor does, of numbers of any size, and all the same bits.
pub fn every_cut() {
    let ops = device().with_tensor_cores();
    for (dtype, gate) in kinds() {
        let known = Known::new(dtype, gate);
        // The last has 31 rows.
        let cuts = Cut::all(Storage::of(dtype), gate);
        let all = known.rows(31);
        for size in [1.0, 1e-7, 3e4] {
            let expected = known.on_host(&all, size);
            let most = expected.iter().fold(0f32, |most, v| most.max(v.abs()));
            let mut together: Vec<f32> = Vec::new();
            for &(rows, cut) in cuts.iter().rev() {
                let found = known.run(&ops, &all[..rows * inputs(dtype)], size, cut);
                let what = format!("{dtype} of {size}, gated: {gate}, {cut:?}");
                for (at, (found, known)) in found.iter().zip(&expected).enumerate() {
                    let off = (found - known).abs();
                    // What is not a number is no number below it.
                    assert!(off <= 3e-6 * most, "{what}, {at}: {found}, not {known}");
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
        for (rows, cut) in Cut::all(Storage::of(dtype), gate) {
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

    fn on_host(&self, x: &[f32], size: f32) -> Vec<f32> {
        let ops = CpuOps::new(1);
        let rounded = self.matrix(&self.values, self.dtype).to_f32();
        let weight = ops.pack(&[self.matrix(&rounded, Dtype::F32)]).unwrap();
        let x: Vec<f32> = x.iter().map(|value| value * size).collect();
        let rows = x.len() / inputs(self.dtype);
        let x = TensorData::new(x, [rows, inputs(self.dtype)]);
        let x = Tensor::from_data(x, ops.device());
        let norm = self.norm(&ops);
        let y = match self.gate {
            true => ops.norm_gate_up(&x, &norm, &weight),
            false => ops.norm_linear(&x, Some(&norm), &Linear::from(weight)),
        };
        y.unwrap().to_data().iter().collect()
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
