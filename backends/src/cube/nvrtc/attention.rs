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
/// The last of them, which go on from another text of that length.
const OTHERS: u32 = 16;
/// Tokens before it: none, less than a tile, up to the end of a span, more than one, than two.
const BEFORE: [u32; 5] = [0, 30, 255, 290, 540];

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
/// has, whether spans are apart, and wherever its keys lie.
pub fn rows_of_trees() {
    for heads in HEADS {
        let cache = Cache::new(heads, (BEFORE[4] + TREE) as usize);
        for before in BEFORE {
            let all: Vec<u32> = (0..TREE).collect();
            let known = cache.on_host(before, &all);
            let together = cache.on_device(before, &all, false, false);
            let off = known.iter().zip(&together).map(|(a, b)| (a - b).abs());
            let most = off.fold(0.0, f32::max);
            // NaN is no number below it.
            assert!(most < 2e-6, "{heads:?} after {before}: {most} off");
            assert!(together.iter().all(|value| value.is_finite()));
            for some in [&[7][..], &[18, 3, 4], &all] {
                for (split, moved) in [(false, true), (true, false)] {
                    let found = cache.on_device(before, some, split, moved);
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

    /// Where a slot is, if all are moved.
    fn place(&self, slot: u32, moved: bool) -> u32 {
        match moved {
            true => (slot * 29 + 7) % self.slots as u32,
            false => slot,
        }
    }

    fn layer(&self, ops: &dyn Ops, moved: bool) -> KvLayer {
        let shape = [self.slots, self.heads.kv, self.heads.dim];
        let size = self.heads.kv * self.heads.dim;
        let tensor = |seed| {
            let mut values = vec![f16::ZERO; self.slots * size];
            for slot in 0..self.slots {
                let to = self.place(slot as u32, moved) as usize * size;
                for (i, value) in values[to..to + size].iter_mut().enumerate() {
                    *value = f16::from_f64(4.0 * uniform(seed, (slot * size + i) as u64) - 2.0);
                }
            }
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

    /// Some rows of the tree after their texts.
    fn rows<'a>(&self, texts: &'a [Vec<u32>; 2], some: &[u32], moved: bool) -> Rows<'a> {
        let before = texts[0].len() as u32;
        let mut rows = Rows::default();
        let tables = texts.each_ref().map(|text| rows.add_table(text));
        for &row in some {
            let mut path = vec![row];
            while path[0] > 0 {
                path.insert(0, (path[0] - 1) / 2);
            }
            let path: Vec<u32> = path
                .iter()
                .map(|row| self.place(before + row, moved))
                .collect();
            let table = tables[usize::from(row >= OTHERS)];
            rows.push(0, path[path.len() - 1], table, before, &path);
        }
        rows
    }

    /// The slots of both texts, in no order.
    fn texts(&self, len: u32, moved: bool) -> [Vec<u32>; 2] {
        let place = |slot| self.place(slot, moved);
        let one = (0..len).map(|i| place((i * 37 + 5) % len));
        let other = (0..len).rev().map(place);
        [one.collect(), other.collect()]
    }

    fn on_host(&self, before: u32, some: &[u32]) -> Vec<f32> {
        let ops = CpuOps::new(1);
        let queries = TensorData::new(self.queries(some), [some.len(), self.width()]);
        let queries = Tensor::from_data(queries, ops.device());
        let texts = self.texts(before, false);
        let rows = self.rows(&texts, some, false);
        let mixed = ops.path_attention(&queries, self.heads, &self.layer(&ops, false), &rows);
        mixed.unwrap().to_data().iter().collect()
    }

    fn on_device(&self, before: u32, some: &[u32], split: bool, moved: bool) -> Vec<f32> {
        let ops = device().with_tensor_cores(false);
        let texts = self.texts(before, moved);
        let (rows, layer) = (self.rows(&texts, some, moved), self.layer(&ops, moved));
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
