//! GPUs: burn's CubeCL tensors, with fused operations of our own over their buffers.
//!
//! Kernels are written once, in Rust that CubeCL compiles at run time: to WGSL for wgpu and
//! to CUDA C++ for NVIDIA. All are row-invariant (see `eaglet_core::ops`).

mod attention;
mod bandwidth;
mod decode;
mod draw;
mod gather;
mod gpu;
mod largest;
mod launch;
mod levels;
mod linear;
#[cfg(all(test, feature = "cuda", target_os = "linux"))]
mod nvrtc;
mod ranking;
mod recordings;
mod rotary;
mod rows;
#[cfg(feature = "cuda")]
mod tensor_cores;
mod tensors;
mod weight;

use std::sync::{Arc, Mutex, PoisonError};

use burn::tensor::{DType, Device, Tensor};
use eaglet_core::error::{Error, Result};
use eaglet_core::ops::{
    Async, Counters, Dice, HeadNorms, Heads, KvLayer, Level, Linear, Norm, Ops, Pass, Recorded,
    Reference, Rotary, Rows, Weight, same_layout,
};
use eaglet_core::sample::Pick;
use eaglet_core::weights::Matrix;

use crate::Kinds;
use gpu::Gpu;
pub use gpu::{Fault, Limits};
use launch::Layer;
use linear::Finish;
use rows::Staged;
pub use tensors::*;
use weight::Packed;

/// Fused operations on one GPU.
pub struct CubeOps<K: Kind> {
    device: Device,
    gpu: Gpu<K::Runtime>,
    made: Mutex<Kinds>,
}

impl<K: Kind> CubeOps<K> {
    /// Operations on a device of burn's. `software` says that a processor plays the GPU,
    /// which wants other sizes; `fault` is where the driver's complaints arrive.
    pub fn new(device: RuntimeDevice<K>, software: bool, fault: Fault) -> Self {
        Self {
            device: K::device(&device),
            gpu: Gpu::new(device, software, fault),
            made: Mutex::default(),
        }
    }

    /// The kinds of weights and caches that were made so far, whose kernels a model may run.
    pub fn made(&self) -> Kinds {
        self.made
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    fn note(&self, made: impl FnOnce(&mut Kinds)) {
        made(&mut self.made.lock().unwrap_or_else(PoisonError::into_inner));
    }

    /// What kernels are cut to.
    pub fn limits(&self) -> Limits {
        self.gpu.limits
    }

    /// The same operations, layers and attention on tensor cores: of NVIDIA GPUs of compute
    /// capability 8.0 and later, with `clusters` of 9.0 and later.
    #[cfg(feature = "cuda")]
    pub(crate) fn with_tensor_cores(mut self, clusters: bool) -> Self {
        self.gpu.limits.tensor_cores = true;
        self.gpu.limits.clusters = clusters;
        self
    }

    /// The same operations, each pass launched anew.
    #[cfg(not(target_family = "wasm"))]
    pub(crate) fn without_recordings(mut self) -> Self {
        self.gpu.limits.records = false;
        self
    }

    /// The same operations, with weights cut into pieces of at most `bytes`.
    #[cfg(test)]
    pub(crate) fn in_pieces(mut self, bytes: usize) -> Self {
        self.gpu.limits.piece = bytes;
        self
    }

    /// For what has no kernel here: head sizes that are not multiples of four.
    fn reference(&self) -> Reference {
        self.gpu.count_fallback();
        Reference(self.device.clone())
    }

    /// The cache's dtype on this device.
    fn cache_dtype(&self, wanted: DType) -> DType {
        match self.gpu.limits.half {
            true => wanted,
            false => DType::F32,
        }
    }

    fn staged(&self, rows: &Rows<'_>) -> Result<Arc<Staged>> {
        rows.staged(|| Staged::new(&self.gpu, rows))
    }
}

/// What a device's failure to make a buffer means; a device that is gone, or a limit that is
/// named already, is no lack of room.
fn no_room(error: Error, told: impl FnOnce(String) -> String) -> Error {
    match error {
        Error::Device(error) => Error::Device(told(error)),
        other => other,
    }
}

impl<K: Kind> Ops for CubeOps<K> {
    fn device(&self) -> &Device {
        &self.device
    }

    fn counters(&self) -> Counters {
        self.gpu.counters()
    }

    fn reads_dearly(&self) -> bool {
        // In a browser always: results come by way of another process.
        !self.gpu.limits.software || cfg!(target_family = "wasm")
    }

    fn draws(&self) -> bool {
        true
    }

    fn warm_up(&self) -> usize {
        match self.gpu.limits.records && !self.gpu.limits.software {
            true => recordings::OFTEN,
            false => 1,
        }
    }

    fn memory(&self) -> Option<u64> {
        let usage = self.gpu.client.memory_usage();
        usage.ok().map(|usage| usage.bytes_in_use)
    }

    fn pack(&self, parts: &[Matrix<'_>]) -> Result<Weight> {
        let (inputs, dtype) = same_layout(parts)?;
        self.gpu.recover();
        let packed = Packed::new(&self.gpu, parts, dtype, inputs).and_then(|packed| {
            self.gpu.check_made(packed.buffers())?;
            Ok(packed)
        });
        let packed = packed.map_err(|error| {
            let bytes: usize = parts.iter().map(|part| part.bytes.len()).sum();
            no_room(error, |error| {
                format!(
                    "no room for a weight of {bytes} bytes beside {} in use: take a smaller \
                     model or --dtype, or use --device cpu ({error})",
                    self.memory().unwrap_or(0)
                )
            })
        })?;
        self.note(|made| made.add_weights(dtype));
        let (outputs, bytes) = (packed.outputs, packed.bytes());
        Ok(Weight::new(outputs, inputs, dtype, bytes, packed))
    }

    fn kv_layer(&self, slots: usize, heads: Heads, dtype: DType) -> Result<KvLayer> {
        let dtype = self.cache_dtype(dtype);
        self.note(|made| made.add_cache(heads, dtype));
        self.gpu.recover();
        let bytes = slots.saturating_mul(heads.kv * heads.dim * dtype.size());
        self.gpu.check_binding(bytes)?;
        let zeros = || self.zeros([slots, heads.kv, heads.dim], dtype);
        let layer = KvLayer {
            keys: zeros()?,
            values: zeros()?,
        };
        let buffers = [
            self.buffer(&layer.keys)?.handle,
            self.buffer(&layer.values)?.handle,
        ];
        self.gpu.check_made(buffers).map_err(|error| {
            no_room(error, |error| {
                format!(
                    "no room for a layer's cache, twice {bytes} bytes: ask for a smaller \
                     context ({error})"
                )
            })
        })?;
        Ok(layer)
    }

    fn stage(&self, rows: &Rows<'_>) -> Result<()> {
        self.staged(rows).map(drop)
    }

    fn embed(&self, table: &Weight, tokens: &[u32]) -> Result<Tensor<2>> {
        self.run_embed(table.packed()?, tokens)
    }

    fn embed_rows(&self, table: &Weight, rows: &Rows<'_>) -> Result<Tensor<2>> {
        self.run_embed_rows(table.packed()?, rows)
    }

    fn norm(&self, x: &Tensor<2>, norm: &Norm) -> Result<Tensor<2>> {
        match x.dims()[1].is_multiple_of(4) {
            true => self.run_norm(x, norm),
            false => self.reference().norm(x, norm),
        }
    }

    fn norm_linear(
        &self,
        x: &Tensor<2>,
        norm: Option<&Norm>,
        linear: &Linear,
    ) -> Result<Tensor<2>> {
        let layer = Layer {
            norm,
            weight: linear.weight.packed()?,
            bias: linear.bias.as_ref(),
            residual: None,
            finish: Finish::Store,
        };
        self.run_linear(x, &layer)
    }

    fn linear_add(&self, x: &Tensor<2>, linear: &Linear, residual: Tensor<2>) -> Result<Tensor<2>> {
        let layer = Layer {
            norm: None,
            weight: linear.weight.packed()?,
            bias: linear.bias.as_ref(),
            residual: Some(&residual),
            finish: Finish::Store,
        };
        self.run_linear(x, &layer)
    }

    fn norm_gate_up(&self, x: &Tensor<2>, norm: &Norm, gate_up: &Weight) -> Result<Tensor<2>> {
        let weight: &Packed = gate_up.packed()?;
        let mut layer = Layer {
            norm: Some(norm),
            weight,
            bias: None,
            residual: None,
            finish: Finish::Gate,
        };
        if weight.parts.len() == 1 {
            return self.run_linear(x, &layer);
        }
        // Gate and up are in different buffers: take the product apart from the layer.
        layer.finish = Finish::Store;
        let both = self.run_linear(x, &layer)?;
        self.run_gate(&both)
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
        let staged = self.staged(rows)?;
        self.run_rotate(&qkv, heads, rotary, norms, cache, &staged)
    }

    fn path_attention(
        &self,
        queries: &Tensor<2>,
        heads: Heads,
        cache: &KvLayer,
        rows: &Rows<'_>,
    ) -> Result<Tensor<2>> {
        if !heads.dim.is_multiple_of(4) {
            return self.reference().path_attention(queries, heads, cache, rows);
        }
        let staged = self.staged(rows)?;
        self.run_attention(queries, heads, cache, &staged)
    }

    fn select(&self, x: &Tensor<2>, chosen: &[u32]) -> Result<Tensor<2>> {
        Ok(self.run_select(&[x], chosen)?.swap_remove(0))
    }

    fn select_each(&self, all: &[Tensor<2>], chosen: &[u32]) -> Result<Vec<Tensor<2>>> {
        self.run_select(&all.iter().collect::<Vec<_>>(), chosen)
    }

    fn concat(&self, parts: &[Tensor<2>], axis: usize) -> Result<Tensor<2>> {
        self.run_concat(parts, axis)
    }

    fn argmax<'a>(&'a self, logits: &'a Tensor<2>) -> Async<'a, Vec<Option<u32>>> {
        Box::pin(self.run_argmax(logits))
    }

    fn stage_dice(&self, dice: &Dice) -> Result<()> {
        self.staged_dice(dice).map(drop)
    }

    fn draw<'a>(&'a self, logits: &'a Tensor<2>, dice: &'a Dice) -> Async<'a, Vec<Option<Pick>>> {
        Box::pin(self.run_draw(logits, dice))
    }

    fn candidates(&self, logits: &Tensor<2>, k: usize) -> Result<Tensor<2>> {
        self.run_candidates(logits, k)
    }

    fn frontier(&self, found: &Tensor<2>, above: Option<&Tensor<2>>) -> Result<Tensor<2>> {
        self.run_frontier(found, above)
    }

    fn places(&self, places: &[u32]) -> Result<Tensor<2>> {
        self.upload_rows(&eaglet_core::ops::levels::places(places), 1)
    }

    fn descend(
        &self,
        level: &Level<'_>,
        chosen: &Tensor<2>,
        ids: Option<&Tensor<2>>,
        rows: &mut Rows<'_>,
    ) -> Result<Tensor<2>> {
        self.run_descend(level, chosen, ids, rows)
    }

    fn rank(&self, grown: &Tensor<2>, ids: Option<&Tensor<2>>) -> Result<Tensor<2>> {
        self.run_rank(grown, ids)
    }

    fn settle(&self, ranked: &Tensor<2>, rows: &mut Rows<'_>) -> Result<()> {
        self.run_settle(ranked, rows)
    }

    fn draw_settled<'a>(
        &'a self,
        logits: &'a Tensor<2>,
        dice: Option<&'a Dice>,
        ranked: &'a Tensor<2>,
    ) -> Async<'a, (Vec<Option<Pick>>, Vec<f32>)> {
        Box::pin(self.run_draw_settled(logits, dice, ranked))
    }

    fn repeat(
        &self,
        recorded: &mut Recorded,
        inputs: &[Tensor<2>],
        rows: &mut [Rows<'_>],
        pass: &mut Pass<'_>,
    ) -> Result<Vec<Tensor<2>>> {
        self.run_repeat(recorded.of(), inputs, rows, pass)
    }

    fn read(&self, x: Tensor<2>) -> Async<'_, Vec<f32>> {
        Box::pin(self.run_read(x))
    }
}
