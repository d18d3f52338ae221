//! From a file of Medusa heads to their networks.
//!
//! The published layout, `medusa_lm_head.safetensors`, for head i of n blocks:
//!
//! | tensor | shape |
//! |---|---|
//! | `{i}.{0..n}.linear.weight` | `[hidden, hidden]` |
//! | `{i}.{0..n}.linear.bias` | `[hidden]` |
//! | `{i}.{n}.weight` | `[vocab, hidden]` |
//!
//! One extension, for small files: a head without its own `{i}.{n}.weight` uses the
//! target's output head. Heads and blocks are counted; no configuration is read.

use burn::tensor::{Tensor, TensorData};

use super::{Head, MedusaHeads};
use crate::error::{Error, Result};
use crate::model::Transformer;
use crate::ops::Linear;
use crate::weights::{Dtype, NamedTensors};

/// Loads heads for a target; `dtype` is how their matrices are stored.
///
/// # Errors
/// There is no head; or a tensor is missing, unknown, of another shape than the
/// target's, or not finite.
pub fn load_medusa(
    mut file: NamedTensors,
    target: &Transformer,
    dtype: Dtype,
) -> Result<MedusaHeads> {
    // Medusa-2 saves the heads as a part of the model.
    file.rename(|name| Some(name.strip_prefix("medusa_head.").unwrap_or(name).into()))?;
    let mut loader = Loader {
        file,
        target,
        dtype,
    };
    let mut heads = Vec::new();
    while loader.has_block(heads.len(), 0) {
        heads.push(loader.head(heads.len())?);
    }
    if heads.is_empty() {
        return Err(Error::MissingTensor {
            path: loader.file.path().into(),
            name: "0.0.linear.weight".into(),
        });
    }
    loader.file.finish()?;
    Ok(MedusaHeads {
        ops: target.ops().clone(),
        heads,
        final_norm: target.final_norm().clone(),
        shared: target.head().clone(),
    })
}

struct Loader<'a> {
    file: NamedTensors,
    target: &'a Transformer,
    dtype: Dtype,
}

impl Loader<'_> {
    fn has_block(&self, head: usize, block: usize) -> bool {
        let name = format!("{head}.{block}.linear.weight");
        self.file.shape(&name).is_some()
    }

    fn head(&mut self, head: usize) -> Result<Head> {
        let (hidden, vocab) = (self.target.config().hidden, self.target.config().vocab);
        let mut blocks = Vec::new();
        while self.has_block(head, blocks.len()) {
            let name = format!("{head}.{}.linear", blocks.len());
            let mut block = self.matrix(&format!("{name}.weight"), hidden, hidden)?;
            let bias = self.file.vector(&format!("{name}.bias"), hidden)?;
            let device = self.target.ops().device();
            let bias = TensorData::new(bias, [hidden]);
            block.bias = Some(Tensor::from_data(bias, device));
            blocks.push(block);
        }
        let name = format!("{head}.{}.weight", blocks.len());
        let output = match self.file.shape(&name) {
            Some(_) => Some(self.matrix(&name, vocab, hidden)?),
            None => None,
        };
        Ok(Head { blocks, output })
    }

    fn matrix(&mut self, name: &str, rows: usize, cols: usize) -> Result<Linear> {
        let matrix = self.file.matrix(name, [rows, cols], self.dtype)?;
        let packed = self.target.ops().pack(&[matrix])?;
        Ok(packed.into())
    }
}
