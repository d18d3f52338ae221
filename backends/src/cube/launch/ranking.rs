//! Trees that grew, and the rows that verify them.

use burn::tensor::Tensor;
use cubecl::prelude::*;
use eaglet_core::error::{Error, Result};
use eaglet_core::ops::Rows;
use eaglet_core::ops::ranking::{MOST, RANKED};

use super::whole;
use crate::cube::CubeOps;
use crate::cube::ranking::{self, GrownLaunch, WORDS};
use crate::cube::tensors::{Kind, arg};

impl<K: Kind> CubeOps<K> {
    pub(in crate::cube) fn run_rank(
        &self,
        grown: &Tensor<2>,
        ids: Option<&Tensor<2>>,
    ) -> Result<Tensor<2>> {
        let [rows, width] = grown.dims();
        let k = width / 2;
        let levels = (rows - 1) / (k + 1);
        let items = k + levels * k * k;
        if rows != 1 + levels * (k + 1) || items > MOST {
            return Err(Error::Device(format!(
                "{rows} rows of {k} candidates are no tree that grew"
            )));
        }
        let grown = self.buffer(grown)?;
        let map = ids.map(|ids| self.buffer(ids)).transpose()?;
        let ranked = self.room(RANKED, WORDS)?;
        let units = self.gpu.limits.units;
        let known = ids.map_or(0, |ids| ids.dims()[1]);
        self.gpu.count_dispatches(1);
        // SAFETY: a workgroup has room for all scores; every rank below `RANKED` is written
        // once, and indices are not looked up beyond the end.
        unsafe {
            ranking::rank::launch_unchecked::<K::Runtime>(
                &self.gpu.client,
                CubeCount::new_1d((items.max(RANKED) as u32).div_ceil(units)),
                CubeDim::new_1d(units),
                arg(&grown),
                arg(map.as_ref().unwrap_or(&grown)),
                arg(&ranked),
                GrownLaunch::new(k, items, known),
                ids.is_some(),
                MOST,
                units as usize,
            );
        }
        Ok(K::wrap(ranked))
    }

    pub(in crate::cube) fn run_settle(&self, ranked: &Tensor<2>, rows: &Rows<'_>) -> Result<()> {
        let nodes = rows.len().saturating_sub(1);
        if ranked.dims() != [RANKED, WORDS] || !(1..=RANKED).contains(&nodes) {
            return Err(Error::Device(format!(
                "{:?} values are not the nodes of {nodes} rows",
                ranked.dims()
            )));
        }
        let staged = self.staged(rows)?;
        let ranked = self.buffer(ranked)?;
        let (count, dim) = self.gpu.spread(nodes);
        self.gpu.count_dispatches(1);
        // SAFETY: there is a row for each node, and a path is written as far as it was staged.
        unsafe {
            ranking::settle::launch_unchecked::<K::Runtime>(
                &self.gpu.client,
                count,
                dim,
                arg(&ranked),
                whole(&staged.buffer, 4),
                nodes,
            );
        }
        Ok(())
    }
}
