//! Weights to begin with: the target's own.

use burn::tensor::{Device, Tensor, TensorData};

use super::DraftVocabulary;
use crate::error::{Error, Result};
use crate::model::ModelConfig;
use crate::weights::{Checkpoint, Dtype, Matrix, Role};

/// A checkpoint whose tensors are read in f32.
pub struct Initial<'a> {
    checkpoint: &'a dyn Checkpoint,
    device: Device,
    config: ModelConfig,
}

impl<'a> Initial<'a> {
    /// Reads from the target's file.
    ///
    /// # Errors
    /// Its configuration makes no sense.
    pub fn new(checkpoint: &'a dyn Checkpoint, device: &Device) -> Result<Self> {
        Ok(Self {
            config: checkpoint.config()?,
            checkpoint,
            device: device.clone(),
        })
    }

    /// The target's configuration.
    pub fn config(&self) -> &ModelConfig {
        &self.config
    }

    /// The device that tensors are read to.
    pub fn device(&self) -> &Device {
        &self.device
    }

    /// A tensor of one or two dimensions; a vector becomes one row.
    ///
    /// # Errors
    /// It is missing or damaged.
    pub fn matrix(&self, role: Role) -> Result<Tensor<2>> {
        let view = self.checkpoint.tensor(role)?;
        let view = view.ok_or_else(|| Error::MissingTensor {
            path: self.checkpoint.path().into(),
            name: self.checkpoint.name(role),
        })?;
        let matrix = Matrix::new(self.checkpoint.path(), view, Dtype::F32)?;
        let data = TensorData::new(matrix.to_f32(), [matrix.rows, matrix.cols]);
        Ok(Tensor::from_data(data, &self.device))
    }

    /// The rows of the output head that belong to a part of the vocabulary,
    /// `[draft vocab, hidden]`.
    ///
    /// # Errors
    /// As [`Initial::matrix`].
    pub fn head(&self, vocabulary: &DraftVocabulary) -> Result<Tensor<2>> {
        let head = match self.checkpoint.tensor(Role::Head)? {
            Some(_) => self.matrix(Role::Head)?,
            None => self.matrix(Role::Embedding)?,
        };
        let ids = super::batch::indices(vocabulary.ids(), &self.device);
        Ok(head.select(0, ids))
    }

    /// The target's last layer under the names of a head's own, `prefix` before each.
    /// Where queries, keys and values look at the embedding too (EAGLE-3), they begin
    /// blind to it: `wide` puts zeros before the target's columns.
    ///
    /// # Errors
    /// As [`Initial::matrix`].
    pub fn layer(&self, prefix: &str, wide: bool) -> Result<Vec<(String, Tensor<2>)>> {
        let last = self.config.layers - 1;
        let parts = [
            ("self_attn.q_proj", Role::QueryWeight(last)),
            ("self_attn.k_proj", Role::KeyWeight(last)),
            ("self_attn.v_proj", Role::ValueWeight(last)),
            ("self_attn.o_proj", Role::AttentionOutput(last)),
            ("mlp.gate_proj", Role::Gate(last)),
            ("mlp.up_proj", Role::Up(last)),
            ("mlp.down_proj", Role::Down(last)),
            ("post_attention_layernorm", Role::FeedForwardNorm(last)),
        ];
        let read = |(name, role): (&str, Role)| {
            let mut values = self.matrix(role)?;
            if wide
                && matches!(
                    name,
                    "self_attn.q_proj" | "self_attn.k_proj" | "self_attn.v_proj"
                )
            {
                values = Tensor::cat(vec![values.zeros_like(), values], 1);
            }
            Ok((format!("{prefix}{name}.weight"), values))
        };
        parts.into_iter().map(read).collect()
    }
}
