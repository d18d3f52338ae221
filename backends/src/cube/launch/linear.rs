//! Linear layers.

use burn::tensor::Tensor;
use cubecl::prelude::*;
use eaglet_core::error::{Error, Result};
use eaglet_core::ops::Norm;
use half::f16;

use super::{Buffer, whole};
use crate::cube::CubeOps;
use crate::cube::decode::Storage;
use crate::cube::gather;
use crate::cube::gpu::LANES;
use crate::cube::linear::{Finish, Plan, SizesLaunch, linear};
#[cfg(feature = "cuda")]
use crate::cube::tensor_cores::linear::{Cut, Work};
use crate::cube::tensors::{Kind, arg};
use crate::cube::weight::Packed;

/// Rows that one invocation takes on: one alone, a small tree, more.
const TILES: [usize; 3] = [1, 4, 8];

/// A linear layer and what surrounds it.
pub struct Layer<'a> {
    /// What `x` goes through first.
    pub norm: Option<&'a Norm>,
    /// `[outputs, inputs]`
    pub weight: &'a Packed,
    /// `[outputs]`
    pub bias: Option<&'a Tensor<1>>,
    /// Added to the result, of its shape.
    pub residual: Option<&'a Tensor<2>>,
    /// What becomes of the sums.
    pub finish: Finish,
}

/// The same in the device's memory, and room for the result.
pub(super) struct Buffers<'a, K: Kind> {
    pub layer: &'a Layer<'a>,
    pub x: Buffer<K>,
    pub norm: Option<Buffer<K>>,
    pub bias: Option<Buffer<K>>,
    pub residual: Option<Buffer<K>>,
    pub y: Buffer<K>,
}

impl<K: Kind> CubeOps<K> {
    /// On tensor cores where there are some and the weight is of their kind: always or never,
    /// since they add in another order.
    pub(in crate::cube) fn run_linear(
        &self,
        x: &Tensor<2>,
        layer: &Layer<'_>,
    ) -> Result<Tensor<2>> {
        let rows = x.dims()[0];
        let on = self.buffers(x, layer)?;
        #[cfg(feature = "cuda")]
        if self.suits_tensor_cores(layer) {
            let work = |sums| Work {
                storage: layer.weight.storage,
                rows,
                sums,
                gate: layer.finish == Finish::Gate,
                clusters: self.gpu.limits.clusters,
            };
            self.on_tensor_cores(&on, rows, |sums| Cut::new(work(sums)))?;
            return Ok(K::wrap(on.y));
        }
        self.in_lanes(&on, rows);
        Ok(K::wrap(on.y))
    }

    /// The same on tensor cores, cut in a way that other sizes would be.
    #[cfg(all(test, feature = "cuda", target_os = "linux"))]
    pub(in crate::cube) fn run_cut(
        &self,
        x: &Tensor<2>,
        layer: &Layer<'_>,
        cut: Cut,
    ) -> Result<Tensor<2>> {
        let on = self.buffers(x, layer)?;
        self.on_tensor_cores(&on, x.dims()[0], |_| cut)?;
        Ok(K::wrap(on.y))
    }

    /// Where everything lies.
    fn buffers<'a>(&self, x: &Tensor<2>, layer: &'a Layer<'a>) -> Result<Buffers<'a, K>> {
        let [rows, inputs] = x.dims();
        let weight = layer.weight;
        if inputs != weight.inputs {
            return Err(Error::Device(format!(
                "{inputs} columns meet a weight of {}",
                weight.inputs
            )));
        }
        let streams = if layer.finish == Finish::Gate { 2 } else { 1 };
        Ok(Buffers {
            layer,
            x: self.buffer(x)?,
            norm: layer
                .norm
                .map(|norm| self.buffer(&norm.weight))
                .transpose()?,
            bias: layer.bias.map(|bias| self.buffer(bias)).transpose()?,
            residual: layer.residual.map(|r| self.buffer(r)).transpose()?,
            y: self.room(rows, weight.outputs / streams)?,
        })
    }

    /// One dispatch for each part of the weight.
    fn in_lanes(&self, on: &Buffers<'_, K>, rows: usize) {
        let (layer, weight) = (on.layer, on.layer.weight);
        let Buffers {
            x,
            norm,
            bias,
            residual,
            y,
            ..
        } = on;
        let streams = if layer.finish == Finish::Gate { 2 } else { 1 };
        let tile = TILES.into_iter().find(|&t| t >= rows).unwrap_or(TILES[2]);
        let splits = self.gpu.limits.splits;
        let plan = Plan {
            storage: weight.storage,
            rows: tile,
            lanes: LANES as usize,
            splits: splits as usize,
            norm: norm.is_some(),
            bias: bias.is_some(),
            residual: residual.is_some(),
            finish: layer.finish,
        };
        for part in &weight.parts {
            let outputs = part.outputs / streams;
            let tiles = rows.div_ceil(tile) as u32;
            let count = CubeCount::new_2d(tiles, outputs.div_ceil(LANES as usize) as u32);
            let sizes = SizesLaunch::new(
                rows,
                weight.inputs / 4,
                part.outputs,
                part.first,
                weight.outputs / streams,
                layer.norm.map_or(0.0, |norm| norm.epsilon),
            );
            let scales = part.scales.as_ref().unwrap_or(&part.packets);
            macro_rules! launch {
                ($weight:ty, $scale:ty) => {
                    // SAFETY: the kernel stays inside the buffers that the sizes describe.
                    unsafe {
                        linear::launch_unchecked::<$weight, $scale, K::Runtime>(
                            &self.gpu.client,
                            count,
                            CubeDim::new_2d(LANES, splits),
                            arg(x),
                            arg(norm.as_ref().unwrap_or(x)),
                            whole(&part.packets, size_of::<$weight>()),
                            whole(scales, size_of::<$scale>()),
                            arg(bias.as_ref().unwrap_or(x)),
                            arg(residual.as_ref().unwrap_or(x)),
                            arg(y),
                            sizes,
                            plan,
                        )
                    }
                };
            }
            self.gpu.count_dispatches(1);
            match (weight.storage, weight.half) {
                (Storage::Float, true) => launch!(f16, f16),
                (Storage::Float, false) => launch!(f32, f32),
                (_, true) => launch!(u32, f16),
                (_, false) => launch!(u32, f32),
            }
        }
    }

    /// `silu(g) * u` of `[g, u]` side by side.
    pub(in crate::cube) fn run_gate(&self, both: &Tensor<2>) -> Result<Tensor<2>> {
        let [rows, width] = both.dims();
        let both = self.buffer(both)?;
        let y = self.room(rows, width / 2)?;
        let (count, dim) = self.gpu.spread(rows * width / 2);
        self.gpu.count_dispatches(1);
        // SAFETY: the kernel stays inside `[rows, width]`.
        unsafe {
            gather::gate::launch_unchecked::<K::Runtime>(
                &self.gpu.client,
                count,
                dim,
                arg(&both),
                arg(&y),
                rows,
                width / 2,
            );
        }
        Ok(K::wrap(y))
    }
}
