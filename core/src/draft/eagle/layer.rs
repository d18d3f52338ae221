//! The decoder layer that all EAGLE heads share; they differ in what enters it.

use std::sync::Arc;

use burn::tensor::Tensor;

use crate::error::Result;
use crate::ops::{Heads, KvLayer, Linear, Norm, Ops, Rotary, Rows, Weight};

/// Attention and feed-forward block of one layer.
pub(super) struct Layer {
    pub ops: Arc<dyn Ops>,
    pub heads: Heads,
    pub rotary: Rotary,
    /// Queries, keys and values stacked.
    pub qkv: Linear,
    pub output: Linear,
    pub feed_forward_norm: Norm,
    pub gate_up: Weight,
    pub down: Linear,
}

impl Layer {
    /// `residual + attention(input)`, then the feed-forward block with its own residual.
    pub fn pass(
        &self,
        input: &Tensor<2>,
        residual: Tensor<2>,
        rows: &Rows<'_>,
        cache: &mut KvLayer,
    ) -> Result<Tensor<2>> {
        let (ops, heads) = (&*self.ops, self.heads);
        let qkv = ops.norm_linear(input, None, &self.qkv)?;
        let queries = ops.rotate_and_cache(qkv, heads, &self.rotary, None, cache, rows)?;
        let mixed = ops.path_attention(&queries, heads, cache, rows)?;
        let x = ops.linear_add(&mixed, &self.output, residual)?;
        let inner = ops.norm_gate_up(&x, &self.feed_forward_norm, &self.gate_up)?;
        ops.linear_add(&inner, &self.down, x)
    }
}
