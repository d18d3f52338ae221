//! The numbers of a transformer of the LLaMA family, whatever file they came from.

use crate::ops::Heads;

/// Architecture and sizes, checked for sense by the reader that made it.
#[derive(Clone, Debug, PartialEq)]
pub struct ModelConfig {
    /// The architecture by its common name: `llama`, `mistral`, `qwen2`, `qwen3`.
    pub architecture: String,
    /// Width of the residual stream.
    pub hidden: usize,
    /// Width of the feed-forward block.
    pub intermediate: usize,
    /// Number of decoder layers.
    pub layers: usize,
    /// Query heads.
    pub heads: usize,
    /// Key and value heads; divides `heads`.
    pub kv_heads: usize,
    /// Dimensions of one head; even. Not always `hidden / heads` (Qwen3).
    pub head_dim: usize,
    /// Token ids run from 0 to `vocab - 1`.
    pub vocab: usize,
    /// Positions that the model was trained for.
    pub context: usize,
    /// Added to the mean square in every RMS norm.
    pub norm_epsilon: f32,
    /// Base of the rotary frequencies.
    pub rope_theta: f64,
    /// How rotary angles are stretched beyond the trained context.
    pub rope_scaling: RopeScaling,
}

/// Stretching of rotary angles. A reader refuses kinds that are not listed here.
#[derive(Clone, Debug, PartialEq)]
pub enum RopeScaling {
    /// Angles as trained.
    None,
    /// Positions divided by a factor.
    Linear {
        /// The divisor.
        factor: f64,
    },
    /// LLaMA 3.1: low frequencies divided by `factor`, high ones kept, a ramp between.
    Llama3 {
        /// Divisor of the lowest frequencies.
        factor: f64,
        /// Wavelengths above `original_context / low_freq_factor` are divided.
        low_freq_factor: f64,
        /// Wavelengths below `original_context / high_freq_factor` are kept.
        high_freq_factor: f64,
        /// The context before stretching.
        original_context: usize,
    },
}

impl ModelConfig {
    /// How attention splits its rows.
    pub fn attention_heads(&self) -> Heads {
        Heads {
            query: self.heads,
            kv: self.kv_heads,
            dim: self.head_dim,
        }
    }

    /// Width of all query heads together.
    pub fn query_width(&self) -> usize {
        self.heads * self.head_dim
    }

    /// Width of all key (or value) heads together.
    pub fn kv_width(&self) -> usize {
        self.kv_heads * self.head_dim
    }
}
