//! Rows of tables and of tensors.

use burn::tensor::Tensor;
use cubecl::prelude::*;
use cubecl::server::Handle;
use eaglet_core::error::{Error, Result};
use eaglet_core::ops::Norm;
use half::f16;

use super::whole;
use crate::cube::CubeOps;
use crate::cube::decode::Storage;
use crate::cube::gather::{self, TableLaunch};
use crate::cube::tensors::{Kind, arg};
use crate::cube::weight::{Packed, Part};

impl<K: Kind> CubeOps<K> {
    pub(in crate::cube) fn run_embed(&self, table: &Packed, tokens: &[u32]) -> Result<Tensor<2>> {
        if let Some(id) = tokens.iter().find(|&&id| id as usize >= table.outputs) {
            return Err(Error::Invalid(format!(
                "token id {id} is not in a table of {}",
                table.outputs
            )));
        }
        let ids = self.gpu.upload(bytemuck::cast_slice(tokens))?;
        self.embed_ids(table, &ids, tokens.len())
    }

    /// Rows of a table for `tokens` ids in a buffer. The row of an id that is not in the
    /// table means nothing.
    pub(in crate::cube) fn embed_ids(
        &self,
        table: &Packed,
        ids: &Handle,
        tokens: usize,
    ) -> Result<Tensor<2>> {
        let y = self.room(tokens, table.inputs)?;
        for part in &table.parts {
            let (count, dim) = self.gpu.spread(tokens * table.packets());
            let Part { first, outputs, .. } = *part;
            let sizes = TableLaunch::new(tokens, table.packets(), outputs, first);
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
                            whole(ids, 4),
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

    pub(in crate::cube) fn run_select(&self, x: &Tensor<2>, chosen: &[u32]) -> Result<Tensor<2>> {
        let [rows, width] = x.dims();
        if let Some(row) = chosen.iter().find(|&&row| row as usize >= rows) {
            return Err(Error::Device(format!("row {row} of {rows} was asked for")));
        }
        let x = self.buffer(x)?;
        let ids = self.gpu.upload(bytemuck::cast_slice(chosen))?;
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
                whole(&ids, 4),
                arg(&y),
                chosen.len(),
                width,
            );
        }
        Ok(K::wrap(y))
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
