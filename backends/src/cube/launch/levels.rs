//! Levels of a drafted tree.

use burn::tensor::Tensor;
use cubecl::prelude::*;
use eaglet_core::error::{Error, Result};
use eaglet_core::ops::{Level, Rows, WIDEST};

use super::whole;
use crate::cube::CubeOps;
use crate::cube::levels::{self, BelowLaunch};
use crate::cube::tensors::{Kind, arg};

impl<K: Kind> CubeOps<K> {
    pub(in crate::cube) fn run_frontier(
        &self,
        found: &Tensor<2>,
        above: Option<&Tensor<2>>,
    ) -> Result<Tensor<2>> {
        let [rows, width] = found.dims();
        let (k, items) = (width / 2, rows * width / 2);
        let scored = above.map_or(1, |above| above.dims()[1] / 2);
        if k > WIDEST || rows > scored || items > WIDEST * WIDEST {
            return Err(Error::Device(format!(
                "{rows} rows of {k} candidates are no level of a tree that grows"
            )));
        }
        let found = self.buffer(found)?;
        let above = above.map(|above| self.buffer(above)).transpose()?;
        let chosen = self.room(1, width)?;
        let units = self.gpu.limits.units;
        self.gpu.count_dispatches(1);
        // SAFETY: one workgroup, which has room for all items; rows have scores.
        unsafe {
            levels::frontier::launch_unchecked::<K::Runtime>(
                &self.gpu.client,
                CubeCount::new_1d(1),
                CubeDim::new_1d(units),
                arg(&found),
                arg(above.as_ref().unwrap_or(&found)),
                arg(&chosen),
                k,
                items,
                above.is_none(),
                WIDEST * WIDEST,
                units as usize,
            );
        }
        Ok(K::wrap(chosen))
    }

    pub(in crate::cube) fn run_descend(
        &self,
        level: &Level<'_>,
        chosen: &Tensor<2>,
        ids: Option<&Tensor<2>>,
        rows: &Rows<'_>,
    ) -> Result<Tensor<2>> {
        let ([above, width], [parents, hidden]) = (level.found.dims(), level.outputs.dims());
        let placed = level.rows.map_or(1, Rows::len);
        if above != parents || above != placed || rows.len() > chosen.dims()[1] / 2 {
            return Err(Error::Device(format!(
                "{} rows below {above} with {parents} outputs and {placed} places",
                rows.len()
            )));
        }
        let staged = self.staged(rows)?;
        let before = level.rows.map(|rows| self.staged(rows)).transpose()?;
        let found = self.buffer(level.found)?;
        let chosen = self.buffer(chosen)?;
        let outputs = self.buffer(level.outputs)?;
        let map = ids.map(|ids| self.buffer(ids)).transpose()?;
        let features = self.room(rows.len(), hidden)?;
        let (count, dim) = self.gpu.spread(rows.len() * hidden);
        let below = BelowLaunch::new(
            rows.len(),
            hidden,
            width / 2,
            above * width / 2,
            ids.map_or(0, |ids| ids.dims()[1]),
        );
        let from = before.as_ref().map_or(&found.handle, |rows| &rows.buffer);
        self.gpu.count_dispatches(1);
        // SAFETY: rows and their parents are as many as the buffers hold, places and indices
        // are not looked up beyond the end, and both levels were staged with whole paths.
        unsafe {
            levels::descend::launch_unchecked::<K::Runtime>(
                &self.gpu.client,
                count,
                dim,
                arg(&found),
                arg(&chosen),
                arg(map.as_ref().unwrap_or(&found)),
                arg(&outputs),
                whole(from, 4),
                whole(&staged.buffer, 4),
                arg(&features),
                below,
                ids.is_some(),
                level.rows.is_none(),
            );
        }
        Ok(K::wrap(features))
    }
}
