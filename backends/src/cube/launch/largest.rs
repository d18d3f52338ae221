//! The largest of each row, and tokens drawn from it.

use std::sync::Arc;

use burn::tensor::Tensor;
use cubecl::prelude::*;
use cubecl::server::Handle;
use eaglet_core::error::Result;
use eaglet_core::ops::Dice;
use eaglet_core::sample::Pick;

use super::whole;
use crate::cube::CubeOps;
use crate::cube::draw::{self, Cut, FOUND};
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
        let found = words.as_chunks().0.iter();
        Ok(found.map(|&found| likeliest(found)).collect())
    }

    pub(in crate::cube) fn staged_dice(&self, dice: &Dice) -> Result<Arc<Handle>> {
        dice.staged(|| {
            let words: Vec<_> = dice.rows().iter().flat_map(draw::words).collect();
            self.gpu.upload(bytemuck::cast_slice(&words))
        })
    }

    pub(in crate::cube) async fn run_draw(
        &self,
        logits: &Tensor<2>,
        dice: &Dice,
    ) -> Result<Vec<Option<Pick>>> {
        dice.check(logits)?;
        let [rows, width] = logits.dims();
        let logits = self.buffer(logits)?;
        let staged = self.staged_dice(dice)?;
        let found = self.gpu.reserve(rows * FOUND * 4)?;
        let units = self.gpu.limits.units;
        self.gpu.count_dispatches(1);
        // SAFETY: a workgroup and a die a row; `FOUND` words of `found` each.
        unsafe {
            draw::draw::launch_unchecked::<K::Runtime>(
                &self.gpu.client,
                CubeCount::new_1d(rows as u32),
                CubeDim::new_1d(units),
                arg(&logits),
                whole(&staged, 4),
                whole(&found, 4),
                width,
                draw::levels(width, units as usize),
                Cut::of(dice.rows(), width),
                units as usize,
            );
        }
        let words = self.words(found).await?;
        let pick = |&[at, value, nan, drawn]: &[u32; FOUND]| {
            likeliest([at, value, nan]).map(|best| Pick { best, drawn })
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

/// The index of a largest logit that is a number.
fn likeliest(found: [u32; 3]) -> Option<u32> {
    match found {
        [index, value, 0] if index != NONE => f32::from_bits(value).is_finite().then_some(index),
        _ => None,
    }
}
