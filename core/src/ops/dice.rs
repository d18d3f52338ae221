//! What the tokens of rows are drawn with.

use std::any::Any;
use std::sync::Arc;

use burn::tensor::Tensor;

use super::staged::Staged;
use crate::error::{Error, Result};
use crate::sample::Die;

/// A [`Die`] for each row, for [`Ops::draw`](super::Ops::draw).
#[derive(Clone, Debug, Default)]
pub struct Dice {
    rows: Vec<Die>,
    staged: Staged,
}

impl Dice {
    /// Dice for rows, in their order.
    pub fn new(rows: Vec<Die>) -> Self {
        Self {
            rows,
            staged: Staged::default(),
        }
    }

    /// The die of each row.
    pub fn rows(&self) -> &[Die] {
        &self.rows
    }

    /// Whether there is one for each row of logits.
    ///
    /// # Errors
    /// There is not.
    pub fn check(&self, logits: &Tensor<2>) -> Result<()> {
        let (dice, rows) = (self.rows.len(), logits.dims()[0]);
        match dice == rows {
            true => Ok(()),
            false => Err(Error::Device(format!("{dice} dice for {rows} rows"))),
        }
    }

    /// The form that a device gives to them: see [`Rows::staged`](super::Rows::staged).
    ///
    /// # Errors
    /// Those of `make`.
    pub fn staged<T: Any + Send + Sync>(&self, make: impl FnOnce() -> Result<T>) -> Result<Arc<T>> {
        self.staged.get(make)
    }
}
