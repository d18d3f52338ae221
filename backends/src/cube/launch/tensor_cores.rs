//! What runs on tensor cores.

use cubecl::prelude::*;
use cubecl::server::{Handle, KernelArguments, MetadataBindingInfo};
use eaglet_core::error::{Error, Result};

use super::linear::Buffers;
use super::{Buffer, Layer};
use crate::cube::CubeOps;
use crate::cube::decode::Storage;
use crate::cube::linear::Finish;
use crate::cube::rows::Staged;
use crate::cube::tensor_cores::linear::{Cut, Sizes, Variant};
use crate::cube::tensor_cores::{Program, attention};
use crate::cube::tensors::Kind;

impl<K: Kind> CubeOps<K> {
    /// Whether tensor cores can read a weight: always or never, since they add in an order of
    /// their own. In f16 they read outputs in pairs, gates and what they gate each.
    pub(super) fn suits_tensor_cores(&self, layer: &Layer<'_>) -> bool {
        let weight = layer.weight;
        let streams = if layer.finish == Finish::Gate { 2 } else { 1 };
        let pairs = |outputs: usize| outputs.is_multiple_of(2 * streams);
        let even = weight.parts.iter().all(|part| pairs(part.outputs));
        let readable = even || weight.storage != Storage::Float;
        self.gpu.limits.tensor_cores && weight.half && readable
    }

    /// One dispatch for each part of the weight, of f16 numbers or scales; `cut` says how for so
    /// many sums.
    pub(super) fn on_tensor_cores(
        &self,
        on: &Buffers<'_, K>,
        rows: usize,
        cut: impl Fn(usize) -> Cut,
    ) -> Result<()> {
        let (layer, weight) = (on.layer, on.layer.weight);
        let gate = layer.finish == Finish::Gate;
        let streams = if gate { 2 } else { 1 };
        for part in &weight.parts {
            let variant = Variant {
                storage: weight.storage,
                cut: cut(part.outputs),
                norm: on.norm.is_some(),
                bias: on.bias.is_some(),
                residual: on.residual.is_some(),
                gate,
            };
            let sizes = Sizes {
                rows,
                inputs: weight.inputs,
                outputs: part.outputs,
                first: part.first,
                width: weight.outputs / streams,
                epsilon: layer.norm.map_or(0.0, |norm| norm.epsilon),
            };
            let tiles = rows.div_ceil(variant.rows()) as u32;
            let groups = (part.outputs / streams).div_ceil(variant.results()) as u32;
            let x = &on.x;
            // What the kernel does without may be any buffer.
            let buffers = [
                &x.handle,
                &on.norm.as_ref().unwrap_or(x).handle,
                &part.packets,
                part.scales.as_ref().unwrap_or(&part.packets),
                &on.bias.as_ref().unwrap_or(x).handle,
                &on.residual.as_ref().unwrap_or(x).handle,
                &on.y.handle,
            ];
            let count = CubeCount::new_3d(tiles, groups, variant.cluster() as u32);
            self.launch_program(Program::Linear(variant), count, &buffers, sizes.words())?;
        }
        Ok(())
    }

    /// Launches path attention: over queries, keys and values, into `mixed`; `sizes` are rows
    /// and spans of positions.
    pub(in crate::cube) fn attend_on_tensor_cores(
        &self,
        variant: attention::Variant,
        count: CubeCount,
        buffers: [&Buffer<K>; 3],
        staged: &Staged,
        mixed: &Buffer<K>,
        sizes: [usize; 2],
    ) -> Result<()> {
        let [queries, keys, values] = buffers.map(|buffer| &buffer.handle);
        let buffers = [queries, keys, values, &staged.buffer, &mixed.handle];
        let words = sizes.map(|size| size as u64).into();
        self.launch_program(Program::Attention(variant), count, &buffers, words)
    }

    /// Launches a kernel over buffers, with `words` as its last argument.
    fn launch_program(
        &self,
        program: Program,
        count: CubeCount,
        buffers: &[&Handle],
        words: Vec<u64>,
    ) -> Result<()> {
        let kernel = K::tensor_cores(program)
            .ok_or_else(|| Error::Device("this device has no tensor cores".into()))?;
        let buffers = buffers.iter().map(|&handle| handle.clone().binding());
        // All of them are the argument itself; none is a buffer's shape.
        let info = MetadataBindingInfo {
            dynamic_metadata_offset: words.len(),
            data: words,
        };
        let arguments = KernelArguments::new()
            .with_buffers(buffers.collect())
            .with_info(info);
        self.gpu.count_dispatches(1);
        self.gpu.client.launch(kernel, count, arguments);
        Ok(())
    }
}
