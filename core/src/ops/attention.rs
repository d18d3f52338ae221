//! What attention works on: heads, rotations and the cache.

use burn::tensor::Tensor;

use super::Norm;

/// How attention splits a row of queries, keys and values.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Heads {
    /// Query heads.
    pub query: usize,
    /// Key (and value) heads; each serves `query / kv` query heads.
    pub kv: usize,
    /// Dimensions of one head.
    pub dim: usize,
}

/// Rotary position embedding, tabulated, and what precedes it on queries and keys.
#[derive(Clone, Debug)]
pub struct Rotary {
    /// Cosines, `[positions, dim / 2]`.
    pub cos: Tensor<2>,
    /// Sines, `[positions, dim / 2]`.
    pub sin: Tensor<2>,
}

/// RMS norms over each query and each key head, before the rotation (Qwen3).
#[derive(Clone, Debug)]
pub struct HeadNorms {
    /// Over query heads, `[dim]`.
    pub query: Norm,
    /// Over key heads, `[dim]`.
    pub key: Norm,
}

/// One layer's keys and values, `[slots, kv heads, dim]` each, in the cache's dtype.
#[derive(Clone, Debug)]
pub struct KvLayer {
    /// Rotated keys.
    pub keys: Tensor<3>,
    /// Values.
    pub values: Tensor<3>,
}
