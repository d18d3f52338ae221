//! Each operation beside its reference body on the CPU, and rows alone and in company.

use std::path::Path;
use std::sync::Arc;

use burn::tensor::{DType, Device, Tensor, TensorData};
use eaglet_core::ops::{
    HeadNorms, Heads, KvLayer, Linear, Norm, Ops, Reference, Rotary, Rows, Weight,
};
use eaglet_core::weights::{BlockFormat, Dtype, Matrix, TensorView};
use eaglet_tests::devices::gpus;
use eaglet_tests::levels;
use eaglet_tests::numbers::{relative_error, spread};

/// Order of sums, and the divisions and exponentials of GPUs.
const TOLERANCE: f32 = 2e-5;

fn reference() -> Reference {
    Reference(Device::flex())
}

fn matrix(ops: &dyn Ops, seed: u64, rows: usize, cols: usize) -> Tensor<2> {
    let data = TensorData::new(spread(seed, rows * cols), [rows, cols]);
    Tensor::from_data(data, ops.device())
}

fn vector(ops: &dyn Ops, seed: u64, len: usize) -> Tensor<1> {
    Tensor::from_data(TensorData::new(spread(seed, len), [len]), ops.device())
}

fn norm(ops: &dyn Ops, seed: u64, len: usize) -> Norm {
    Norm {
        weight: vector(ops, seed, len),
        epsilon: 1e-5,
    }
}

fn weight(ops: &dyn Ops, seed: u64, rows: usize, cols: usize, dtype: Dtype) -> Weight {
    let part = |seed, rows| {
        let values: Vec<u8> = spread(seed, rows * cols)
            .iter()
            .flat_map(|v| v.to_le_bytes())
            .collect();
        let view = TensorView {
            name: "w".into(),
            shape: vec![rows, cols],
            format: BlockFormat::F32,
            bytes: values.into(),
        };
        Matrix::new(Path::new("test"), view, dtype).unwrap()
    };
    // Two parts, of which one is a single row.
    let parts = [part(seed, rows - 1), part(seed + 1, 1)];
    ops.pack(&parts).unwrap()
}

fn values(ops: &dyn Ops, x: Tensor<2>) -> Vec<f32> {
    pollster::block_on(ops.read(x)).unwrap()
}

/// The linear layers of one shape: with and without what surrounds them.
fn layers(ops: &dyn Ops, out: usize, cols: usize, rows: usize, dtype: Dtype) -> [Vec<f32>; 5] {
    let x = matrix(ops, 4, rows, cols);
    let plain: Linear = weight(ops, 1, out, cols, dtype).into();
    let biased = Linear {
        bias: Some(vector(ops, 2, out)),
        ..plain.clone()
    };
    let norm = norm(ops, 3, cols);
    let residual = matrix(ops, 5, rows, out);
    [
        ops.norm_linear(&x, None, &plain).unwrap(),
        ops.norm_linear(&x, Some(&norm), &biased).unwrap(),
        ops.linear_add(&x, &plain, residual.clone()).unwrap(),
        ops.linear_add(&x, &biased, residual).unwrap(),
        ops.norm_gate_up(&x, &norm, &plain.weight).unwrap(),
    ]
    .map(|y| values(ops, y))
}

#[test]
fn linear_layers_match_the_reference() {
    for gpu in gpus() {
        for dtype in Dtype::ALL {
            for (out, cols) in [(64, 32), (130, 96), (576, 576)] {
                for rows in [1, 2, 4, 5, 8, 9, 33] {
                    let found = layers(&*gpu.ops, out, cols, rows, dtype);
                    let expected = layers(&reference(), out, cols, rows, dtype);
                    for (layer, (found, expected)) in found.iter().zip(&expected).enumerate() {
                        let error = relative_error(found, expected);
                        assert!(
                            error < TOLERANCE,
                            "{} {dtype} {out}x{cols}, {rows} rows, {layer}: {error}",
                            gpu.name
                        );
                    }
                }
            }
        }
    }
}

/// Tensor cores multiply half precision, which far larger and far smaller numbers leave.
#[test]
fn layers_are_as_exact_for_numbers_of_any_size() {
    for gpu in gpus() {
        for dtype in [Dtype::F16, Dtype::Q4] {
            let run = |ops: &dyn Ops, size: f32, rows: usize| {
                // One channel of a row is a thousand times the others.
                let mut x = spread(6, rows * 96);
                x.iter_mut().step_by(97).for_each(|v| *v *= 1e3);
                x.iter_mut().for_each(|v| *v *= size);
                let x = Tensor::from_data(TensorData::new(x, [rows, 96]), ops.device());
                let linear = weight(ops, 7, 64, 96, dtype).into();
                let norm = Norm {
                    epsilon: 1e-12,
                    ..norm(ops, 8, 96)
                };
                [None, Some(&norm)]
                    .map(|norm| values(ops, ops.norm_linear(&x, norm, &linear).unwrap()))
            };
            for size in [1e-7, 1e4] {
                for rows in [1, 9] {
                    let (found, known) =
                        (run(&*gpu.ops, size, rows), run(&reference(), size, rows));
                    for (found, known) in found.iter().zip(&known) {
                        let error = relative_error(found, known);
                        assert!(error < TOLERANCE, "{} {dtype} {size}: {error}", gpu.name);
                    }
                }
            }
        }
    }
}

#[test]
fn a_row_has_the_same_bits_alone_and_among_others() {
    for gpu in gpus() {
        for dtype in Dtype::ALL {
            let ops = &*gpu.ops;
            let (out, cols) = (150, 192);
            let together = layers(ops, out, cols, 64, dtype);
            for rows in [1, 2, 3, 4, 5, 8, 11, 30] {
                let alone = layers(ops, out, cols, rows, dtype);
                for (alone, together) in alone.iter().zip(&together) {
                    assert_eq!(
                        *alone,
                        together[..alone.len()],
                        "{} {dtype} {rows}",
                        gpu.name
                    );
                }
            }
        }
    }
}

/// Layers as wide and as long as models have them are cut in other ways than small ones.
#[test]
fn a_row_has_the_same_bits_in_layers_of_every_width() {
    for gpu in gpus() {
        if gpu.software {
            println!(
                "skipped: {}: large layers take minutes in software",
                gpu.name
            );
            continue;
        }
        for dtype in Dtype::ALL {
            for out in [300, 6144, 16384] {
                let together = layers(&*gpu.ops, out, 2368, 64, dtype);
                for rows in [1, 8, 9, 16, 17, 31, 33] {
                    let fewer = layers(&*gpu.ops, out, 2368, rows, dtype);
                    for (fewer, together) in fewer.iter().zip(&together) {
                        let same = *fewer == together[..fewer.len()];
                        assert!(same, "{} {dtype} {out} {rows}", gpu.name);
                    }
                }
            }
        }
    }
}

#[test]
fn embeddings_are_exact() {
    for gpu in gpus() {
        for dtype in Dtype::ALL {
            let run = |ops: &dyn Ops| {
                let table = weight(ops, 8, 50, 64, dtype);
                values(ops, ops.embed(&table, &[49, 0, 16, 15, 0]).unwrap())
            };
            assert_eq!(run(&*gpu.ops), run(&reference()), "{} {dtype}", gpu.name);
        }
    }
}

/// Of a cache.
const SLOTS: u32 = 1024;
/// Few enough heads that hundreds of rows are split by spans of positions: one; and eight, which
/// on tensor cores, where a workgroup takes eight rows, are split for as many.
const SINGLE: Heads = heads(1, 64);
const EIGHT: Heads = heads(8, 64);

const fn heads(count: usize, dim: usize) -> Heads {
    Heads {
        query: count,
        kv: count,
        dim,
    }
}
/// Heads whose attention runs on our kernels, and one that does not.
const HEADS: [Heads; 4] = [
    Heads {
        query: 6,
        kv: 2,
        dim: 32,
    },
    Heads {
        query: 3,
        kv: 3,
        dim: 100,
    },
    Heads {
        query: 4,
        kv: 1,
        dim: 128,
    },
    Heads {
        query: 2,
        kv: 1,
        dim: 18,
    },
];

/// Runs a prompt of `slots.len()` tokens through attention, each in the slot given.
fn attend(
    ops: &dyn Ops,
    heads: Heads,
    slots: &[u32],
    dtype: DType,
    norms: bool,
) -> (Vec<f32>, KvLayer) {
    let width = (heads.query + 2 * heads.kv) * heads.dim;
    let qkv = matrix(ops, 22, slots.len(), width);
    let mut rows = Rows::default();
    let table = rows.add_table(slots);
    for (i, &slot) in slots.iter().enumerate() {
        rows.push(0, slot, table, i as u32 + 1, &[]);
    }
    let mut layer = ops.kv_layer(SLOTS as usize, heads, dtype).unwrap();
    let norms = norms.then(|| HeadNorms {
        query: norm(ops, 23, heads.dim),
        key: norm(ops, 24, heads.dim),
    });
    let rotary = rotary(ops, heads);
    let queries = ops
        .rotate_and_cache(qkv, heads, &rotary, norms.as_ref(), &mut layer, &rows)
        .unwrap();
    let mixed = ops.path_attention(&queries, heads, &layer, &rows).unwrap();
    (values(ops, mixed), layer)
}

fn rotary(ops: &dyn Ops, heads: Heads) -> Rotary {
    Rotary {
        cos: matrix(ops, 20, 600, heads.dim / 2),
        sin: matrix(ops, 21, 600, heads.dim / 2),
    }
}

#[test]
fn attention_matches_the_reference() {
    for gpu in gpus() {
        // Within a span of positions, and beyond one.
        for (heads, seen) in HEADS
            .into_iter()
            .map(|heads| (heads, 150))
            .chain([(HEADS[0], 300), (SINGLE, 300)])
        {
            let slots: Vec<u32> = (0..seen).map(|i| (i * 7) % SLOTS).collect();
            for (dtype, tolerance) in [(DType::F32, TOLERANCE), (DType::F16, 1e-3)] {
                for norms in [false, true] {
                    let (found, _) = attend(&*gpu.ops, heads, &slots, dtype, norms);
                    let (expected, _) = attend(&reference(), heads, &slots, dtype, norms);
                    let error = relative_error(&found, &expected);
                    let name = &gpu.name;
                    assert!(error < tolerance, "{name} {heads:?} {dtype:?}: {error}");
                }
            }
        }
    }
}

/// Rows of 1 to 512 positions together are few enough to be split, one more is not: of one
/// head, or on tensor cores of eight.
#[test]
fn attention_has_the_same_bits_split_and_whole() {
    for gpu in gpus() {
        for (heads, dtype) in [
            (SINGLE, DType::F32),
            (SINGLE, DType::F16),
            (EIGHT, DType::F16),
        ] {
            let run = |rows: u32| {
                let slots: Vec<u32> = (0..rows).collect();
                attend(&*gpu.ops, heads, &slots, dtype, false).0
            };
            let (split, whole) = (run(512), run(513));
            assert_eq!(split, whole[..split.len()], "{} {dtype:?}", gpu.name);
        }
    }
}

#[test]
fn attention_has_the_same_bits_in_a_tree_and_in_other_slots() {
    // Within a span of positions, and beyond two: all rows of that text are more than a GPU
    // splits (but on tensor cores), a tree of them are not.
    let (short, long) = ((140, 130), (540, 530));
    let runs = [
        (HEADS[0], DType::F32, short),
        (HEADS[0], DType::F16, long),
        (HEADS[0], DType::F32, long),
        (EIGHT, DType::F16, short),
        (HEADS[2], DType::F16, long),
    ];
    for gpu in gpus() {
        for (heads, dtype, (all, committed)) in runs {
            let ops = &*gpu.ops;
            let (plain, _) = attend(ops, heads, &(0..all).collect::<Vec<_>>(), dtype, false);
            let scattered: Vec<u32> = (0..all).map(|i| SLOTS - 1 - (i * 5) % SLOTS).collect();
            let (again, mut layer) = attend(ops, heads, &scattered, dtype, false);
            assert_eq!(again, plain);

            // The last rows again, as a path beyond the committed positions, in new slots,
            // in one call, with a sibling of the second between.
            let width = (heads.query + 2 * heads.kv) * heads.dim;
            let qkv = matrix(ops, 22, all as usize, width);
            let free: Vec<u32> = (0..SLOTS)
                .filter(|slot| !scattered.contains(slot))
                .collect();
            let mut rows = Rows::default();
            let table = rows.add_table(&scattered[..committed as usize]);
            let mut picked: Vec<u32> = (committed..all).collect();
            picked.insert(2, 3);
            for (i, &from) in picked.iter().enumerate() {
                let mut path: Vec<u32> = (0..=i).filter(|&j| j != 2).map(|j| free[j]).collect();
                if from == 3 {
                    path = vec![free[0], free[2]];
                }
                rows.push(0, free[i], table, committed, &path);
            }
            let qkv = ops.select(&qkv, &picked).unwrap();
            let queries = ops
                .rotate_and_cache(qkv, heads, &rotary(ops, heads), None, &mut layer, &rows)
                .unwrap();
            let mixed = ops.path_attention(&queries, heads, &layer, &rows).unwrap();
            let mixed = values(ops, mixed);
            let row = |values: &[f32], i: usize| {
                values[i * heads.query * heads.dim..][..heads.query * heads.dim].to_vec()
            };
            for (i, &from) in picked.iter().enumerate().filter(|(_, from)| **from != 3) {
                let expected = row(&plain, from as usize);
                assert_eq!(row(&mixed, i), expected, "{} row {from}", gpu.name);
            }
        }
    }
}

#[test]
fn a_cache_that_somebody_else_holds_too_is_not_written_into() {
    for gpu in gpus() {
        let ops = &*gpu.ops;
        let (_, layer) = attend(ops, HEADS[0], &[0, 1], DType::F32, false);
        let mut copy = layer.clone();
        let read = |layer: &KvLayer| layer.keys.clone().into_data();
        let before = read(&layer);
        let mut rows = Rows::default();
        let table = [0, 5];
        let sequence = rows.add_table(&table);
        rows.push(0, 5, sequence, 2, &[]);
        let width = (HEADS[0].query + 2 * HEADS[0].kv) * HEADS[0].dim;
        let qkv = matrix(ops, 30, 1, width);
        let rotary = rotary(ops, HEADS[0]);
        ops.rotate_and_cache(qkv, HEADS[0], &rotary, None, &mut copy, &rows)
            .unwrap();
        assert_eq!(read(&layer), before, "{}", gpu.name);
        assert_ne!(read(&copy), before, "{}", gpu.name);
    }
}

#[test]
fn the_largest_match_the_reference() {
    for gpu in gpus() {
        let ops = &*gpu.ops;
        for width in [1, 15, 130, 4097, 9000] {
            // Two values after the point: many are equal.
            let values = spread(11, 5 * width).into_iter();
            let mut values: Vec<f32> = values.map(|v| (v * 900.0).round() / 100.0).collect();
            values[width / 2] = f32::NEG_INFINITY;
            let on = |ops: &dyn Ops| {
                let data = TensorData::new(values.clone(), [5, width]);
                Tensor::<2>::from_data(data, ops.device())
            };
            let reference = reference();
            let (here, there) = (on(ops), on(&reference));
            if width > 1 {
                let best = pollster::block_on(ops.argmax(&here)).unwrap();
                assert_eq!(best, pollster::block_on(reference.argmax(&there)).unwrap());
            }
            for k in [0, 1, 7, 40] {
                let what = format!("{} {width} {k}", gpu.name);
                let found = pollster::block_on(ops.top_k(&here, k)).unwrap();
                let expected = pollster::block_on(reference.top_k(&there, k)).unwrap();
                assert_eq!(found.len(), 5);
                for (found, expected) in found.iter().zip(&expected) {
                    let ids = |v: &[(u32, f32)]| v.iter().map(|v| v.0).collect::<Vec<_>>();
                    assert_eq!(ids(found), ids(expected), "{what}");
                    for (a, b) in found.iter().zip(expected) {
                        assert!((a.1 - b.1).abs() < 2e-5, "{what}: {a:?} {b:?}");
                    }
                }
            }
        }
    }
}

#[test]
fn levels_of_a_tree_stay_on_the_device() {
    for gpu in gpus() {
        let ops = &*gpu.ops;
        levels::grow_on_the_device(ops, &gpu.name);
        levels::take_the_places_they_are_told(ops, &gpu.name);
        levels::rank_what_grew(ops, &gpu.name);
        levels::draw_after_nodes(ops, &gpu.name);
        let found = ops.candidates(&matrix(ops, 12, 3, 40), 4).unwrap();
        let error = ops.frontier(&found, None).unwrap_err().to_string();
        assert!(error.contains("3 rows of 4 candidates"), "{error}");
    }
}

#[test]
fn what_is_not_a_number_is_found() {
    for gpu in gpus() {
        let row = |values: Vec<f32>| {
            let data = TensorData::new(values.clone(), [1, values.len()]);
            Tensor::<2>::from_data(data, gpu.ops.device())
        };
        let argmax = |values| pollster::block_on(gpu.ops.argmax(&row(values)));
        for bad in [f32::NAN, -f32::NAN, f32::INFINITY] {
            let mut values = vec![0.5; 3000];
            values[2999] = bad;
            assert_eq!(argmax(values).unwrap(), [None], "{bad}");
        }
        assert_eq!(argmax(vec![f32::NEG_INFINITY; 9]).unwrap(), [None]);
        let mut values = vec![0.5; 3000];
        (values[2999], values[3]) = (f32::NAN, 2.0);
        let found = pollster::block_on(gpu.ops.top_k(&row(values), 2)).unwrap();
        assert_eq!((found[0][0].0, found[0][1].0), (3, 0));
        assert!(found[0].iter().all(|(_, chance)| chance.is_nan()));
    }
}

#[test]
fn norms_and_chosen_rows_match_the_reference() {
    for gpu in gpus() {
        for width in [64, 576, 30] {
            let run = |ops: &dyn Ops| {
                let x = ops.select(&matrix(ops, 31, 5, width), &[4, 0, 4]).unwrap();
                values(ops, ops.norm(&x, &norm(ops, 32, width)).unwrap())
            };
            let error = relative_error(&run(&*gpu.ops), &run(&reference()));
            assert!(error < TOLERANCE, "{} {width}: {error}", gpu.name);
        }
    }
}

#[test]
fn chosen_rows_are_exact_however_they_are_told() {
    let many: Vec<u32> = (0..300).rev().collect();
    // Few and low enough for a launch, too high, too many.
    let choices: [&[u32]; 5] = [
        &[255],
        &[7, 0, 255, 3, 1, 9, 9, 254],
        &[0, 256],
        &[5; 9],
        &many,
    ];
    for gpu in gpus() {
        for chosen in choices {
            let run = |ops: &dyn Ops| {
                let all = [(33, 5), (34, 64)].map(|(seed, width)| matrix(ops, seed, 300, width));
                let found = ops.select_each(&all, chosen).unwrap();
                found
                    .into_iter()
                    .map(|x| values(ops, x))
                    .collect::<Vec<_>>()
            };
            assert_eq!(run(&*gpu.ops), run(&reference()), "{} {chosen:?}", gpu.name);
        }
    }
}

#[test]
fn joined_rows_are_exact() {
    for gpu in gpus() {
        let run = |ops: &dyn Ops| {
            let x = [(41, 3), (42, 3)].map(|(seed, width)| matrix(ops, seed, 5, width));
            let beside = ops.concat(&x, 1).unwrap();
            let more = matrix(ops, 43, 2, 6);
            values(ops, ops.concat(&[beside, more], 0).unwrap())
        };
        assert_eq!(run(&*gpu.ops), run(&reference()), "{}", gpu.name);
    }
}

#[test]
fn what_does_not_fit_is_an_error() {
    for gpu in gpus() {
        let ops: &Arc<dyn Ops> = &gpu.ops;
        let table = weight(&**ops, 8, 50, 64, Dtype::Q8);
        assert!(ops.embed(&table, &[50]).is_err());
        let x = matrix(&**ops, 1, 2, 64);
        assert!(ops.select(&x, &[2]).is_err());
        let narrow = matrix(&**ops, 1, 2, 32);
        assert!(
            ops.norm_linear(&narrow, None, &table.clone().into())
                .is_err()
        );
        let foreign = weight(&reference(), 1, 16, 64, Dtype::F32);
        assert!(ops.norm_linear(&x, None, &foreign.into()).is_err());
        // More than any device has, let alone in one piece.
        let error = ops.kv_layer(1 << 40, HEADS[0], DType::F32).unwrap_err();
        assert!(error.to_string().contains("smaller context"), "{error}");
    }
}
