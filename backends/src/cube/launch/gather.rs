//! Rows of tables and of tensors.

use burn::tensor::Tensor;
use cubecl::prelude::*;
use cubecl::server::Handle;
use eaglet_core::error::{Error, Result};
use eaglet_core::ops::{Norm, Rows};
use half::f16;

use super::whole;
use crate::cube::CubeOps;
use crate::cube::decode::Storage;
use crate::cube::gather::{self, FewLaunch, TableLaunch};
use crate::cube::rows::{FIELDS, TOKEN};
use crate::cube::tensors::{Kind, arg};
use crate::cube::weight::{Packed, Part};

/// Ids in a buffer of words.
struct Ids<'a> {
    buffer: &'a Handle,
    /// Words from one to the next.
    stride: usize,
    /// The word of the first.
    at: usize,
}

/// The same rows as [`gather::Few`] holds them.
fn few(chosen: &[u32]) -> Option<[u32; 2]> {
    let mut bytes = [0; 8];
    if chosen.len() > bytes.len() {
        return None;
    }
    for (byte, &row) in bytes.iter_mut().zip(chosen) {
        *byte = u8::try_from(row).ok()?;
    }
    let (first, others) = bytes.split_at(4);
    let word = |bytes: &[u8]| {
        bytes
            .iter()
            .rev()
            .fold(0, |word, &byte| word << 8 | u32::from(byte))
    };
    Some([word(first), word(others)])
}

fn check(table: &Packed, tokens: &[u32]) -> Result<()> {
    match tokens.iter().find(|&&id| id as usize >= table.outputs) {
        Some(id) => Err(Error::Invalid(format!(
            "token id {id} is not in a table of {}",
            table.outputs
        ))),
        None => Ok(()),
    }
}

impl<K: Kind> CubeOps<K> {
    pub(in crate::cube) fn run_embed(&self, table: &Packed, tokens: &[u32]) -> Result<Tensor<2>> {
        check(table, tokens)?;
        let ids = self.gpu.upload(bytemuck::cast_slice(tokens))?;
        self.embed_ids(table, &ids, tokens.len())
    }

    /// Takes in the rows before anything else of a pass: an upload hands over to the device
    /// what waits, so that a later one would cut the pass in two.
    pub(in crate::cube) fn run_embed_rows(
        &self,
        table: &Packed,
        rows: &Rows<'_>,
    ) -> Result<Tensor<2>> {
        check(table, &rows.tokens)?;
        let staged = self.staged(rows)?;
        let ids = Ids {
            buffer: &staged.buffer,
            stride: FIELDS,
            at: TOKEN,
        };
        self.look_up(table, ids, rows.len())
    }

    /// Rows of a table for `tokens` ids in a buffer. The row of an id that is not in the
    /// table means nothing.
    fn embed_ids(&self, table: &Packed, buffer: &Handle, tokens: usize) -> Result<Tensor<2>> {
        let (stride, at) = (1, 0);
        self.look_up(table, Ids { buffer, stride, at }, tokens)
    }

    fn look_up(&self, table: &Packed, ids: Ids<'_>, tokens: usize) -> Result<Tensor<2>> {
        let y = self.room(tokens, table.inputs)?;
        for part in &table.parts {
            let (count, dim) = self.gpu.spread(tokens * table.packets());
            let Part { first, outputs, .. } = *part;
            let sizes =
                TableLaunch::new(tokens, table.packets(), outputs, first, ids.stride, ids.at);
            let scales = part.scales.as_ref().unwrap_or(&part.packets);
            macro_rules! launch {
                ($weight:ty, $scale:ty) => {
                    // SAFETY: the kernel stays inside the table, whatever the ids are.
                    unsafe {
                        gather::embed::launch_unchecked::<$weight, $scale, K::Runtime>(
                            &self.gpu.client,
                            count,
                            dim,
                            whole(&part.packets, size_of::<$weight>()),
                            whole(scales, size_of::<$scale>()),
                            whole(ids.buffer, 4),
                            arg(&y),
                            sizes,
                            table.storage,
                        )
                    }
                };
            }
            self.gpu.count_dispatches(1);
            match (table.storage, table.half) {
                (Storage::Float, true) => launch!(f16, f16),
                (Storage::Float, false) => launch!(f32, f32),
                (_, true) => launch!(u32, f16),
                (_, false) => launch!(u32, f32),
            }
        }
        Ok(K::wrap(y))
    }

    /// The chosen rows of tensors that have as many. Few are told in the launch itself: an
    /// upload would cut what is queued in two.
    pub(in crate::cube) fn run_select(
        &self,
        all: &[&Tensor<2>],
        chosen: &[u32],
    ) -> Result<Vec<Tensor<2>>> {
        let rows = all.iter().map(|x| x.dims()[0]).min().unwrap_or(0);
        if let Some(row) = chosen.iter().find(|&&row| row as usize >= rows) {
            return Err(Error::Device(format!("row {row} of {rows} was asked for")));
        }
        let few = few(chosen);
        let ids = match few {
            Some(_) => None,
            None => Some(self.gpu.upload(bytemuck::cast_slice(chosen))?),
        };
        let [first, others] = few.unwrap_or_default();
        let select = |x: &&Tensor<2>| {
            let width = x.dims()[1];
            let x = self.buffer(*x)?;
            let y = self.room(chosen.len(), width)?;
            let (count, dim) = self.gpu.spread(chosen.len() * width);
            self.gpu.count_dispatches(1);
            // SAFETY: the chosen rows were checked.
            unsafe {
                gather::select_rows::launch_unchecked::<K::Runtime>(
                    &self.gpu.client,
                    count,
                    dim,
                    arg(&x),
                    whole(ids.as_ref().unwrap_or(&x.handle), 4),
                    arg(&y),
                    FewLaunch::new(first, others),
                    chosen.len(),
                    width,
                    few.is_some(),
                );
            }
            Ok(K::wrap(y))
        };
        all.iter().map(select).collect()
    }

    pub(in crate::cube) fn run_norm(&self, x: &Tensor<2>, norm: &Norm) -> Result<Tensor<2>> {
        let [rows, width] = x.dims();
        let (x, gain) = (self.buffer(x)?, self.buffer(&norm.weight)?);
        let y = self.room(rows, width)?;
        let units = self.gpu.limits.units.min(64);
        self.gpu.count_dispatches(1);
        // SAFETY: a workgroup a row, and a row is `width` values.
        unsafe {
            gather::norm_rows::launch_unchecked::<K::Runtime>(
                &self.gpu.client,
                CubeCount::new_1d(rows as u32),
                CubeDim::new_1d(units),
                arg(&x),
                arg(&gain),
                arg(&y),
                width / 4,
                norm.epsilon,
                units as usize,
            );
        }
        Ok(K::wrap(y))
    }
}
