//! The CPU: burn's Flex tensors, with fused operations of our own over their memory.

// Kernels index several arrays of lanes or rows with one counter.
#![allow(clippy::needless_range_loop)]

mod activation;
mod attention;
mod bandwidth;
mod linear;
mod panel;
mod rotary;
pub mod simd;
mod tensors;
mod threads;
mod top_k;
mod unshared;

use burn::tensor::{DType, Device, Tensor};
use eaglet_core::error::Result;
use eaglet_core::ops::{
    Async, HeadNorms, Heads, KvLayer, Level, Linear, Norm, Ops, Rotary, Rows, Weight, lay_out,
    levels, ranking, same_layout,
};
use eaglet_core::weights::Matrix;
use half::f16;

pub use bandwidth::read_bandwidth;
use linear::Finish;
use panel::Panels;
use simd::{Isa, LANES};
use tensors::{matrix, slice, storage, tensor};
use threads::Threads;

/// More threads than this help no machine, and a system may not give them.
pub const MAX_THREADS: usize = 256;

/// Fused operations on the CPU.
pub struct CpuOps {
    device: Device,
    isa: Isa,
    threads: Threads,
}

impl CpuOps {
    /// Operations on `threads` threads, with the best instruction set of this machine.
    pub fn new(threads: usize) -> Self {
        Self::with_isa(threads, Isa::detect())
    }

    /// The same with an instruction set of [`Isa::available`], for tests and figures.
    pub fn with_isa(threads: usize, isa: Isa) -> Self {
        Self {
            device: Device::flex(),
            isa,
            threads: Threads::new(threads.min(MAX_THREADS)),
        }
    }

    /// The instruction set in use.
    pub fn isa(&self) -> Isa {
        self.isa
    }

    /// The number of threads in use.
    pub fn threads(&self) -> usize {
        self.threads.count()
    }

    /// Runs one linear layer; `y` holds the residual for [`Finish::Add`].
    fn run(
        &self,
        x: &Tensor<2>,
        norm: Option<&Norm>,
        weight: &Weight,
        finish: Finish<'_>,
        y: &mut [f32],
    ) -> Result<()> {
        let x = storage(x.clone())?;
        let norm = norm.map(|n| Ok((storage(n.weight.clone())?, n.epsilon)));
        let norm = norm.transpose()?;
        let norm = match &norm {
            Some((weight, epsilon)) => Some((slice(weight)?, *epsilon)),
            None => None,
        };
        let (isa, threads) = (self.isa, &self.threads);
        linear::linear(slice(&x)?, norm, weight.packed()?, finish, y, isa, threads);
        Ok(())
    }
}

/// A bias as a slice.
fn bias(linear: &Linear) -> Result<Option<burn_flex::FlexTensor>> {
    linear.bias.clone().map(storage).transpose()
}

impl Ops for CpuOps {
    fn device(&self) -> &Device {
        &self.device
    }

    fn pack(&self, parts: &[Matrix<'_>]) -> Result<Weight> {
        let (inputs, dtype) = same_layout(parts)?;
        let panels = Panels::pack(parts, dtype, inputs, &self.threads)?;
        let (outputs, bytes) = (panels.outputs, panels.bytes());
        Ok(Weight::new(outputs, inputs, dtype, bytes, panels))
    }

    fn kv_layer(&self, slots: usize, heads: Heads, dtype: DType) -> Result<KvLayer> {
        let shape = [slots, heads.kv, heads.dim];
        let zeros = || match dtype {
            DType::F16 => tensors::zeros::<f16>(shape, &self.device),
            _ => tensors::zeros::<f32>(shape, &self.device),
        };
        Ok(KvLayer {
            keys: zeros()?,
            values: zeros()?,
        })
    }

    fn embed(&self, table: &Weight, tokens: &[u32]) -> Result<Tensor<2>> {
        let panels: &Panels = table.packed()?;
        let mut values = vec![0.0; tokens.len() * panels.inputs];
        for (&token, row) in tokens.iter().zip(values.chunks_exact_mut(panels.inputs)) {
            panels.read_row(token as usize, row);
        }
        Ok(matrix(values, tokens.len(), &self.device))
    }

    fn norm(&self, x: &Tensor<2>, norm: &Norm) -> Result<Tensor<2>> {
        let [rows, width] = x.dims();
        let (x, weight) = (storage(x.clone())?, storage(norm.weight.clone())?);
        let norm = (slice(&weight)?, norm.epsilon);
        let y = activation::norm(slice(&x)?, width, norm, self.isa, &self.threads);
        Ok(matrix(y, rows, &self.device))
    }

    fn norm_linear(
        &self,
        x: &Tensor<2>,
        norm: Option<&Norm>,
        linear: &Linear,
    ) -> Result<Tensor<2>> {
        let rows = x.dims()[0];
        let mut y = vec![0.0; rows * linear.weight.outputs];
        let bias = bias(linear)?;
        let finish = Finish::Store(bias.as_ref().map(slice).transpose()?);
        self.run(x, norm, &linear.weight, finish, &mut y)?;
        Ok(matrix(y, rows, &self.device))
    }

    fn linear_add(&self, x: &Tensor<2>, linear: &Linear, residual: Tensor<2>) -> Result<Tensor<2>> {
        let mut y = storage(residual)?;
        let bias = bias(linear)?;
        let finish = Finish::Add(bias.as_ref().map(slice).transpose()?);
        self.run(x, None, &linear.weight, finish, y.storage_mut())?;
        Ok(tensor(y))
    }

    fn norm_gate_up(&self, x: &Tensor<2>, norm: &Norm, gate_up: &Weight) -> Result<Tensor<2>> {
        let (rows, width) = (x.dims()[0], gate_up.outputs / 2);
        let mut y = vec![0.0; rows * width];
        if width.is_multiple_of(LANES) {
            self.run(x, Some(norm), gate_up, Finish::Gate, &mut y)?;
        } else {
            // Gate and up share a panel: take the product apart from the layer.
            let mut both = vec![0.0; rows * 2 * width];
            self.run(x, Some(norm), gate_up, Finish::Store(None), &mut both)?;
            for (y, both) in y.chunks_exact_mut(width).zip(both.chunks_exact(2 * width)) {
                for (i, y) in y.iter_mut().enumerate() {
                    *y = both[i] / (1.0 + (-both[i]).exp()) * both[width + i];
                }
            }
        }
        Ok(matrix(y, rows, &self.device))
    }

    fn rotate_and_cache(
        &self,
        qkv: Tensor<2>,
        heads: Heads,
        rotary: &Rotary,
        norms: Option<&HeadNorms>,
        cache: &mut KvLayer,
        rows: &Rows<'_>,
    ) -> Result<Tensor<2>> {
        let mut qkv = storage(qkv)?;
        let (cos, sin) = (storage(rotary.cos.clone())?, storage(rotary.sin.clone())?);
        let weights = match norms {
            Some(n) => Some((
                storage(n.query.weight.clone())?,
                storage(n.key.weight.clone())?,
            )),
            None => None,
        };
        let norms = match (&weights, norms) {
            (Some((q, k)), Some(n)) => {
                Some(((slice(q)?, n.query.epsilon), (slice(k)?, n.key.epsilon)))
            }
            _ => None,
        };
        let mut queries = vec![0.0; rows.len() * heads.query * heads.dim];
        let mut keys = storage(cache.keys.extract())?;
        let mut values = storage(cache.values.extract())?;
        let angles = (slice(&cos)?, slice(&sin)?);
        macro_rules! rotate {
            ($element:ty) => {
                rotary::Rotate::<$element> {
                    qkv: qkv.storage_mut(),
                    heads,
                    angles,
                    norms,
                    keys: keys.storage_mut(),
                    values: values.storage_mut(),
                    rows,
                    queries: &mut queries,
                }
                .run(self.isa)
            };
        }
        match keys.dtype() {
            DType::F16 => rotate!(f16),
            _ => rotate!(f32),
        }
        (cache.keys, cache.values) = (tensor(keys), tensor(values));
        Ok(matrix(queries, rows.len(), &self.device))
    }

    fn path_attention(
        &self,
        queries: &Tensor<2>,
        heads: Heads,
        cache: &KvLayer,
        rows: &Rows<'_>,
    ) -> Result<Tensor<2>> {
        let queries = storage(queries.clone())?;
        let (keys, values) = (storage(cache.keys.clone())?, storage(cache.values.clone())?);
        let mut mixed = vec![0.0; rows.len() * heads.query * heads.dim];
        macro_rules! attend {
            ($element:ty) => {
                attention::attend::<$element>(
                    slice(&queries)?,
                    slice(&keys)?,
                    slice(&values)?,
                    heads,
                    rows,
                    &mut mixed,
                    self.isa,
                    &self.threads,
                )
            };
        }
        match keys.dtype() {
            DType::F16 => attend!(f16),
            _ => attend!(f32),
        }
        Ok(matrix(mixed, rows.len(), &self.device))
    }

    fn select(&self, x: &Tensor<2>, chosen: &[u32]) -> Result<Tensor<2>> {
        let width = x.dims()[1];
        let x = storage(x.clone())?;
        let x: &[f32] = slice(&x)?;
        let row = |&row: &u32| &x[row as usize * width..(row as usize + 1) * width];
        let values = chosen.iter().flat_map(row).copied().collect();
        Ok(matrix(values, chosen.len(), &self.device))
    }

    fn concat(&self, parts: &[Tensor<2>], axis: usize) -> Result<Tensor<2>> {
        let heights = parts.iter().map(|part| part.dims()[0]);
        // Under one another, each part is copied whole; side by side, a row at a time.
        let (rows, steps) = match axis {
            0 => (heights.sum(), 1),
            _ => heights.max().map_or((0, 0), |rows| (rows, rows)),
        };
        let parts: Vec<_> = parts
            .iter()
            .map(|part| storage(part.clone()))
            .collect::<Result<_>>()?;
        let parts: Vec<&[f32]> = parts.iter().map(slice).collect::<Result<_>>()?;
        let mut values = Vec::with_capacity(parts.iter().map(|part| part.len()).sum());
        for step in 0..steps {
            for part in &parts {
                let width = part.len() / steps;
                values.extend_from_slice(&part[step * width..(step + 1) * width]);
            }
        }
        Ok(matrix(values, rows, &self.device))
    }

    fn read(&self, x: Tensor<2>) -> Async<'_, Vec<f32>> {
        Box::pin(async move { Ok(slice::<f32>(&storage(x)?)?.to_vec()) })
    }

    fn argmax<'a>(&'a self, logits: &'a Tensor<2>) -> Async<'a, Vec<Option<u32>>> {
        Box::pin(async move {
            let width = logits.dims()[1];
            let logits = storage(logits.clone())?;
            let rows = slice::<f32>(&logits)?.chunks_exact(width);
            Ok(rows.map(eaglet_core::sample::best).collect())
        })
    }

    fn candidates(&self, logits: &Tensor<2>, k: usize) -> Result<Tensor<2>> {
        let [rows, width] = logits.dims();
        let k = k.clamp(1, width);
        let logits = storage(logits.clone())?;
        let values = slice::<f32>(&logits)?;
        let found = top_k::top_k(values, width, k, self.isa, &self.threads);
        Ok(matrix(lay_out(&found, k), rows, &self.device))
    }

    fn frontier(&self, found: &Tensor<2>, above: Option<&Tensor<2>>) -> Result<Tensor<2>> {
        let width = found.dims()[1];
        let (found, above) = (storage(found.clone())?, above.cloned().map(storage));
        let above = above.transpose()?;
        let above = above
            .as_ref()
            .map(|above| slice::<f32>(above))
            .transpose()?;
        let chosen = levels::frontier(slice(&found)?, width, above);
        Ok(matrix(chosen, 1, &self.device))
    }

    fn descend(
        &self,
        level: &Level<'_>,
        chosen: &Tensor<2>,
        ids: Option<&Tensor<2>>,
        rows: &mut Rows<'_>,
    ) -> Result<Tensor<2>> {
        let width = level.found.dims()[1];
        let (found, chosen) = (storage(level.found.clone())?, storage(chosen.clone())?);
        let ids = ids.cloned().map(storage).transpose()?;
        let ids = ids.as_ref().map(|ids| slice::<f32>(ids)).transpose()?;
        let found = (slice(&found)?, width);
        let parents = levels::settle(rows, level.rows, found, slice(&chosen)?, ids);
        self.select(level.outputs, &parents)
    }

    fn rank(&self, grown: &Tensor<2>, ids: Option<&Tensor<2>>) -> Result<Tensor<2>> {
        let width = grown.dims()[1];
        let (grown, ids) = (storage(grown.clone())?, ids.cloned().map(storage));
        let ids = ids.transpose()?;
        let ids = ids.as_ref().map(|ids| slice::<f32>(ids)).transpose()?;
        let ranked = ranking::rank(slice(&grown)?, width, ids);
        Ok(matrix(ranked, ranking::RANKED, &self.device))
    }

    fn settle(&self, ranked: &Tensor<2>, rows: &mut Rows<'_>) -> Result<()> {
        ranking::settle(slice(&storage(ranked.clone())?)?, rows);
        Ok(())
    }
}
