//! Every fused operation of every instruction set against its reference body, and
//! against itself with other rows and other slots in the call.

#![allow(missing_docs, clippy::unwrap_used)]

use std::path::Path;

use burn::tensor::{DType, Tensor, TensorData};
use eaglet_backends::cpu::{CpuOps, simd::Isa};
use eaglet_core::ops::{Heads, KvLayer, Linear, Norm, Ops, Reference, Rotary, Rows, Weight};
use eaglet_core::weights::{BlockFormat, Dtype, Matrix, TensorView};
use eaglet_tests::levels;
use eaglet_tests::numbers::{relative_error, spread};

const WIDTHS: [(usize, usize); 4] = [(64, 32), (192, 96), (100, 64), (17, 32)];

fn devices() -> Vec<CpuOps> {
    let sets = Isa::available();
    sets.iter()
        .flat_map(|&isa| [1, 3].map(|threads| CpuOps::with_isa(threads, isa)))
        .collect()
}

fn values<const D: usize>(tensor: Tensor<D>) -> Vec<f32> {
    tensor.into_data().try_into_vec().unwrap()
}

fn matrix(seed: u64, rows: usize, cols: usize, dtype: Dtype) -> Matrix<'static> {
    let bytes = spread(seed, rows * cols)
        .iter()
        .flat_map(|v| v.to_le_bytes())
        .collect::<Vec<_>>();
    let view = TensorView {
        name: "w".into(),
        shape: vec![rows, cols],
        format: BlockFormat::F32,
        bytes: bytes.into(),
    };
    Matrix::new(Path::new("test"), view, dtype).unwrap()
}

fn rows_of(ops: &dyn Ops, seed: u64, rows: usize, cols: usize) -> Tensor<2> {
    let data = TensorData::new(spread(seed, rows * cols), [rows, cols]);
    Tensor::from_data(data, ops.device())
}

fn vector(ops: &dyn Ops, seed: u64, len: usize) -> Tensor<1> {
    Tensor::from_data(TensorData::new(spread(seed, len), [len]), ops.device())
}

/// What 8-bit activations cost: rounding to 1/254 of a block's largest value. Floats
/// only differ by the order of their sums.
fn tolerance(dtype: Dtype) -> f32 {
    match dtype {
        Dtype::F32 | Dtype::F16 => 1e-5,
        Dtype::Q8 | Dtype::Q4 => 1e-2,
    }
}

/// The weight, norm and bias of a layer on a device.
fn layer(ops: &dyn Ops, out: usize, cols: usize, dtype: Dtype) -> (Linear, Norm) {
    let weight = ops.pack(&[matrix(1, out, cols, dtype)]).unwrap();
    let linear = Linear {
        weight,
        bias: Some(vector(ops, 2, out)),
    };
    let norm = Norm {
        weight: vector(ops, 3, cols),
        epsilon: 1e-5,
    };
    (linear, norm)
}

#[test]
fn linear_layers_match_the_reference() {
    for ops in devices() {
        let reference = Reference(ops.device().clone());
        for dtype in Dtype::ALL {
            for (out, cols) in WIDTHS {
                for rows in [1, 2, 3, 7, 16, 33] {
                    let x = rows_of(&ops, 4, rows, cols);
                    let residual = rows_of(&ops, 5, rows, out);
                    let run = |ops: &dyn Ops| {
                        let (linear, norm) = layer(ops, out, cols, dtype);
                        [
                            values(ops.norm_linear(&x, None, &linear).unwrap()),
                            values(ops.norm_linear(&x, Some(&norm), &linear).unwrap()),
                            values(ops.linear_add(&x, &linear, residual.clone()).unwrap()),
                        ]
                    };
                    for (found, expected) in run(&ops).iter().zip(&run(&reference)) {
                        let error = relative_error(found, expected);
                        let isa = ops.isa();
                        assert!(
                            error < tolerance(dtype),
                            "{isa} {dtype} {out}x{cols}, {rows} rows: {error}"
                        );
                    }
                }
            }
        }
    }
}

#[test]
fn gate_and_up_match_the_reference() {
    for ops in devices() {
        let reference = Reference(ops.device().clone());
        for dtype in Dtype::ALL {
            // 24 is no whole number of panels: the unfused way.
            for inner in [32, 24] {
                let x = rows_of(&ops, 4, 5, 64);
                let run = |ops: &dyn Ops| {
                    let parts = [matrix(6, inner, 64, dtype), matrix(7, inner, 64, dtype)];
                    let weight = ops.pack(&parts).unwrap();
                    let (_, norm) = layer(ops, 1, 64, dtype);
                    values(ops.norm_gate_up(&x, &norm, &weight).unwrap())
                };
                let error = relative_error(&run(&ops), &run(&reference));
                assert!(
                    error < tolerance(dtype),
                    "{} {dtype} {inner}: {error}",
                    ops.isa()
                );
            }
        }
    }
}

#[test]
fn embeddings_match_the_reference() {
    for ops in devices() {
        let reference = Reference(ops.device().clone());
        for dtype in Dtype::ALL {
            let run = |ops: &dyn Ops| {
                let table = ops.pack(&[matrix(8, 50, 64, dtype)]).unwrap();
                values(ops.embed(&table, &[49, 0, 16, 15, 0]).unwrap())
            };
            assert_eq!(run(&ops), run(&reference), "{} {dtype}", ops.isa());
        }
    }
}

#[test]
fn norms_and_joined_rows_match_the_reference() {
    for ops in devices() {
        let reference = Reference(ops.device().clone());
        for width in [64, 30] {
            let run = |ops: &dyn Ops| {
                let (_, norm) = layer(ops, 1, width, Dtype::F32);
                let x =
                    [(31, 3), (32, 3), (33, 3)].map(|(seed, rows)| rows_of(ops, seed, rows, width));
                let beside = ops.concat(&x, 1).unwrap();
                let below = ops
                    .concat(&[beside.clone(), ops.concat(&x, 1).unwrap()], 0)
                    .unwrap();
                assert_eq!(below.dims(), [6, 3 * width]);
                let normed = ops.norm(&ops.concat(&x, 0).unwrap(), &norm).unwrap();
                [values(below), values(normed)].concat()
            };
            let error = relative_error(&run(&ops), &run(&reference));
            assert!(
                error < tolerance(Dtype::F32),
                "{} {width}: {error}",
                ops.isa()
            );
        }
    }
}

#[test]
fn a_row_has_the_same_bits_alone_and_among_others_and_on_every_instruction_set() {
    for dtype in Dtype::ALL {
        let mut first: Option<Vec<f32>> = None;
        for ops in devices() {
            let (linear, norm) = layer(&ops, 100, 96, dtype);
            let all = rows_of(&ops, 9, 64, 96);
            let together = values(ops.norm_linear(&all, Some(&norm), &linear).unwrap());
            let mut start = 0;
            for count in [1, 2, 3, 4, 5, 6, 7, 8, 11, 17] {
                let part = all.clone().narrow(0, start, count);
                let part = values(ops.norm_linear(&part, Some(&norm), &linear).unwrap());
                assert_eq!(
                    part,
                    together[start * 100..(start + count) * 100],
                    "{dtype} {count}"
                );
                start += count;
            }
            let first = first.get_or_insert(together.clone());
            assert_eq!(*first, together, "{} {dtype}", ops.isa());
        }
    }
}

/// Whole vectors of sixteen; vectors and a rest, as OpenLLaMA-3B has; less than one.
const HEADS: [Heads; 3] = [
    Heads {
        query: 6,
        kv: 2,
        dim: 32,
    },
    Heads {
        query: 4,
        kv: 2,
        dim: 100,
    },
    Heads {
        query: 2,
        kv: 1,
        dim: 10,
    },
];

fn rotary(ops: &dyn Ops, heads: Heads) -> Rotary {
    let table = |seed| rows_of(ops, seed, 40, heads.dim / 2);
    Rotary {
        cos: table(20),
        sin: table(21),
    }
}

fn cache(ops: &dyn Ops, heads: Heads, slots: usize, dtype: DType) -> KvLayer {
    let zeros = || Tensor::zeros([slots, heads.kv, heads.dim], (ops.device(), dtype));
    KvLayer {
        keys: zeros(),
        values: zeros(),
    }
}

/// Runs a prompt of `slots.len()` tokens through attention, each in the slot given.
fn attend(ops: &dyn Ops, heads: Heads, slots: &[u32], dtype: DType) -> (Vec<f32>, KvLayer) {
    let width = (heads.query + 2 * heads.kv) * heads.dim;
    let qkv = rows_of(ops, 22, slots.len(), width);
    let mut rows = Rows::default();
    let table = rows.add_table(slots);
    for (i, &slot) in slots.iter().enumerate() {
        rows.push(0, slot, table, i as u32 + 1, &[]);
    }
    let mut layer = cache(ops, heads, 64, dtype);
    let queries = ops
        .rotate_and_cache(qkv, heads, &rotary(ops, heads), None, &mut layer, &rows)
        .unwrap();
    (
        values(ops.path_attention(&queries, heads, &layer, &rows).unwrap()),
        layer,
    )
}

#[test]
fn attention_matches_the_reference() {
    let slots: Vec<u32> = (0..37).map(|i| (i * 7) % 64).collect();
    for ops in devices() {
        let reference = Reference(ops.device().clone());
        for (heads, dtype) in HEADS
            .into_iter()
            .flat_map(|h| [(h, DType::F32), (h, DType::F16)])
        {
            let (found, cache) = attend(&ops, heads, &slots, dtype);
            let (expected, reference_cache) = attend(&reference, heads, &slots, dtype);
            assert!(
                relative_error(&found, &expected) < 2e-5,
                "{} {heads:?} {dtype:?}",
                ops.isa()
            );
            let keys = |layer: KvLayer| values(layer.keys.cast(DType::F32));
            assert!(relative_error(&keys(cache), &keys(reference_cache)) < 1e-3);
        }
    }
}

#[test]
fn attention_has_the_same_bits_in_a_tree_in_other_slots_and_on_every_instruction_set() {
    for (heads, dtype) in HEADS
        .into_iter()
        .flat_map(|h| [(h, DType::F32), (h, DType::F16)])
    {
        let mut first: Option<Vec<f32>> = None;
        for ops in devices() {
            let (plain, _) = attend(&ops, heads, &(0..37).collect::<Vec<_>>(), dtype);
            let scattered: Vec<u32> = (0..37).map(|i| 63 - (i * 5) % 64).collect();
            assert_eq!(attend(&ops, heads, &scattered, dtype).0, plain);

            // The last five rows again, as a path beyond 32 committed positions, in new
            // slots, and all five in one call with a rejected sibling between.
            let (_, mut layer) = attend(&ops, heads, &scattered, dtype);
            let width = (heads.query + 2 * heads.kv) * heads.dim;
            let qkv = rows_of(&ops, 22, 37, width);
            let free: Vec<u32> = (0..64).filter(|slot| !scattered.contains(slot)).collect();
            let committed = &scattered[..32];
            let mut rows = Rows::default();
            let table = rows.add_table(committed);
            let picked = [32, 33, 3, 34, 35, 36];
            for (i, &from) in picked.iter().enumerate() {
                let mut path: Vec<u32> = (0..=i).filter(|&j| j != 2).map(|j| free[j]).collect();
                if from == 3 {
                    path = vec![free[0], free[2]];
                }
                rows.push(0, free[i], table, 32, &path);
            }
            let parts = picked
                .iter()
                .map(|&i| qkv.clone().narrow(0, i, 1))
                .collect();
            let queries = ops
                .rotate_and_cache(
                    Tensor::cat(parts, 0),
                    heads,
                    &rotary(&ops, heads),
                    None,
                    &mut layer,
                    &rows,
                )
                .unwrap();
            let mixed = values(ops.path_attention(&queries, heads, &layer, &rows).unwrap());
            let row = |values: &[f32], i: usize| {
                values[i * heads.query * heads.dim..(i + 1) * heads.query * heads.dim].to_vec()
            };
            for (i, &from) in picked.iter().enumerate().filter(|(_, from)| **from != 3) {
                assert_eq!(row(&mixed, i), row(&plain, from), "row {from}");
            }
            let first = first.get_or_insert(plain.clone());
            assert_eq!(*first, plain, "{}", ops.isa());
        }
    }
}

#[test]
fn top_k_matches_the_reference_and_has_the_same_bits_alone_and_among_others() {
    for width in [1, 15, 130, 4096, 4097, 9000] {
        let mut first: Option<Vec<Vec<(u32, f32)>>> = None;
        // Two values after the point: many are equal, also across chunks.
        let values = spread(11, 5 * width).into_iter();
        let mut values: Vec<f32> = values.map(|v| (v * 900.0).round() / 100.0).collect();
        values[width / 2] = f32::NEG_INFINITY;
        for ops in devices() {
            let reference = Reference(ops.device().clone());
            let all = TensorData::new(values.clone(), [5, width]);
            let all = Tensor::<2>::from_data(all, ops.device());
            for k in [0, 1, 7, 200] {
                let found = pollster::block_on(ops.top_k(&all, k)).unwrap();
                let expected = pollster::block_on(reference.top_k(&all, k)).unwrap();
                for (row, (found, expected)) in found.iter().zip(&expected).enumerate() {
                    let what = format!("{} {width} {k}", ops.isa());
                    let ids = |v: &[(u32, f32)]| v.iter().map(|v| v.0).collect::<Vec<_>>();
                    assert_eq!(ids(found), ids(expected), "{what}");
                    for (a, b) in found.iter().zip(expected) {
                        assert!((a.1 - b.1).abs() < 1e-5, "{what}: {a:?} {b:?}");
                    }
                    let alone = all.clone().narrow(0, row, 1);
                    let alone = pollster::block_on(ops.top_k(&alone, k)).unwrap();
                    assert_eq!(alone[0], *found, "{what}");
                }
                if k == 7 {
                    assert_eq!(*first.get_or_insert(found.clone()), found, "{}", ops.isa());
                }
            }
        }
    }
}

#[test]
fn levels_of_a_tree_stay_on_the_device() {
    for ops in devices() {
        let reference = Reference(ops.device().clone());
        let name = ops.isa().to_string();
        for (ops, name) in [(&ops as &dyn Ops, &*name), (&reference, "reference")] {
            levels::grow_on_the_device(ops, name);
            levels::take_the_places_they_are_told(ops, name);
            levels::rank_what_grew(ops, name);
            levels::draw_after_nodes(ops, name);
        }
    }
}

#[test]
fn top_k_of_what_is_not_a_number_has_no_probabilities() {
    for ops in devices() {
        let of = |values: Vec<f32>| {
            let width = values.len();
            let all = Tensor::<2>::from_data(TensorData::new(values, [1, width]), ops.device());
            pollster::block_on(ops.top_k(&all, 2)).unwrap().remove(0)
        };
        let mut values = vec![0.5; 5000];
        values[4999] = f32::NAN;
        values[3] = 2.0;
        let found = of(values);
        assert_eq!((found[0].0, found[1].0), (3, 0));
        assert!(found.iter().all(|(_, chance)| chance.is_nan()));
        // A chunk of nothing but minus infinity adds nothing.
        let mut values = vec![f32::NEG_INFINITY; 5000];
        values[4999] = 3.0;
        assert_eq!(of(values), [(4999, 0.0)]);
        assert!(of(vec![f32::NEG_INFINITY; 20]).is_empty());
    }
}

#[test]
fn a_weight_of_another_device_is_an_error() {
    let ops = CpuOps::new(1);
    let reference = Reference(ops.device().clone());
    let weight: Weight = reference.pack(&[matrix(1, 16, 32, Dtype::F32)]).unwrap();
    let x = rows_of(&ops, 4, 1, 32);
    assert!(ops.norm_linear(&x, None, &weight.into()).is_err());
}
