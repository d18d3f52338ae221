//! The largest of each row.

use burn::tensor::Tensor;
use cubecl::prelude::*;
use eaglet_core::error::Result;

use super::whole;
use crate::cube::CubeOps;
use crate::cube::largest::{self, NONE};
use crate::cube::tensors::{Kind, arg};

impl<K: Kind> CubeOps<K> {
    pub(in crate::cube) async fn run_argmax(&self, logits: &Tensor<2>) -> Result<Vec<Option<u32>>> {
        let [rows, width] = logits.dims();
        let logits = self.buffer(logits)?;
        let found = self.gpu.reserve(rows * 3 * 4)?;
        let units = self.gpu.limits.units;
        self.gpu.count_dispatches(1);
        // SAFETY: a workgroup a row; three words of `found` each.
        unsafe {
            largest::argmax::launch_unchecked::<K::Runtime>(
                &self.gpu.client,
                CubeCount::new_1d(rows as u32),
                CubeDim::new_1d(units),
                arg(&logits),
                whole(&found, 4),
                width,
                units as usize,
            );
        }
        let words = self.words(found).await?;
        let pick = |found: &[u32; 3]| match *found {
            [index, value, 0] if index != NONE => {
                f32::from_bits(value).is_finite().then_some(index)
            }
            _ => None,
        };
        Ok(words.as_chunks().0.iter().map(pick).collect())
    }

    pub(in crate::cube) fn run_candidates(
        &self,
        logits: &Tensor<2>,
        k: usize,
    ) -> Result<Tensor<2>> {
        let [rows, width] = logits.dims();
        let k = k.clamp(1, width);
        let logits = self.buffer(logits)?;
        let found = self.room(rows, 2 * k)?;
        let units = self.gpu.limits.units;
        self.gpu.count_dispatches(1);
        // SAFETY: a workgroup a row; `2 k` words of `found` each.
        unsafe {
            largest::top_k::launch_unchecked::<K::Runtime>(
                &self.gpu.client,
                CubeCount::new_1d(rows as u32),
                CubeDim::new_1d(units),
                arg(&logits),
                whole(&found.handle, 4),
                width,
                k,
                units as usize,
            );
        }
        Ok(K::wrap(found))
    }
}
