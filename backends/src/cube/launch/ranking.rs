//! Trees that grew, and the rows that verify them.

use burn::tensor::Tensor;
use cubecl::prelude::*;
use eaglet_core::error::{Error, Result};
use eaglet_core::ops::Rows;
use eaglet_core::ops::ranking::{MOST, RANKED, WIDTH};

use super::whole;
use crate::cube::CubeOps;
use crate::cube::ranking::{self, GrownLaunch};
use crate::cube::tensors::{Kind, arg};

impl<K: Kind> CubeOps<K> {
    pub(in crate::cube) fn run_rank(
        &self,
        grown: &Tensor<2>,
        ids: Option<&Tensor<2>>,
    ) -> Result<Tensor<2>> {
        let [rows, width] = grown.dims();
        let k = width / 2;
        let levels = rows.saturating_sub(1) / (k + 1);
        let items = k + levels * k * k;
        if k == 0 || rows != 1 + levels * (k + 1) || items > MOST {
            return Err(Error::Device(format!(
                "{rows} rows of {k} candidates are no tree that grew"
            )));
        }
        let grown = self.buffer(grown)?;
        let map = ids.map(|ids| self.buffer(ids)).transpose()?;
        let ranked = self.room(RANKED, WIDTH)?;
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
        check_nodes(ranked, nodes)?;
        // A path from a root to a node has two slots at least.
        let mut paths = rows.positions.iter().zip(&rows.prefixes).skip(1);
        if paths.any(|(position, prefix)| position <= prefix) {
            return Err(Error::Device(
                "a row of a node has no room for its path".into(),
            ));
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

/// Whether these are ranks, and some for each of so many rows.
pub(super) fn check_nodes(ranked: &Tensor<2>, rows: usize) -> Result<()> {
    match ranked.dims() == [RANKED, WIDTH] && rows <= RANKED {
        true => Ok(()),
        false => Err(Error::Device(format!(
            "{:?} values are not the nodes of {rows} rows",
            ranked.dims()
        ))),
    }
}
