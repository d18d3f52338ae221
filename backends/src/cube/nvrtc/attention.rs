//! Path attention on tensor cores, compiled for the host: see `emulator.hpp`.

use burn::tensor::{DType, Tensor, TensorData};
use cubecl::prelude::CubeCount;
use eaglet_core::ops::{Heads, KvLayer, Ops, Rows};
use eaglet_core::sample::uniform;
use half::f16;

use super::device;
use crate::cpu::CpuOps;
use crate::cube::attention::{MORE, SPAN};
use crate::cube::rows::Staged;
use crate::cube::tensor_cores::{Program, attention::Variant};

/// Heads of 128 dimensions, and of 64, three of which share a key head.
const HEADS: [Heads; 2] = [heads(2, 2, 128), heads(3, 1, 64)];
/// Rows of a tree, each below the one with half its number.
const TREE: u32 = 19;
/// Tokens before it: none, less than a tile, up to the end of a span, more than one.
const BEFORE: [u32; 4] = [0, 30, 255, 290];

const fn heads(query: usize, kv: usize, dim: usize) -> Heads {
    Heads { query, kv, dim }
}

/// What the test launches.
pub fn programs() -> Vec<Program> {
    let variants = HEADS.map(|heads| [false, true].map(|split| Variant::new(heads, split)));
    let variants = variants.as_flattened().iter().copied();
    variants.flatten().map(Program::Attention).collect()
}

/// Tensor cores attend as the processor does, and give a row the same bits whatever company it
/// has, and whether spans are apart.
pub fn rows_of_trees() {
    for heads in HEADS {
        let cache = Cache::new(heads, (BEFORE[3] + TREE) as usize);
        for before in BEFORE {
            let all: Vec<u32> = (0..TREE).collect();
            let known = cache.on_host(before, &all);
            let together = cache.on_device(before, &all, false);
            let off = known.iter().zip(&together).map(|(a, b)| (a - b).abs());
            let most = off.fold(0.0, f32::max);
            // NaN is no number below it.
            assert!(most < 2e-6, "{heads:?} after {before}: {most} off");
            assert!(together.iter().all(|value| value.is_finite()));
            for some in [&[7][..], &[18, 3, 4], &all] {
                for split in [false, true] {
                    let found = cache.on_device(before, some, split);
                    for (row, found) in some.iter().zip(found.chunks(cache.width())) {
                        let at = *row as usize * cache.width();
                        let same = found == &together[at..at + cache.width()];
                        assert!(same, "{heads:?} after {before}: row {row} of {some:?}");
                    }
                }
            }
        }
    }
}

/// Known keys and values of some slots, and queries of all rows.
struct Cache {
    heads: Heads,
    slots: usize,
}

impl Cache {
    fn new(heads: Heads, slots: usize) -> Self {
        Self { heads, slots }
    }

    /// Numbers of a row.
    fn width(&self) -> usize {
        self.heads.query * self.heads.dim
    }

    fn layer(&self, ops: &dyn Ops) -> KvLayer {
        let shape = [self.slots, self.heads.kv, self.heads.dim];
        let tensor = |seed| {
            let value = |i| f16::from_f64(4.0 * uniform(seed, i) - 2.0);
            let values: Vec<f16> = (0..shape.iter().product::<usize>() as u64)
                .map(value)
                .collect();
            let data = TensorData::new(values, shape);
            Tensor::from_data(data, (ops.device(), DType::F16))
        };
        KvLayer {
            keys: tensor(1),
            values: tensor(2),
        }
    }

    fn queries(&self, rows: &[u32]) -> Vec<f32> {
        let of = |row: &u32| {
            let numbers = 0..self.width() as u64;
            let row = u64::from(*row);
            numbers.map(move |i| (4.0 * uniform(10 + row, i) - 2.0) as f32)
        };
        rows.iter().flat_map(of).collect()
    }

    /// Some rows of the tree after a text.
    fn rows<'a>(&self, text: &'a [u32], some: &[u32]) -> Rows<'a> {
        let before = text.len() as u32;
        let mut rows = Rows::default();
        let table = rows.add_table(text);
        for &row in some {
            let mut path = vec![before + row];
            while path[0] > before {
                path.insert(0, before + (path[0] - before - 1) / 2);
            }
            rows.push(0, before + row, table, before, &path);
        }
        rows
    }

    fn on_host(&self, before: u32, some: &[u32]) -> Vec<f32> {
        let ops = CpuOps::new(1);
        let queries = TensorData::new(self.queries(some), [some.len(), self.width()]);
        let queries = Tensor::from_data(queries, ops.device());
        let text = text(before);
        let rows = self.rows(&text, some);
        let mixed = ops.path_attention(&queries, self.heads, &self.layer(&ops), &rows);
        mixed.unwrap().to_data().iter().collect()
    }

    fn on_device(&self, before: u32, some: &[u32], split: bool) -> Vec<f32> {
        let ops = device().with_tensor_cores();
        let text = text(before);
        let (rows, layer) = (self.rows(&text, some), self.layer(&ops));
        let staged = Staged::new(&ops.gpu, &rows).unwrap();
        let spans = staged.positions.div_ceil(SPAN);
        let (depth, more) = if split { (spans, MORE) } else { (1, 0) };
        let width = self.heads.query * depth * (self.heads.dim + more);
        let variant = Variant::new(self.heads, split).unwrap();
        let groups = some.len().div_ceil(variant.rows());
        let count = CubeCount::new_3d(self.heads.kv as u32, groups as u32, depth as u32);
        let queries = ops.upload_rows(&self.queries(some), some.len()).unwrap();
        let mixed = vec![f32::NAN; some.len() * width];
        let mixed = ops.upload_rows(&mixed, some.len()).unwrap();
        let buffers = [&queries, &mixed].map(|tensor| ops.buffer(tensor).unwrap());
        let (keys, values) = (ops.buffer(&layer.keys), ops.buffer(&layer.values));
        ops.attend_on_tensor_cores(
            variant,
            count,
            [&buffers[0], &keys.unwrap(), &values.unwrap()],
            &staged,
            &buffers[1],
            [some.len(), spans],
        )
        .unwrap();
        let found = pollster::block_on(ops.read(mixed)).unwrap();
        if !split {
            return found;
        }
        let heads = found.chunks(depth * (self.heads.dim + more));
        let seen = rows.positions.iter().map(|&last| last as usize + 1);
        let seen = seen.flat_map(|seen| vec![seen; self.heads.query]);
        let joined = heads.zip(seen).map(|(parts, seen)| {
            let parts = parts.chunks(self.heads.dim + more);
            joined(parts.take(seen.div_ceil(SPAN)), self.heads.dim)
        });
        joined.flatten().collect()
    }
}

/// The slots of a text, in no order.
fn text(len: u32) -> Vec<u32> {
    (0..len).map(|i| (i * 37 + 5) % len).collect()
}

/// What `join` makes of the parts that a head's spans left.
fn joined<'a>(parts: impl Iterator<Item = &'a [f32]>, dim: usize) -> Vec<f32> {
    let (mut most, mut total, mut sums) = (f32::MIN, 0f32, vec![0f32; dim]);
    for part in parts {
        let highest = part[dim].max(most);
        let fade = |most: f32| match most == highest {
            true => 1.0,
            false => (most - highest).exp(),
        };
        let (old, fresh) = (fade(most), fade(part[dim]));
        total = total.mul_add(old, part[dim + 1] * fresh);
        for (sum, part) in sums.iter_mut().zip(part) {
            *sum = sum.mul_add(old, part * fresh);
        }
        most = highest;
    }
    sums.iter().map(|sum| sum / total).collect()
}
