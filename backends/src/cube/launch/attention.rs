//! Rotation, the cache, attention.

use burn::tensor::{DType, Tensor};
use cubecl::prelude::*;
use eaglet_core::error::Result;
use eaglet_core::ops::{HeadNorms, Heads, KvLayer, Rotary};
use half::f16;

use super::{Buffer, whole};
use crate::cube::CubeOps;
use crate::cube::attention::{self, MORE, SPAN};
use crate::cube::rotary;
use crate::cube::rows::Staged;
#[cfg(feature = "cuda")]
use crate::cube::tensor_cores::attention::Variant as Cores;
use crate::cube::tensors::{Kind, arg, packed};

/// Workgroups that do not keep a GPU busy.
const FEW: usize = 512;
/// Bytes that their parts may take; beyond it, which many rows of a long text are, one walks
/// through all spans.
const PARTS: usize = 64 << 20;

impl<K: Kind> CubeOps<K> {
    pub(in crate::cube) fn run_rotate(
        &self,
        qkv: &Tensor<2>,
        heads: Heads,
        rotary: &Rotary,
        norms: Option<&HeadNorms>,
        cache: &mut KvLayer,
        rows: &Staged,
    ) -> Result<Tensor<2>> {
        let count = qkv.dims()[0];
        rows.check_slots(cache.keys.dims()[0])?;
        rows.check_positions(rotary.cos.dims()[0])?;
        let qkv = self.buffer(qkv)?;
        // Rows of angles may lie apart: burn aligns them on some devices.
        let (cos, sin) = (
            K::unwrap(rotary.cos.clone())?,
            K::unwrap(rotary.sin.clone())?,
        );
        let stride = cos.meta.strides()[0];
        let norm = norms.map(|n| Ok((self.buffer(&n.query.weight)?, self.buffer(&n.key.weight)?)));
        let norm = norm.transpose()?;
        let (query_norm, key_norm) = norm.as_ref().map_or((&qkv, &qkv), |(q, k)| (q, k));
        let epsilon = |pick: fn(&HeadNorms) -> f32| norms.map_or(0.0, pick);
        // What may fail comes before the cache is taken apart.
        let queries = self.room(count, heads.query * heads.dim)?;
        let keys = self.owned(cache.keys.extract())?;
        let values = self.owned(cache.values.extract())?;
        let plan = rotary::Plan {
            query: heads.query,
            kv: heads.kv,
            dim: heads.dim,
            norms: norms.is_some(),
        };
        let pairs = (heads.query + 2 * heads.kv) * heads.dim / 2;
        let (cubes, dim) = self.gpu.spread(count * pairs);
        let sizes = rotary::SizesLaunch::new(
            count,
            stride,
            epsilon(|n| n.query.epsilon),
            epsilon(|n| n.key.epsilon),
        );
        macro_rules! launch {
            ($element:ty) => {
                // SAFETY: positions and slots are those of rows that the model checked.
                unsafe {
                    rotary::rotate::launch_unchecked::<$element, K::Runtime>(
                        &self.gpu.client,
                        cubes,
                        dim,
                        arg(&qkv),
                        arg(&cos),
                        arg(&sin),
                        arg(query_norm),
                        arg(key_norm),
                        whole(&rows.buffer, 4),
                        arg(&queries),
                        arg(&keys),
                        arg(&values),
                        sizes,
                        plan,
                    )
                }
            };
        }
        self.gpu.count_dispatches(1);
        match keys.dtype {
            DType::F16 => launch!(f16),
            _ => launch!(f32),
        }
        (cache.keys, cache.values) = (K::wrap(keys), K::wrap(values));
        Ok(K::wrap(queries))
    }

    /// A cache's buffer to write into: its own, or a copy where somebody else holds it too.
    fn owned(&self, tensor: Tensor<3>) -> Result<Buffer<K>> {
        let buffer = packed::<K, 3>(tensor, &self.gpu)?;
        if buffer.can_mut() {
            return Ok(buffer);
        }
        self.gpu.count_move();
        self.copied(&buffer)
    }

    pub(in crate::cube) fn run_attention(
        &self,
        queries: &Tensor<2>,
        heads: Heads,
        cache: &KvLayer,
        rows: &Staged,
    ) -> Result<Tensor<2>> {
        let count = queries.dims()[0];
        rows.check_slots(cache.keys.dims()[0])?;
        let queries = self.buffer(queries)?;
        let (keys, values) = (self.buffer(&cache.keys)?, self.buffer(&cache.values)?);
        let spans = rows.positions.div_ceil(SPAN);
        // A span is whole tiles.
        let tile = 1u32 << self.gpu.limits.units.clamp(1, 64).ilog2();
        let parts = heads.query * spans * (heads.dim + MORE);
        let groups = count * heads.query;
        #[cfg(feature = "cuda")]
        let groups = match self.cores_for(heads, false, keys.dtype) {
            Some(cores) => heads.kv * count.div_ceil(cores.rows()),
            None => groups,
        };
        let room = PARTS.min(self.gpu.limits.binding);
        let few = groups <= FEW && count * parts * 4 <= room;
        let plan = attention::Plan {
            query: heads.query,
            kv: heads.kv,
            dim: heads.dim,
            tile: tile as usize,
            split: spans > 1 && few,
        };
        let (width, depth) = match plan.split {
            true => (parts, spans),
            false => (heads.query * heads.dim, 1),
        };
        let mixed = self.room(count, width)?;
        #[cfg(feature = "cuda")]
        if let Some(variant) = self.cores_for(heads, plan.split, keys.dtype) {
            let groups = count.div_ceil(variant.rows());
            let cubes = CubeCount::new_3d(heads.kv as u32, groups as u32, depth as u32);
            let buffers = [&queries, &keys, &values];
            self.attend_on_tensor_cores(variant, cubes, buffers, rows, &mixed, [count, spans])?;
            return self.joined(mixed, count, spans, rows, plan);
        }
        macro_rules! launch {
            ($element:ty) => {
                // SAFETY: the slots that rows see are slots of the cache.
                unsafe {
                    attention::attend::launch_unchecked::<$element, K::Runtime>(
                        &self.gpu.client,
                        CubeCount::new_3d(heads.query as u32, count as u32, depth as u32),
                        CubeDim::new_1d(tile),
                        arg(&queries),
                        arg(&keys),
                        arg(&values),
                        whole(&rows.buffer, 4),
                        arg(&mixed),
                        plan,
                    )
                }
            };
        }
        self.gpu.count_dispatches(1);
        match keys.dtype {
            DType::F16 => launch!(f16),
            _ => launch!(f32),
        }
        self.joined(mixed, count, spans, rows, plan)
    }

    /// The kernel for tensor cores that attends with such heads, if there is one.
    #[cfg(feature = "cuda")]
    fn cores_for(&self, heads: Heads, split: bool, cache: DType) -> Option<Cores> {
        let has = self.gpu.limits.tensor_cores && cache == DType::F16;
        has.then(|| Cores::new(heads, split)).flatten()
    }

    /// What `count` rows mixed; parts of spans, where they are apart, are merged.
    fn joined(
        &self,
        parts: Buffer<K>,
        count: usize,
        spans: usize,
        rows: &Staged,
        plan: attention::Plan,
    ) -> Result<Tensor<2>> {
        if !plan.split {
            return Ok(K::wrap(parts));
        }
        let mixed = self.room(count, plan.query * plan.dim)?;
        let items = count * plan.query * plan.dim;
        let (cubes, dim) = self.gpu.spread(items);
        self.gpu.count_dispatches(1);
        // SAFETY: `parts` has room for `spans` spans of each row, and no row sees more.
        unsafe {
            attention::join::launch_unchecked::<K::Runtime>(
                &self.gpu.client,
                cubes,
                dim,
                arg(&parts),
                whole(&rows.buffer, 4),
                arg(&mixed),
                items,
                spans,
                plan,
            );
        }
        Ok(K::wrap(mixed))
    }
}
