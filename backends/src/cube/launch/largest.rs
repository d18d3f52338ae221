//! The largest of each row, and tokens drawn from it.

use std::sync::Arc;

use burn::tensor::Tensor;
use cubecl::prelude::*;
use cubecl::server::Handle;
use eaglet_core::error::{Error, Result};
use eaglet_core::ops::Dice;
use eaglet_core::sample::Pick;

use super::ranking::check_nodes;
use super::whole;
use crate::cube::CubeOps;
use crate::cube::draw::{self, Cut, FOUND};
use crate::cube::largest::{self, NONE};
use crate::cube::tensors::{Kind, arg};

impl<K: Kind> CubeOps<K> {
    pub(in crate::cube) async fn run_argmax(&self, logits: &Tensor<2>) -> Result<Vec<Option<u32>>> {
        let words = self.words(self.find_largest(logits)?).await?;
        Ok(largest_of(&words).collect())
    }

    /// Three words a row, for [`likeliest`].
    fn find_largest(&self, logits: &Tensor<2>) -> Result<Handle> {
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
        Ok(found)
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
        let words = self.words(self.draw_tokens(logits, dice, None)?).await?;
        Ok(drawn_of(&words).collect())
    }

    pub(in crate::cube) async fn run_draw_settled(
        &self,
        logits: &Tensor<2>,
        dice: Option<&Dice>,
        ranked: &Tensor<2>,
    ) -> Result<(Vec<Option<Pick>>, Vec<f32>)> {
        check_nodes(ranked, logits.dims()[0].saturating_sub(1))?;
        if dice.is_some_and(|dice| dice.rows().is_empty()) {
            return Err(Error::Device("no dice to draw with".into()));
        }
        let found = match dice {
            Some(dice) => self.draw_tokens(logits, dice, Some(ranked))?,
            None => self.find_largest(logits)?,
        };
        let nodes = self.buffer(ranked)?.handle;
        let [found, nodes] = self.words_of([found, nodes]).await?;
        let picks = match dice {
            Some(_) => drawn_of(&found).collect(),
            None => largest_of(&found)
                .map(|id| id.map(Pick::likeliest))
                .collect(),
        };
        Ok((picks, nodes.into_iter().map(f32::from_bits).collect()))
    }

    /// [`FOUND`] words a row. The dice are the rows' or, where they are those of `ranked` nodes,
    /// each depth's.
    fn draw_tokens(
        &self,
        logits: &Tensor<2>,
        dice: &Dice,
        ranked: Option<&Tensor<2>>,
    ) -> Result<Handle> {
        let [rows, width] = logits.dims();
        let logits = self.buffer(logits)?;
        let ranked = ranked.map(|ranked| self.buffer(ranked)).transpose()?;
        let staged = self.staged_dice(dice)?;
        let found = self.gpu.reserve(rows * FOUND * 4)?;
        let units = self.gpu.limits.units;
        self.gpu.count_dispatches(1);
        // SAFETY: a workgroup and a die a row, or a depth; `FOUND` words of `found` each.
        unsafe {
            draw::draw::launch_unchecked::<K::Runtime>(
                &self.gpu.client,
                CubeCount::new_1d(rows as u32),
                CubeDim::new_1d(units),
                arg(&logits),
                whole(&staged, 4),
                arg(ranked.as_ref().unwrap_or(&logits)),
                whole(&found, 4),
                width,
                dice.rows().len(),
                draw::levels(width, units as usize),
                Cut::of(dice.rows(), width),
                ranked.is_some(),
                units as usize,
            );
        }
        Ok(found)
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

/// What [`largest`] left of each row.
fn largest_of(words: &[u32]) -> impl Iterator<Item = Option<u32>> {
    words.as_chunks().0.iter().map(|&found| likeliest(found))
}

/// What [`draw`] left of each row.
fn drawn_of(words: &[u32]) -> impl Iterator<Item = Option<Pick>> {
    let rows = words.as_chunks().0.iter();
    rows.map(|&[at, value, nan, drawn]: &[u32; FOUND]| {
        likeliest([at, value, nan]).map(|best| Pick { best, drawn })
    })
}

/// The index of a largest logit that is a number.
fn likeliest(found: [u32; 3]) -> Option<u32> {
    match found {
        [index, value, 0] if index != NONE => f32::from_bits(value).is_finite().then_some(index),
        _ => None,
    }
}
