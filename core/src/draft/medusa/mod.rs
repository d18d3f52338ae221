//! Medusa: heads that each guess one token further ahead, from one feature.
//!
//! Cai et al., "Medusa: Simple LLM Inference Acceleration Framework with Multiple
//! Decoding Heads" (2024). Head i sees the target's feature at position p, after the
//! final norm, and guesses the token at p + i + 2; the target itself gives the one at
//! p + 1, the root of the tree. So p is the position before the root's. What a head
//! guesses does not depend on what the others did: all nodes of one depth have the same
//! candidates.

mod best_first;
mod drafter;
mod load;

pub use drafter::Medusa;
pub use load::load_medusa;

use std::sync::Arc;

use burn::tensor::{Tensor, activation};

use crate::error::Result;
use crate::model::Features;
use crate::ops::{Linear, Norm, Ops};

/// The networks of all heads; `hidden` and `vocab` are the target's.
pub struct MedusaHeads {
    ops: Arc<dyn Ops>,
    heads: Vec<Head>,
    /// The target's, which makes its features.
    final_norm: Norm,
    /// The target's, for heads that have no output layer of their own.
    shared: Linear,
}

/// One head.
struct Head {
    /// `x + silu(W x + b)`, one after the other; `[hidden, hidden]` each.
    blocks: Vec<Linear>,
    /// `[vocab, hidden]`
    output: Option<Linear>,
}

impl MedusaHeads {
    /// How many there are: how deep a tree can be.
    pub fn count(&self) -> usize {
        self.heads.len()
    }

    /// One row of what the target left, as the heads take it: `[1, hidden]`.
    ///
    /// # Errors
    /// The device failed.
    pub fn feature(&self, features: &Features, row: u32) -> Result<Tensor<2>> {
        let last = self.ops.select(&features.last, &[row])?;
        self.ops.norm(&last, &self.final_norm)
    }

    /// Every head's logits after a feature (`[1, hidden]`): `[heads, vocab]`.
    ///
    /// # Errors
    /// The device failed.
    pub fn logits(&self, feature: &Tensor<2>) -> Result<Tensor<2>> {
        let states = self.heads.iter().map(|head| self.state(head, feature));
        let states: Vec<_> = states.collect::<Result<_>>()?;
        if self.heads.iter().all(|head| head.output.is_none()) {
            // The target's head is read once for all.
            let states = self.ops.concat(&states, 0)?;
            return self.ops.norm_linear(&states, None, &self.shared);
        }
        let outputs = self.heads.iter().map(|head| head.output.as_ref());
        let logits = states.iter().zip(outputs).map(|(state, output)| {
            let output = output.unwrap_or(&self.shared);
            self.ops.norm_linear(state, None, output)
        });
        let logits: Vec<_> = logits.collect::<Result<_>>()?;
        self.ops.concat(&logits, 0)
    }

    /// A head's residual blocks: `[1, hidden]` to the same.
    fn state(&self, head: &Head, feature: &Tensor<2>) -> Result<Tensor<2>> {
        let mut x = feature.clone();
        for block in &head.blocks {
            x = x.clone() + activation::silu(self.ops.norm_linear(&x, None, block)?);
        }
        Ok(x)
    }
}
