//! The forward pass.

use std::sync::Arc;

use burn::tensor::Tensor;

use super::ModelConfig;
use crate::cache::KvPool;
use crate::error::{Error, Result};
use crate::ops::{HeadNorms, Linear, Norm, Ops, Rotary, Rows, Weight};
use crate::weights::Dtype;

/// A decoder of the LLaMA family, its weights packed for one device.
pub struct Transformer {
    pub(super) config: ModelConfig,
    pub(super) dtype: Dtype,
    pub(super) ops: Arc<dyn Ops>,
    pub(super) embedding: Weight,
    pub(super) layers: Vec<Layer>,
    pub(super) norm: Norm,
    pub(super) head: Linear,
    pub(super) rotary: Rotary,
    pub(super) context: usize,
}

/// One decoder layer.
pub(super) struct Layer {
    pub attention_norm: Norm,
    /// Queries, keys and values stacked, `[(heads + 2 kv heads) * dim, hidden]`.
    pub qkv: Linear,
    pub head_norms: Option<HeadNorms>,
    pub output: Linear,
    pub feed_forward_norm: Norm,
    /// Gate over up, `[2 * intermediate, hidden]`.
    pub gate_up: Weight,
    pub down: Linear,
}

/// What a forward pass leaves behind for heads and for the next token.
#[derive(Clone, Debug)]
pub struct Features {
    /// The residual stream after the last layer, before the final norm, `[rows, hidden]`.
    pub last: Tensor<2>,
    /// The residual stream where it was asked for, `[rows, hidden]` each: tap i is what
    /// enters layer i, so 0 is the embedding and i + 1 what layer i puts out.
    pub taps: Vec<Tensor<2>>,
}

impl Features {
    /// Of taps at the points `all`, those at the points `wanted`.
    pub fn only(&self, all: &[usize], wanted: &[usize]) -> Self {
        let taps = all.iter().zip(&self.taps);
        let taps = taps.filter(|(point, _)| wanted.contains(point));
        Self {
            last: self.last.clone(),
            taps: taps.map(|(_, tap)| tap.clone()).collect(),
        }
    }

    /// Those of the chosen rows, in that order.
    pub fn rows(&self, ops: &dyn Ops, chosen: &[u32]) -> Result<Self> {
        let all = [std::slice::from_ref(&self.last), &self.taps].concat();
        let mut all = ops.select_each(&all, chosen)?;
        let taps = all.split_off(1);
        let last = all.swap_remove(0);
        Ok(Self { last, taps })
    }
}

impl Transformer {
    /// Architecture and sizes.
    pub fn config(&self) -> &ModelConfig {
        &self.config
    }

    /// How most of the weights are stored.
    pub fn dtype(&self) -> Dtype {
        self.dtype
    }

    /// Positions that this instance can hold: what was asked for at load, at most what
    /// the model was trained for.
    pub fn context(&self) -> usize {
        self.context
    }

    /// The device's operations.
    pub fn ops(&self) -> &Arc<dyn Ops> {
        &self.ops
    }

    /// The token embedding, `[vocab, hidden]`.
    pub fn embedding(&self) -> &Weight {
        &self.embedding
    }

    /// The output head, `[vocab, hidden]`, which follows [`Transformer::final_norm`].
    pub fn head(&self) -> &Linear {
        &self.head
    }

    /// The norm between the last layer and the head.
    pub fn final_norm(&self) -> &Norm {
        &self.norm
    }

    /// Bytes of weights that one forward pass reads.
    pub fn bytes_per_pass(&self) -> usize {
        let layer = |l: &Layer| {
            l.qkv.weight.bytes + l.output.weight.bytes + l.gate_up.bytes + l.down.weight.bytes
        };
        self.layers.iter().map(layer).sum::<usize>() + self.head.weight.bytes
    }

    /// Runs rows through all layers, writing their keys and values into their slots.
    ///
    /// # Errors
    /// A token is not in the vocabulary, a position is beyond the context, or the device
    /// failed.
    pub fn forward(&self, rows: &Rows<'_>, cache: &mut KvPool, taps: &[usize]) -> Result<Features> {
        self.check(rows)?;
        let ops = &*self.ops;
        let heads = self.config.attention_heads();
        let mut tapped = Vec::with_capacity(taps.len());
        let mut x = ops.embed_rows(&self.embedding, rows)?;
        for (index, layer) in self.layers.iter().enumerate() {
            if taps.contains(&index) {
                tapped.push(x.clone());
            }
            let kv = cache.layer(index);
            let qkv = ops.norm_linear(&x, Some(&layer.attention_norm), &layer.qkv)?;
            let norms = layer.head_norms.as_ref();
            let queries = ops.rotate_and_cache(qkv, heads, &self.rotary, norms, kv, rows)?;
            let mixed = ops.path_attention(&queries, heads, kv, rows)?;
            x = ops.linear_add(&mixed, &layer.output, x)?;
            let inner = ops.norm_gate_up(&x, &layer.feed_forward_norm, &layer.gate_up)?;
            x = ops.linear_add(&inner, &layer.down, x)?;
        }
        if taps.contains(&self.layers.len()) {
            tapped.push(x.clone());
        }
        Ok(Features {
            last: x,
            taps: tapped,
        })
    }

    /// [`Transformer::forward`] and [`Transformer::logits`], repeated from what the device
    /// recorded where it can: always with the same taps for one cache, unless
    /// [`KvPool::take_recorded`] was called in between. Both are to be used before the next
    /// pass, which may overwrite them. After an error nothing is recorded. With `ranked` the
    /// rows are settled by it first (see [`Ops::settle`]).
    ///
    /// # Errors
    /// As [`Transformer::forward`].
    pub fn repeat(
        &self,
        rows: Rows<'_>,
        ranked: Option<&Tensor<2>>,
        cache: &mut KvPool,
        taps: &[usize],
    ) -> Result<(Features, Tensor<2>)> {
        // A recording does not look.
        self.check(&rows)?;
        let mut recorded = cache.take_recorded();
        let mut pass = |ranked: &[Tensor<2>], rows: &mut [Rows<'_>]| {
            for ranked in ranked {
                self.ops.settle(ranked, &mut rows[0])?;
            }
            let Features { last, mut taps } = self.forward(&rows[0], cache, taps)?;
            let logits = self.logits(&last)?;
            taps.extend([last, logits]);
            Ok(taps)
        };
        let (ops, ranked) = (&self.ops, ranked.map_or(&[][..], std::slice::from_ref));
        let mut taps = ops.repeat(&mut recorded, ranked, &mut [rows], &mut pass)?;
        cache.keep(recorded);
        match (taps.pop(), taps.pop()) {
            (Some(logits), Some(last)) => Ok((Features { last, taps }, logits)),
            _ => Err(Error::Device("a pass left nothing behind".into())),
        }
    }

    /// Logits of features, `[rows, hidden]` to `[rows, vocab]`.
    pub fn logits(&self, features: &Tensor<2>) -> Result<Tensor<2>> {
        self.ops.norm_linear(features, Some(&self.norm), &self.head)
    }

    fn check(&self, rows: &Rows<'_>) -> Result<()> {
        let vocab = self.config.vocab;
        if let Some(token) = rows.tokens.iter().find(|&&t| t as usize >= vocab) {
            return Err(Error::Invalid(format!(
                "token id {token} is not in the model's vocabulary of {vocab}"
            )));
        }
        match rows.positions.iter().max() {
            Some(&last) if last as usize >= self.context => Err(Error::Capacity {
                needed: last as usize + 1,
                capacity: self.context,
                hint: "shorten the prompt, or load the model with a larger context",
            }),
            _ => Ok(()),
        }
    }
}
