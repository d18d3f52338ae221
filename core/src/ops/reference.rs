//! The default body of every operation, in plain burn operations: slow, portable, and
//! what each device's fused kernels are tested against.

use burn::tensor::activation::{silu, softmax};
use burn::tensor::{DType, Device, Int, Tensor, TensorData};

use super::{
    Dice, HeadNorms, Heads, KvLayer, Level, Linear, Norm, Ops, Rotary, Rows, Weight, levels,
    ranking,
};
use crate::error::{Error, Result};
use crate::sample::{self, Pick};
use crate::weights::Matrix;

/// [`Ops`] that override nothing.
pub struct Reference(pub Device);

impl Ops for Reference {
    fn device(&self) -> &Device {
        &self.0
    }
}

pub(super) fn pack(device: &Device, parts: &[Matrix<'_>]) -> Result<Weight> {
    let (inputs, dtype) = super::same_layout(parts)?;
    let outputs = parts.iter().map(|part| part.rows).sum();
    let values: Vec<f32> = parts.iter().flat_map(Matrix::to_f32).collect();
    let tensor = Tensor::<2>::from_data(TensorData::new(values, [outputs, inputs]), device);
    let bytes = outputs * inputs * size_of::<f32>();
    Ok(Weight::new(outputs, inputs, dtype, bytes, tensor))
}

fn indices(values: &[u32], device: &Device) -> Tensor<1, Int> {
    let values: Vec<i32> = values.iter().map(|&v| v as i32).collect();
    let length = values.len();
    Tensor::from_data(TensorData::new(values, [length]), device)
}

pub(super) fn embed(table: &Weight, tokens: &[u32]) -> Result<Tensor<2>> {
    select(table.packed::<Tensor<2>>()?, tokens)
}

pub(super) fn select(x: &Tensor<2>, chosen: &[u32]) -> Result<Tensor<2>> {
    Ok(x.clone().select(0, indices(chosen, &x.device())))
}

pub(super) fn concat(parts: &[Tensor<2>], axis: usize) -> Result<Tensor<2>> {
    Ok(Tensor::cat(parts.to_vec(), axis))
}

pub(super) fn norm(x: &Tensor<2>, norm: &Norm) -> Result<Tensor<2>> {
    Ok(rms_norm(x.clone(), norm))
}

fn rms_norm<const D: usize>(x: Tensor<D>, norm: &Norm) -> Tensor<D> {
    let scale = (x.clone().square().mean_dim(D - 1) + norm.epsilon).sqrt();
    x / scale * norm.weight.clone().unsqueeze()
}

pub(super) fn norm_linear(
    x: &Tensor<2>,
    norm: Option<&Norm>,
    linear: &Linear,
) -> Result<Tensor<2>> {
    let x = match norm {
        Some(norm) => rms_norm(x.clone(), norm),
        None => x.clone(),
    };
    let y = x.matmul(linear.weight.packed::<Tensor<2>>()?.clone().transpose());
    Ok(match &linear.bias {
        Some(bias) => y + bias.clone().unsqueeze(),
        None => y,
    })
}

pub(super) fn linear_add(x: &Tensor<2>, linear: &Linear, residual: Tensor<2>) -> Result<Tensor<2>> {
    Ok(residual + norm_linear(x, None, linear)?)
}

pub(super) fn norm_gate_up(x: &Tensor<2>, norm: &Norm, gate_up: &Weight) -> Result<Tensor<2>> {
    let both = norm_linear(x, Some(norm), &gate_up.clone().into())?;
    let [gate, up] = both
        .chunk(2, 1)
        .try_into()
        .map_err(|_| Error::Device("gate and up do not split in two".into()))?;
    Ok(silu(gate) * up)
}

/// Rotates `[rows, heads, dim]`, its dimensions paired across the two halves.
fn rotate(x: Tensor<3>, cos: Tensor<3>, sin: Tensor<3>) -> Tensor<3> {
    let half = x.dims()[2] / 2;
    let (a, b) = (x.clone().narrow(2, 0, half), x.narrow(2, half, half));
    Tensor::cat(
        vec![
            a.clone() * cos.clone() - b.clone() * sin.clone(),
            b * cos + a * sin,
        ],
        2,
    )
}

pub(super) fn rotate_and_cache(
    qkv: Tensor<2>,
    heads: Heads,
    rotary: &Rotary,
    norms: Option<&HeadNorms>,
    cache: &mut KvLayer,
    rows: &Rows<'_>,
) -> Result<Tensor<2>> {
    let n = rows.len();
    let split = |start: usize, count: usize| {
        qkv.clone()
            .narrow(1, start * heads.dim, count * heads.dim)
            .reshape([n, count, heads.dim])
    };
    let mut queries = split(0, heads.query);
    let mut keys = split(heads.query, heads.kv);
    let values = split(heads.query + heads.kv, heads.kv);
    if let Some(norms) = norms {
        queries = rms_norm(queries, &norms.query);
        keys = rms_norm(keys, &norms.key);
    }
    let positions = indices(&rows.positions, &qkv.device());
    let angle = |table: &Tensor<2>| table.clone().select(0, positions.clone()).unsqueeze_dim(1);
    let (cos, sin): (Tensor<3>, Tensor<3>) = (angle(&rotary.cos), angle(&rotary.sin));
    let queries = rotate(queries, cos.clone(), sin.clone());
    let keys = rotate(keys, cos, sin);
    let dtype = cache.keys.dtype();
    for (row, &slot) in rows.slots.iter().enumerate() {
        let place = slot as usize..slot as usize + 1;
        let key = keys.clone().narrow(0, row, 1).cast(dtype);
        let value = values.clone().narrow(0, row, 1).cast(dtype);
        let assign = |t: Tensor<3>, x| t.slice_assign([place.clone()], x);
        cache.keys.inplace(|t| assign(t, key));
        cache.values.inplace(|t| assign(t, value));
    }
    Ok(queries.reshape([n, heads.query * heads.dim]))
}

pub(super) fn path_attention(
    queries: &Tensor<2>,
    heads: Heads,
    cache: &KvLayer,
    rows: &Rows<'_>,
) -> Result<Tensor<2>> {
    let group = heads.query / heads.kv;
    let scale = 1.0 / (heads.dim as f64).sqrt();
    let device = queries.device();
    let mut outputs = Vec::with_capacity(rows.len());
    for row in 0..rows.len() {
        let (committed, path) = rows.visible(row);
        let slots = indices(&[committed, path].concat(), &device);
        let seen = |t: &Tensor<3>| {
            let t = t.clone().select(0, slots.clone()).cast(DType::F32);
            t.swap_dims(0, 1) // [kv, positions, dim]
        };
        let q = queries.clone().narrow(0, row, 1);
        let q = q.reshape([heads.kv, group, heads.dim]);
        let scores = q.matmul(seen(&cache.keys).swap_dims(1, 2)) * scale;
        let mixed = softmax(scores, 2).matmul(seen(&cache.values));
        outputs.push(mixed.reshape([1, heads.query * heads.dim]));
    }
    Ok(Tensor::cat(outputs, 0))
}

pub(super) async fn argmax(logits: &Tensor<2>) -> Result<Vec<Option<u32>>> {
    let width = logits.dims()[1];
    let values = read(logits.clone()).await?;
    Ok(values.chunks_exact(width).map(sample::best).collect())
}

pub(super) async fn draw(logits: &Tensor<2>, dice: &Dice) -> Result<Vec<Option<Pick>>> {
    dice.check(logits)?;
    let width = logits.dims()[1];
    let values = read(logits.clone()).await?;
    let rows = values.chunks_exact(width).zip(dice.rows());
    Ok(rows.map(|(row, die)| die.draw(row)).collect())
}

pub(super) async fn read(x: Tensor<2>) -> Result<Vec<f32>> {
    let data = x.into_data_async().await;
    let data = data.map_err(|e| Error::Device(e.to_string()))?;
    data.try_into_vec()
        .map_err(|e| Error::Device(format!("{e:?}")))
}

/// Waits for the device: this body is what others are compared with, and is not fast.
pub(super) fn candidates(logits: &Tensor<2>, k: usize) -> Result<Tensor<2>> {
    let [rows, width] = logits.dims();
    let k = k.clamp(1, width);
    let found: Vec<_> = values(logits)
        .chunks_exact(width)
        .map(|row| sample::top_k(row, k, sample::log_sum_exp(row)))
        .collect();
    let data = TensorData::new(super::lay_out(&found, k), [rows, 2 * k]);
    Ok(Tensor::from_data(data, &logits.device()))
}

/// The values of a tensor. Waits for the device, as [`candidates`] does.
fn values(x: &Tensor<2>) -> Vec<f32> {
    x.to_data().iter().collect()
}

pub(super) fn frontier(found: &Tensor<2>, above: Option<&Tensor<2>>) -> Result<Tensor<2>> {
    let width = found.dims()[1];
    let above = above.map(values);
    let chosen = levels::frontier(&values(found), width, above.as_deref());
    let data = TensorData::new(chosen, [1, width]);
    Ok(Tensor::from_data(data, &found.device()))
}

pub(super) fn descend(
    level: &Level<'_>,
    chosen: &Tensor<2>,
    ids: Option<&Tensor<2>>,
    rows: &mut Rows<'_>,
) -> Result<Tensor<2>> {
    let (found, width) = (values(level.found), level.found.dims()[1]);
    let (chosen, ids) = (values(chosen), ids.map(values));
    let ids = ids.as_deref();
    let parents = levels::settle(rows, level.rows, (&found, width), &chosen, ids);
    select(level.outputs, &parents)
}

pub(super) fn rank(grown: &Tensor<2>, ids: Option<&Tensor<2>>) -> Result<Tensor<2>> {
    let width = grown.dims()[1];
    let ids = ids.map(values);
    let ranked = ranking::rank(&values(grown), width, ids.as_deref());
    let data = TensorData::new(ranked, [ranking::RANKED, ranking::WIDTH]);
    Ok(Tensor::from_data(data, &grown.device()))
}

pub(super) fn settle(ranked: &Tensor<2>, rows: &mut Rows<'_>) -> Result<()> {
    ranking::settle(&values(ranked), rows);
    Ok(())
}

pub(super) async fn draw_settled<O: Ops + ?Sized>(
    ops: &O,
    logits: &Tensor<2>,
    dice: Option<&Dice>,
    ranked: &Tensor<2>,
) -> Result<(Vec<Option<Pick>>, Vec<f32>)> {
    let values = ops.read(ranked.clone()).await?;
    let Some(dice) = dice else {
        let best = ops.argmax(logits).await?.into_iter();
        return Ok((best.map(|id| id.map(Pick::likeliest)).collect(), values));
    };
    let depths: Vec<usize> = ranking::nodes(&values).map(|node| node.depth).collect();
    let die = |row: usize| {
        let depth = row
            .checked_sub(1)
            .and_then(|node| depths.get(node).copied());
        dice.rows().get(depth.unwrap_or(0)).copied()
    };
    // A die that is missing is told by whoever draws.
    let rows = (0..logits.dims()[0]).filter_map(die).collect();
    Ok((ops.draw(logits, &Dice::new(rows)).await?, values))
}
