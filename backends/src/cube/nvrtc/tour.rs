//! Every operation in every variant that a model can ask for. What comes back means
//! nothing: kernels do not run here.

use burn::tensor::{DType, Tensor};
use eaglet_core::error::Result;
use eaglet_core::ops::{Dice, HeadNorms, Heads, Level, Linear, Ops, Rotary, Rows};
use eaglet_core::sample::Die;
use eaglet_core::weights::Dtype;

use super::device;
use crate::cube::{CubeOps, Cuda};
use crate::open::On;

/// All of `#[cube(launch_unchecked)]`, and what is written in CUDA C++.
pub const KERNELS: [&str; 19] = [
    "attend",
    "attention_mma",
    "clear",
    "copy_into",
    "descend",
    "draw",
    "embed",
    "frontier",
    "gate",
    "join",
    "linear",
    "linear_few",
    "linear_many",
    "norm_rows",
    "read_all",
    "rotate",
    "select_rows",
    "argmax",
    "top_k",
];

/// Fewer kernels than this were not every variant: six linear layers for four dtypes and three
/// tiles of rows, and on tensor cores for three and four; two dtypes of the cache, three sizes of
/// heads, norms or not, one span of positions or several; on tensor cores, two sizes of heads.
pub const VARIANTS: usize = (4 * 3 + 3 * 4) * 6 + 2 * 3 * (2 + 2) + 2 * 2;

const INPUTS: usize = 96;
const OUTPUTS: usize = 44;

/// Runs them all, and waits for the device after each kind, which is where it complains.
pub fn all(ops: CubeOps<Cuda>) {
    // What real GPUs get.
    assert_eq!((ops.limits().splits, ops.limits().units), (4, 256));
    let on = On(&ops);
    for dtype in Dtype::ALL {
        linear(&on, dtype, &[1, 4, 9]);
    }
    for dim in [16, 64, 128] {
        for dtype in [DType::F32, DType::F16] {
            attention(&on, dim, dtype, true);
            attention(&on, dim, dtype, false);
        }
    }
    rest(&on);
    assert!(pollster::block_on(ops.read_bandwidth()).unwrap() > 0.0);
    let cores = super::cores();
    let on = On(&cores);
    for dtype in [Dtype::F16, Dtype::Q8, Dtype::Q4] {
        linear(&on, dtype, &[1, 2, 9, 17]);
    }
    super::cuts::compile(&cores);
    for dim in [64, 128] {
        attention(&on, dim, DType::F16, false);
    }
    // Gate and up apart.
    let ops = device();
    let ops = ops.in_pieces(1000);
    let on = On(&ops);
    let weight = on.weight(Dtype::F32).unwrap();
    let x = on.matrix(4, 1, INPUTS);
    let gated = ops.norm_gate_up(&x, &on.norm(3, INPUTS), &weight);
    read(&on, gated.unwrap()).unwrap();
}

fn linear(on: &On<'_>, dtype: Dtype, rows: &[usize]) {
    let weight = on.weight(dtype).unwrap();
    let norm = on.norm(3, INPUTS);
    let bias = Some(on.vector(2, OUTPUTS));
    for &rows in rows {
        let x = on.matrix(4, rows, INPUTS);
        read(on, on.0.embed(&weight, &vec![0; rows]).unwrap()).unwrap();
        for bias in [None, bias.clone()] {
            let weight = weight.clone();
            let linear = Linear { weight, bias };
            for norm in [None, Some(&norm)] {
                let y = on.0.norm_linear(&x, norm, &linear).unwrap();
                read(on, y).unwrap();
            }
            let residual = on.matrix(5, rows, OUTPUTS);
            let y = on.0.linear_add(&x, &linear, residual).unwrap();
            read(on, y).unwrap();
        }
        let gated = on.0.norm_gate_up(&x, &norm, &weight).unwrap();
        read(on, gated).unwrap();
    }
}

fn attention(on: &On<'_>, dim: usize, dtype: DType, normed: bool) {
    let heads = Heads {
        query: 4,
        kv: 2,
        dim,
    };
    let norms = normed.then(|| HeadNorms {
        query: on.norm(11, dim),
        key: on.norm(12, dim),
    });
    let rotary = Rotary {
        cos: on.matrix(13, 300, dim / 2),
        sin: on.matrix(14, 300, dim / 2),
    };
    // One span of positions, and two.
    for seen in [2, 300] {
        let mut cache = on.0.kv_layer(300, heads, dtype).unwrap();
        let table: Vec<u32> = (0..seen).collect();
        let mut rows = Rows::default();
        let sequence = rows.add_table(&table);
        rows.push(0, 1, sequence, seen, &[]);
        let qkv = on.matrix(15, 1, 8 * dim);
        let ops = on.0;
        let queries = ops
            .rotate_and_cache(qkv, heads, &rotary, norms.as_ref(), &mut cache, &rows)
            .unwrap();
        let mixed = ops.path_attention(&queries, heads, &cache, &rows).unwrap();
        read(on, mixed).unwrap();
    }
}

fn rest(on: &On<'_>) {
    let logits = on.matrix(21, 3, 1003);
    pollster::block_on(on.0.argmax(&logits)).unwrap();
    for (top_k, left_out) in [(u32::MAX, 0), (40, 0), (u32::MAX, 1), (40, 1)] {
        let die = Die {
            scale: 1.0,
            top_k,
            left_out,
            last: 0,
            random: 0,
        };
        let dice = Dice::new(vec![die; 3]);
        pollster::block_on(on.0.draw(&logits, &dice)).unwrap();
        let ranked = on.0.rank(&on.matrix(26, 1, 6), None).unwrap();
        pollster::block_on(on.0.draw_settled(&logits, Some(&dice), &ranked)).unwrap();
    }
    let found = on.0.candidates(&logits, 5).unwrap();
    levels(on, &found, &logits);
    read(on, on.0.select(&on.matrix(22, 5, INPUTS), &[4; 9]).unwrap()).unwrap();
    let x = on.0.select(&on.matrix(22, 5, INPUTS), &[4, 0]).unwrap();
    let wide = on.0.concat(&[x.clone(), x.clone()], 1).unwrap();
    read(on, wide).unwrap();
    read(on, on.0.norm(&x, &on.norm(23, INPUTS)).unwrap()).unwrap();
}

/// The two levels below a root's candidates, in the ways that tokens are named.
fn levels(on: &On<'_>, found: &Tensor<2>, ids: &Tensor<2>) {
    let first = on.0.select(found, &[0]).unwrap();
    let root = on.matrix(24, 1, INPUTS);
    for ids in [None, Some(ids)] {
        let mut above = Level {
            found: &first,
            outputs: &root,
            rows: None,
        };
        let chosen = on.0.frontier(&first, None).unwrap();
        let mut rows = placed(3, 1);
        let outputs = on.0.descend(&above, &chosen, ids, &mut rows).unwrap();
        read(on, outputs.clone()).unwrap();
        above = Level {
            found,
            outputs: &outputs,
            rows: Some(&rows),
        };
        let chosen = on.0.frontier(found, Some(&chosen)).unwrap();
        let features = on.0.descend(&above, &chosen, ids, &mut placed(5, 2));
        read(on, features.unwrap()).unwrap();
        let ranked = on.0.rank(&first, ids).unwrap();
        on.0.settle(&ranked, &mut placed(5, 2)).unwrap();
        read(on, ranked).unwrap();
    }
}

/// Rows of a level that nothing else is known of.
fn placed(count: u32, depth: usize) -> Rows<'static> {
    let mut rows = Rows::default();
    rows.add_table(&[0]);
    for slot in 1..=count {
        rows.push(0, slot, 0, 1, &vec![slot; depth]);
    }
    rows
}

fn read(on: &On<'_>, x: Tensor<2>) -> Result<Vec<f32>> {
    pollster::block_on(on.read(x))
}
