//! Known answers that a GPU must give before it is trusted with a model.
//!
//! Drivers and compilers of kernels have faults that no error tells. So every operation
//! runs once in every dtype that is asked for, on little data, beside our kernels for the CPU; and
//! rows run alone and in company, which must not change a bit of them.

mod draws;
mod kinds;
mod trees;

use std::path::Path;

use burn::tensor::{DType, Tensor, TensorData};
use eaglet_core::error::{Error, Result};
use eaglet_core::ops::{
    HeadNorms, Heads, KvLayer, Linear, Norm, Ops, Recorded, Rotary, Rows, Weight,
};
use eaglet_core::sample::uniform;
use eaglet_core::weights::{BlockFormat, Dtype, Matrix, TensorView};

use crate::cpu::CpuOps;
pub use kinds::Kinds;

/// Columns and rows of the weights: no multiple of a workgroup.
const INPUTS: usize = 96;
const OUTPUTS: usize = 44;
/// More rows than the largest tile of a linear layer has, on tensor cores too.
const ROWS: usize = 35;
/// Rows that attention sees together.
const FEW: usize = 9;
/// More positions than a tile of attention has, and than a span of them.
const POSITIONS: usize = 300;

/// How far a result may be from the reference, as a share of its largest value: the order
/// of sums, and the exponentials of GPUs.
const TOLERANCE: f32 = 1e-4;

/// Runs every operation, those on weights and caches for these kinds of them.
///
/// # Errors
/// What was wrong first: the operation, the dtype and the error found.
pub async fn self_test(ops: &dyn Ops, kinds: &Kinds) -> Result<()> {
    // Its kernels are exact in f32, and are compared with the reference bodies elsewhere.
    let reference = CpuOps::new(1);
    for &dtype in &kinds.weights {
        weights(ops, &reference, dtype).await?;
    }
    for &(heads, dtype) in &kinds.caches {
        attention(ops, &reference, heads, dtype).await?;
    }
    choices(ops, &reference).await?;
    trees::trees(ops, &reference).await?;
    draws::draws(ops).await?;
    repetitions(ops).await?;
    oddities(ops).await
}

/// What a test is made of, on a device.
pub(crate) struct On<'a>(pub &'a dyn Ops);

impl On<'_> {
    pub fn matrix(&self, seed: u64, rows: usize, cols: usize) -> Tensor<2> {
        let values = TensorData::new(spread(seed, rows * cols), [rows, cols]);
        Tensor::from_data(values, self.0.device())
    }

    pub fn vector(&self, seed: u64, len: usize) -> Tensor<1> {
        Tensor::from_data(TensorData::new(spread(seed, len), [len]), self.0.device())
    }

    pub fn norm(&self, seed: u64, len: usize) -> Norm {
        Norm {
            weight: self.vector(seed, len),
            epsilon: 1e-5,
        }
    }

    pub fn weight(&self, dtype: Dtype) -> Result<Weight> {
        self.0.pack(&[matrix(&spread(1, OUTPUTS * INPUTS), dtype)?])
    }

    /// The same numbers as they are after rounding to a dtype, in f32.
    pub fn exact(&self, dtype: Dtype) -> Result<Weight> {
        let rounded = matrix(&spread(1, OUTPUTS * INPUTS), dtype)?.to_f32();
        self.0.pack(&[matrix(&rounded, Dtype::F32)?])
    }

    pub async fn read(&self, x: Tensor<2>) -> Result<Vec<f32>> {
        self.0.read(x).await
    }
}

/// A weight of known values.
fn matrix(values: &[f32], dtype: Dtype) -> Result<Matrix<'_>> {
    let view = TensorView {
        name: "known".into(),
        shape: vec![OUTPUTS, INPUTS],
        format: BlockFormat::F32,
        bytes: bytemuck::cast_slice(values).into(),
    };
    Matrix::new(Path::new("self-test"), view, dtype)
}

/// `count` values between -1 and 1, the same everywhere.
pub(crate) fn spread(seed: u64, count: usize) -> Vec<f32> {
    let value = |i| (2.0 * uniform(seed, i) - 1.0) as f32;
    (0..count as u64).map(value).collect()
}

/// Linear layers and the embedding in one dtype.
async fn weights(ops: &dyn Ops, reference: &dyn Ops, dtype: Dtype) -> Result<()> {
    type Run = fn(&On<'_>, &Weight, &Tensor<2>) -> Result<Tensor<2>>;
    let runs: [(&str, Run); 4] = [
        ("a linear layer", |on, weight, x| {
            let linear = Linear {
                weight: weight.clone(),
                bias: Some(on.vector(2, OUTPUTS)),
            };
            on.0.norm_linear(x, Some(&on.norm(3, INPUTS)), &linear)
        }),
        ("a linear layer with a residual", |on, weight, x| {
            let residual = on.matrix(5, x.dims()[0], OUTPUTS);
            on.0.linear_add(x, &weight.clone().into(), residual)
        }),
        ("a gated layer", |on, weight, x| {
            on.0.norm_gate_up(x, &on.norm(3, INPUTS), weight)
        }),
        ("an embedding", |on, weight, x| {
            let tokens: Vec<u32> = (0..x.dims()[0] as u32).map(|row| row * 43 % 44).collect();
            on.0.embed(weight, &tokens)
        }),
    ];
    let (device, host) = (On(ops), On(reference));
    let (here, there) = (device.weight(dtype)?, host.exact(dtype)?);
    for (name, run) in runs {
        let what = format!("{name} in {dtype}");
        let together = device
            .read(run(&device, &here, &device.matrix(4, ROWS, INPUTS))?)
            .await?;
        let known = host
            .read(run(&host, &there, &host.matrix(4, ROWS, INPUTS))?)
            .await?;
        compare(&what, &together, &known)?;
        for rows in [1, 3, 18] {
            let alone = device
                .read(run(&device, &here, &device.matrix(4, rows, INPUTS))?)
                .await?;
            same_bits(&what, &alone, &together[..alone.len()])?;
        }
    }
    Ok(())
}

/// Rotation, the cache in one dtype, and attention over tables and paths.
async fn attention(ops: &dyn Ops, reference: &dyn Ops, heads: Heads, dtype: DType) -> Result<()> {
    let Heads { query, kv, dim } = heads;
    let what = format!("attention of {query} heads on {kv} of {dim} with a cache in {dtype:?}");
    // Rounding to half precision may fall to either side of a tie.
    let tolerance = if dtype == DType::F16 { 1e-3 } else { TOLERANCE };
    // Models norm queries and keys, or do not.
    for norms in [false, true] {
        let (last, all) = attend(ops, heads, norms, dtype, FEW).await?;
        let (_, known) = attend(reference, heads, norms, dtype, FEW).await?;
        compare_within(&what, &all, &known, tolerance)?;
        same_bits(&what, &last[0], &last[1])?;
        let (_, alone) = attend(ops, heads, norms, dtype, 1).await?;
        same_bits(&what, &alone, &all[..alone.len()])?;
    }
    Ok(())
}

/// Fills a cache with a text, then runs some rows that branch off it. Returns the text's last
/// row, once among all and once alone, and those of the branches.
async fn attend(
    ops: &dyn Ops,
    heads: Heads,
    normed: bool,
    dtype: DType,
    branches: usize,
) -> Result<([Vec<f32>; 2], Vec<f32>)> {
    let on = On(ops);
    let norm = |seed| on.norm(seed, heads.dim);
    let norms = HeadNorms {
        query: norm(11),
        key: norm(12),
    };
    let rotary = Rotary {
        cos: on.matrix(13, POSITIONS + 2, heads.dim / 2),
        sin: on.matrix(14, POSITIONS + 2, heads.dim / 2),
    };
    let width = (heads.query + 2 * heads.kv) * heads.dim;
    let mut cache: KvLayer = ops.kv_layer(POSITIONS + FEW, heads, dtype)?;
    let mut pass = async |qkv: Tensor<2>, rows: &Rows<'_>| {
        let norms = normed.then_some(&norms);
        let queries = ops.rotate_and_cache(qkv, heads, &rotary, norms, &mut cache, rows)?;
        on.read(ops.path_attention(&queries, heads, &cache, rows)?)
            .await
    };
    // Slots in no order: where keys lie must not matter.
    let table: Vec<u32> = (0..POSITIONS as u32)
        .map(|i| i * 37 % POSITIONS as u32)
        .collect();
    let mut text = Rows::default();
    let sequence = text.add_table(&table);
    for (i, &slot) in table.iter().enumerate() {
        text.push(0, slot, sequence, i as u32 + 1, &[]);
    }
    let qkv = on.matrix(15, POSITIONS, width);
    let mut all = pass(qkv.clone(), &text).await?;
    // Many rows and few may be different kernels.
    let mut last = Rows::default();
    let sequence = last.add_table(&table);
    last.push(0, table[POSITIONS - 1], sequence, POSITIONS as u32, &[]);
    let row = ops.select(&qkv, &[POSITIONS as u32 - 1])?;
    let alone = pass(row, &last).await?;
    let among = all.split_off(all.len() - alone.len());
    let mut tree = Rows::default();
    let sequence = tree.add_table(&table);
    let root = POSITIONS as u32;
    tree.push(0, root, sequence, POSITIONS as u32, &[root]);
    for slot in (root + 1..).take(branches - 1) {
        tree.push(0, slot, sequence, POSITIONS as u32, &[root, slot]);
    }
    let branched = pass(on.matrix(16, tree.len(), width), &tree).await?;
    Ok(([among, alone], branched))
}

/// The largest of rows, chosen rows, norms by themselves.
async fn choices(ops: &dyn Ops, reference: &dyn Ops) -> Result<()> {
    let wide = 1003;
    let best = async |ops: &dyn Ops| -> Result<_> {
        let logits = On(ops).matrix(21, 3, wide);
        let ids = ops.argmax(&logits).await?;
        Ok((ids, ops.top_k(&logits, 5).await?))
    };
    let ((ids, top), (known_ids, known_top)) = (best(ops).await?, best(reference).await?);
    if ids != known_ids {
        return Err(wrong("argmax", &format!("{ids:?}, not {known_ids:?}")));
    }
    let of =
        |top: &[Vec<(u32, f32)>]| -> (Vec<u32>, Vec<f32>) { top.iter().flatten().copied().unzip() };
    let ((ids, logs), (known_ids, known_logs)) = (of(&top), of(&known_top));
    if ids != known_ids {
        return Err(wrong("top-k", &format!("{ids:?}, not {known_ids:?}")));
    }
    compare("log-softmax", &logs, &known_logs)?;
    let pick = async |ops: &dyn Ops| {
        let on = On(ops);
        let x = ops.select(&on.matrix(22, 5, INPUTS), &[4, 0, 4])?;
        on.read(ops.norm(&x, &on.norm(23, INPUTS))?).await
    };
    compare("a norm", &pick(ops).await?, &pick(reference).await?)
}

/// Passes that come so often that they may be recorded, each with rows and inputs of its own.
async fn repetitions(ops: &dyn Ops) -> Result<()> {
    let on = On(ops);
    let (table, norm) = (on.weight(Dtype::F32)?, on.norm(3, INPUTS));
    let mut recorded = Recorded::default();
    for round in 0..12 {
        let token = round * 7 % OUTPUTS as u32;
        let input = on.matrix(30 + u64::from(round), 1, INPUTS);
        let both = ops.concat(&[ops.embed(&table, &[token])?, input.clone()], 0)?;
        let known = on.read(ops.norm(&both, &norm)?).await?;
        let mut rows = Rows::default();
        let sequence = rows.add_table(&[0]);
        rows.push(token, 0, sequence, 1, &[]);
        let mut pass = |inputs: &[Tensor<2>], rows: &mut [Rows<'_>]| {
            let embedded = ops.embed_rows(&table, &rows[0])?;
            let both = ops.concat(&[embedded, inputs[0].clone()], 0)?;
            Ok(vec![ops.norm(&both, &norm)?])
        };
        let found = ops.repeat(&mut recorded, &[input], &mut [rows], &mut pass)?;
        let found = on.read(found[0].clone()).await?;
        same_bits("a pass that is repeated", &found, &known)?;
    }
    Ok(())
}

/// Equal values, of which the lowest index comes first, and one that is not a number.
async fn oddities(ops: &dyn Ops) -> Result<()> {
    const WIDE: usize = 700;
    let mut values = vec![0f32; 3 * WIDE];
    for (row, at) in [(0, 699), (0, 300), (0, 301), (1, 5), (2, 0), (2, 650)] {
        values[row * WIDE + at] = 2.0;
    }
    values[WIDE + 400] = f32::NAN;
    let logits = Tensor::from_data(TensorData::new(values, [3, WIDE]), ops.device());
    let ids = ops.argmax(&logits).await?;
    if ids != [Some(300), None, Some(0)] {
        return Err(wrong("argmax of equal values", &format!("{ids:?}")));
    }
    let top = ops.top_k(&logits, 4).await?;
    let ids = |row: usize| -> Vec<u32> { top[row].iter().map(|&(id, _)| id).collect() };
    if ids(0) != [300, 301, 699, 0] || ids(2) != [0, 650, 1, 2] {
        let found = format!("{:?} and {:?}", ids(0), ids(2));
        return Err(wrong("top-k of equal values", &found));
    }
    match top[1].iter().all(|(_, log)| log.is_nan()) {
        true => Ok(()),
        false => Err(wrong("top-k beside NaN", &format!("{:?}", top[1]))),
    }
}

fn compare(what: &str, found: &[f32], known: &[f32]) -> Result<()> {
    compare_within(what, found, known, TOLERANCE)
}

fn compare_within(what: &str, found: &[f32], known: &[f32], tolerance: f32) -> Result<()> {
    if found.len() != known.len() {
        return Err(wrong(
            what,
            &format!("{} values, not {}", found.len(), known.len()),
        ));
    }
    let size = known
        .iter()
        .fold(1e-30, |most: f32, value| most.max(value.abs()));
    // NaN must not pass for small.
    let off = |(a, b): (&f32, &f32)| (a - b).abs().total_cmp(&(tolerance * size)).is_gt();
    match found.iter().zip(known).position(off) {
        Some(at) => {
            let (found, known) = (found[at], known[at]);
            Err(wrong(
                what,
                &format!("{found} where {known} was known, at {at}"),
            ))
        }
        None => Ok(()),
    }
}

fn same_bits(what: &str, alone: &[f32], together: &[f32]) -> Result<()> {
    let differs = |(a, b): (&f32, &f32)| a.to_bits() != b.to_bits();
    match alone.iter().zip(together).position(differs) {
        Some(at) => {
            let (alone, together) = (alone[at], together[at]);
            let found = format!("{alone} alone, {together} beside other rows, at {at}");
            Err(wrong(what, &found))
        }
        None => Ok(()),
    }
}

fn wrong(what: &str, found: &str) -> Error {
    Error::Device(format!("{what} is wrong: {found}"))
}

#[cfg(test)]
mod tests {
    use burn::tensor::Device;
    use eaglet_core::ops::Reference;

    use super::*;

    #[test]
    fn the_reference_passes_and_nan_does_not() {
        // Burn's own matrix product may sum rows in other orders in company.
        let reference = Reference(Device::flex());
        pollster::block_on(choices(&reference, &reference)).unwrap();
        pollster::block_on(draws::draws(&reference)).unwrap();
        pollster::block_on(oddities(&reference)).unwrap();
        let nan = compare("it", &[f32::NAN], &[0.5]).unwrap_err().to_string();
        assert!(nan.contains("NaN where 0.5 was known"), "{nan}");
        assert!(compare("it", &[0.5], &[0.5, 0.5]).is_err());
        assert!(same_bits("it", &[0.0], &[-0.0]).is_err());
    }

    #[test]
    fn the_kernels_of_the_cpu_pass_where_they_are_exact() {
        let cpu = CpuOps::new(1);
        let reference = Reference(Device::flex());
        for dtype in [Dtype::F32, Dtype::F16] {
            pollster::block_on(weights(&cpu, &reference, dtype)).unwrap();
        }
        for (heads, dtype) in Kinds::all().caches {
            if dtype == DType::F32 {
                pollster::block_on(attention(&cpu, &reference, heads, dtype)).unwrap();
            }
        }
        pollster::block_on(oddities(&cpu)).unwrap();
    }
}
