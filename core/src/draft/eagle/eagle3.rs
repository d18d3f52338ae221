//! The head of EAGLE-3.

use burn::tensor::Tensor;

use super::layer::Layer;
use super::{DraftIds, Head};
use crate::error::{Error, Result};
use crate::model::Features;
use crate::ops::{Heads, KvLayer, Linear, Norm, Ops, Rows, Weight};

/// Fuses the target's residual stream at three depths, or goes on from the last feature;
/// drafts over a vocabulary of its own.
pub struct Eagle3 {
    pub(super) layer: Layer,
    pub(super) fusion: Fusion,
    pub(super) embedding: Weight,
    pub(super) embedding_norm: Norm,
    pub(super) feature_norm: Norm,
    /// Whether the residual is the normed feature and not the raw one.
    pub(super) norm_before_residual: bool,
    /// Whether outputs go on normed (EAGLE-3.1).
    pub(super) norm_output: bool,
    pub(super) norm: Norm,
    /// `[draft vocab, hidden]`
    pub(super) head: Linear,
    /// `None` where it drafts all of the target's tokens.
    pub(super) ids: Option<DraftIds>,
}

/// What a head makes its features of.
pub(super) enum Fusion {
    /// The residual stream at some depths.
    Taps {
        /// Ascending, as the session hands them over.
        taps: Vec<usize>,
        /// From the taps side by side, low to high, to the layer: `[hidden, taps * target]`.
        fc: Linear,
        /// Before `fc`: one over all taps (`norm_before_fc`) or one for each (`fc_norm`).
        norms: Vec<Norm>,
    },
    /// The target's last feature after its final norm, as EAGLE-1's.
    Last(Norm),
}

impl Fusion {
    fn fuse(&self, features: &Features, ops: &dyn Ops) -> Result<Tensor<2>> {
        let (points, fc, norms) = match self {
            Self::Last(norm) => return ops.norm(&features.last, norm),
            Self::Taps { taps, fc, norms } => (taps, fc, norms),
        };
        if features.taps.len() != points.len() {
            return Err(Error::Invalid(format!(
                "an EAGLE-3 head wants {} taps and got {}",
                points.len(),
                features.taps.len()
            )));
        }
        let taps = match norms.len() {
            n if n == points.len() && n > 1 => {
                let normed = features.taps.iter().zip(norms);
                normed
                    .map(|(t, norm)| ops.norm(t, norm))
                    .collect::<Result<_>>()?
            }
            _ => features.taps.clone(),
        };
        let all = ops.concat(&taps, 1)?;
        let norm = match &norms[..] {
            [norm] => Some(norm),
            _ => None,
        };
        ops.norm_linear(&all, norm, fc)
    }
}

impl Head for Eagle3 {
    fn taps(&self) -> &[usize] {
        match &self.fusion {
            Fusion::Taps { taps, .. } => taps,
            Fusion::Last(_) => &[],
        }
    }

    fn heads(&self) -> Heads {
        self.layer.heads
    }

    fn fuse(&self, features: &Features) -> Result<Tensor<2>> {
        self.fusion.fuse(features, &*self.layer.ops)
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
        let embedded = ops.norm(&embedded, &self.embedding_norm)?;
        let normed = ops.norm(features, &self.feature_norm)?;
        let pairs = ops.concat(&[embedded, normed.clone()], 1)?;
        let residual = match self.norm_before_residual {
            true => normed,
            false => features.clone(),
        };
        let outputs = self.layer.pass(&pairs, residual, rows, cache)?;
        match self.norm_output {
            true => ops.norm(&outputs, &self.norm),
            false => Ok(outputs),
        }
    }

    fn logits(&self, outputs: &Tensor<2>) -> Result<Tensor<2>> {
        let norm = (!self.norm_output).then_some(&self.norm);
        self.layer.ops.norm_linear(outputs, norm, &self.head)
    }

    fn ids(&self) -> Option<&DraftIds> {
        self.ids.as_ref()
    }
}
