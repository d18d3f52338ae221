//! Weights as operations see them.

use std::any::Any;
use std::fmt;
use std::sync::Arc;

use burn::tensor::Tensor;

use crate::error::{Error, Result};
use crate::weights::{Dtype, Matrix};

/// A matrix `[outputs, inputs]` in a device's own layout, opaque to everyone else.
/// Cloning shares the data.
#[derive(Clone)]
pub struct Weight {
    /// Rows: the width of the result.
    pub outputs: usize,
    /// Columns: the width of the input.
    pub inputs: usize,
    /// How the values are stored.
    pub dtype: Dtype,
    /// Bytes that a forward pass reads.
    pub bytes: usize,
    packed: Arc<dyn Any + Send + Sync>,
}

impl Weight {
    /// Wraps what a device made of a matrix.
    pub fn new(
        outputs: usize,
        inputs: usize,
        dtype: Dtype,
        bytes: usize,
        packed: impl Any + Send + Sync,
    ) -> Self {
        Self {
            outputs,
            inputs,
            dtype,
            bytes,
            packed: Arc::new(packed),
        }
    }

    /// The device's own layout.
    ///
    /// # Errors
    /// The weight was packed by another device.
    pub fn packed<T: Any>(&self) -> Result<&T> {
        self.packed
            .downcast_ref()
            .ok_or_else(|| Error::Device("a weight was packed for another device".into()))
    }
}

impl fmt::Debug for Weight {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "Weight[{}, {}] {}",
            self.outputs, self.inputs, self.dtype
        )
    }
}

/// A weight with its optional bias, `[outputs]`.
#[derive(Clone, Debug)]
pub struct Linear {
    /// The matrix.
    pub weight: Weight,
    /// Added to every row of the result.
    pub bias: Option<Tensor<1>>,
}

impl From<Weight> for Linear {
    fn from(weight: Weight) -> Self {
        Self { weight, bias: None }
    }
}

/// RMS norm: `x / sqrt(mean(x^2) + epsilon) * weight`.
#[derive(Clone, Debug)]
pub struct Norm {
    /// One factor a column, `[hidden]`.
    pub weight: Tensor<1>,
    /// Added to the mean square.
    pub epsilon: f32,
}

/// The width and dtype that matrices share, as [`super::Ops::pack`] asks.
///
/// # Errors
/// There is no matrix, or they differ.
pub fn same_layout(parts: &[Matrix<'_>]) -> Result<(usize, Dtype)> {
    let layout = |part: &Matrix<'_>| (part.cols, part.dtype);
    match parts.first().map(layout) {
        Some(first) if parts.iter().all(|part| layout(part) == first) => Ok(first),
        _ => Err(Error::Invalid(
            "matrices that are stacked must share their width and dtype".into(),
        )),
    }
}
