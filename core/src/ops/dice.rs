//! What the tokens of rows are drawn with.

use std::any::Any;
use std::sync::Arc;

use super::staged::Staged;
use crate::error::Result;
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

    /// The form that a device gives to them: see [`Rows::staged`](super::Rows::staged).
    ///
    /// # Errors
    /// Those of `make`.
    pub fn staged<T: Any + Send + Sync>(&self, make: impl FnOnce() -> Result<T>) -> Result<Arc<T>> {
        self.staged.get(make)
    }
}
