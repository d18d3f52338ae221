//! Kernels in CUDA C++ that are compiled for the host, and so run: see `emulator.hpp`.

use std::path::Path;
use std::process::Command;

use burn::tensor::Tensor;
use eaglet_core::error::Result;
use eaglet_core::ops::{Linear, Ops, Recorded, Rows, Weight};
use eaglet_core::weights::Dtype;

use super::cores;
use crate::cpu::CpuOps;
use crate::cube::decode::Storage;
use crate::cube::tensor_cores::Program;
use crate::cube::tensor_cores::linear::{Cut, Variant, Work};
use crate::open::On;

const INPUTS: usize = 96;
const OUTPUTS: usize = 44;
/// One row, few, and as many as make a tile of 16, two, and more than one workgroup takes on.
pub const ROWS: [usize; 5] = [1, 5, 9, 17, 33];

/// What is computed in the tests; the compiler sees every variant elsewhere.
const LAYERS: [(&str, Run); 3] = [
    ("with a norm and a bias", |on, weight, x, _| {
        let linear = Linear {
            weight: weight.clone(),
            bias: Some(on.vector(2, OUTPUTS)),
        };
        on.0.norm_linear(x, Some(&on.norm(3, INPUTS)), &linear)
    }),
    ("with a residual", |on, weight, x, residual| {
        on.0.linear_add(x, &weight.clone().into(), residual)
    }),
    ("gated", |on, weight, x, _| {
        on.0.norm_gate_up(x, &on.norm(3, INPUTS), weight)
    }),
];

type Run = fn(&On<'_>, &Weight, &Tensor<2>, Tensor<2>) -> Result<Tensor<2>>;

/// What those layers are made of, for so many rows.
pub fn programs(storages: &[Storage], rows: &[usize]) -> Vec<Program> {
    let mut variants = Vec::new();
    for &storage in storages {
        for &rows in rows {
            let cut = |gate| {
                Cut::new(Work {
                    storage,
                    rows,
                    sums: OUTPUTS,
                    gate,
                    clusters: true,
                })
            };
            let of = |gate| Variant {
                storage,
                cut: cut(gate),
                norm: gate,
                bias: false,
                residual: false,
                gate,
            };
            let (norm, bias, residual) = (true, true, true);
            variants.push(Variant {
                norm,
                bias,
                ..of(false)
            });
            variants.push(Variant {
                residual,
                ..of(false)
            });
            variants.push(of(true));
        }
    }
    variants.into_iter().map(Program::Linear).collect()
}

/// Compiles kernels for the host, two at a time.
pub fn build(folder: &Path, programs: &[Program]) {
    std::thread::scope(|scope| {
        for half in programs.chunks(programs.len().div_ceil(2)) {
            scope.spawn(move || half.iter().for_each(|&program| compile(program, folder)));
        }
    });
}

fn compile(program: Program, folder: &Path) {
    let emulator = concat!(env!("CARGO_MANIFEST_DIR"), "/src/cube/nvrtc/emulator.hpp");
    let entry = program.entry();
    let text = folder.join(format!("{entry}.cpp"));
    std::fs::write(&text, program.source() + "\nEMULATE(KERNEL)\n").unwrap();
    let compiled = Command::new("g++")
        .args(["-std=c++20", "-O1", "-ffp-contract=off", "-shared", "-fPIC"])
        .args(["-w", "-DEMULATED", "-include", emulator])
        .arg(text)
        .arg("-o")
        .arg(folder.join(format!("{entry}.so")))
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&compiled.stderr);
    assert!(compiled.status.success(), "{entry}: {said}");
}

/// Tensor cores compute what the processor does, and the same bits for a row whatever
/// company it has.
pub fn layers() {
    let reference = CpuOps::new(1);
    let host = On(&reference);
    let whole = cores();
    let pieces = cores().in_pieces(1000);
    for dtype in [Dtype::F16, Dtype::Q8, Dtype::Q4] {
        let known = host.exact(dtype).unwrap();
        for (name, run) in LAYERS {
            let of = |on: &On<'_>, weight: &Weight, x: Tensor<2>, residual: Tensor<2>| {
                let y = run(on, weight, &x, residual).unwrap();
                pollster::block_on(on.read(y)).unwrap()
            };
            // Burn would have its own kernels bring rows together, which do not run here.
            let there = |seed: u64, rows: usize, cols: usize| {
                let values: Vec<f32> = host.matrix(seed, rows, cols).to_data().iter().collect();
                whole.upload_rows(&values, rows).unwrap()
            };
            let on_device = |on: &On<'_>, weight: &Weight, rows: usize| {
                of(on, weight, there(4, rows, INPUTS), there(5, rows, OUTPUTS))
            };
            let (x, residual) = (host.matrix(4, 40, INPUTS), host.matrix(5, 40, OUTPUTS));
            let expected = of(&host, &known, x, residual);
            let size = expected.iter().fold(0f32, |most, v| most.max(v.abs()));
            let row = expected.len() / 40;
            let on = On(&whole);
            let weight = on.weight(dtype).unwrap();
            let together = on_device(&on, &weight, 40);
            for (at, (found, known)) in together.iter().zip(&expected).enumerate() {
                let off = (found - known).abs();
                assert!(
                    off <= 3e-6 * size,
                    "{dtype} {name}, {at}: {found}, not {known}"
                );
            }
            for rows in ROWS {
                let found = on_device(&on, &weight, rows);
                assert!(
                    found == together[..rows * row],
                    "{dtype} {name}: {rows} rows"
                );
            }
            // Cut along the outputs; gates are taken apart then.
            let on = On(&pieces);
            let cut = on_device(&on, &on.weight(dtype).unwrap(), 3);
            if name != "gated" {
                assert!(cut == together[..3 * row], "{dtype} {name} in pieces");
            }
        }
    }
}

/// A pass that is repeated as a graph computes with what lies in its buffers by then, and wants
/// no memory while it is captured, which the driver that is played would refuse.
pub fn graphs() {
    let reference = CpuOps::new(1);
    let host = On(&reference);
    let ops = cores();
    let on = On(&ops);
    let (weight, norm) = (on.weight(Dtype::Q4).unwrap(), on.norm(3, INPUTS));
    let linear = Linear {
        weight: weight.clone(),
        bias: Some(on.vector(2, OUTPUTS)),
    };
    let values =
        |seed: u64| -> Vec<f32> { host.matrix(seed, 3, INPUTS).to_data().iter().collect() };
    let x = ops.upload_rows(&values(0), 3).unwrap();
    let buffer = ops.buffer(&x).unwrap().handle;
    let layer = || ops.norm_linear(&x, Some(&norm), &linear);
    let (mut recorded, mut runs) = (Recorded::default(), 0);
    for seed in 1..=20 {
        ops.gpu
            .write(&buffer, bytemuck::cast_slice(&values(seed)))
            .unwrap();
        let known = pollster::block_on(on.read(layer().unwrap())).unwrap();
        let mut rows = Rows::default();
        rows.add_table(&[0]);
        (1..=3).for_each(|slot| rows.push(0, slot, 0, 1, &[slot]));
        let mut pass = |_: &[Tensor<2>], rows: &mut [Rows<'_>]| {
            runs += 1;
            // Beside it, some that do not run here.
            let embedded = ops.embed_rows(&weight, &rows[0])?;
            let gated = ops.norm_gate_up(&embedded, &norm, &weight)?;
            let found = ops.candidates(&ops.select(&gated, &[0])?, 5)?;
            Ok(vec![layer()?, ops.frontier(&found, None)?])
        };
        let found = ops
            .repeat(&mut recorded, &[], &mut [rows], &mut pass)
            .unwrap();
        let found = pollster::block_on(on.read(found[0].clone())).unwrap();
        assert!(found == known, "{seed}");
    }
    assert_eq!(runs, 7 + 2, "it was not recorded");
}
