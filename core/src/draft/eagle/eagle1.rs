//! The head of EAGLE-1 and EAGLE-2.

use burn::tensor::Tensor;

use super::layer::Layer;
use super::{DraftIds, Head};
use crate::error::Result;
use crate::model::Features;
use crate::ops::{Heads, KvLayer, Linear, Norm, Rows, Weight};

/// Regresses the target's last feature, after its final norm; drafts with its head.
pub struct Eagle1 {
    pub(super) layer: Layer,
    /// From embedding and feature, in this order, to the layer: `[hidden, 2 * hidden]`.
    pub(super) fc: Linear,
    pub(super) embedding: Weight,
    /// The target's, which makes its features.
    pub(super) final_norm: Norm,
    /// The target's.
    pub(super) head: Linear,
}

impl Head for Eagle1 {
    fn taps(&self) -> &[usize] {
        &[]
    }

    fn heads(&self) -> Heads {
        self.layer.heads
    }

    fn fuse(&self, features: &Features) -> Result<Tensor<2>> {
        self.layer.ops.norm(&features.last, &self.final_norm)
    }

    fn embedding(&self) -> &Weight {
        &self.embedding
    }

    fn pass(
        &self,
        features: &Tensor<2>,
        embedded: Tensor<2>,
        rows: &Rows<'_>,
        cache: &mut KvLayer,
    ) -> Result<Tensor<2>> {
        let ops = &*self.layer.ops;
        let pairs = ops.concat(&[embedded, features.clone()], 1)?;
        // No norm before attention: the first layer of these heads has none.
        let x = ops.norm_linear(&pairs, None, &self.fc)?;
        self.layer.pass(&x, x.clone(), rows, cache)
    }

    fn logits(&self, outputs: &Tensor<2>) -> Result<Tensor<2>> {
        self.layer.ops.norm_linear(outputs, None, &self.head)
    }

    fn ids(&self) -> Option<&DraftIds> {
        None
    }
}
