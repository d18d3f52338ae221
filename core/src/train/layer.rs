//! The decoder layer of EAGLE heads, differentiable.

use std::ops::Range;

use burn::tensor::activation::{silu, softmax};
use burn::tensor::{Device, Tensor, TensorData};

use super::Leaves;
use super::batch::indices;
use crate::error::Result;
use crate::model::{DEFAULT_CONTEXT, ModelConfig, RopeScaling, rotary_table};
use crate::ops::{Heads, Rotary};

/// What the layer is besides its weights.
pub(super) struct Layer {
    pub heads: Heads,
    pub rotary: Rotary,
    pub epsilon: f32,
    /// Before the names of its weights: `midlayer.` or `layers.0.`.
    pub prefix: &'static str,
}

impl Layer {
    /// The shape of the target's own layers, with rotary angles for documents as long as
    /// the target's context and `steps` beyond.
    pub fn of(
        config: &ModelConfig,
        prefix: &'static str,
        device: &Device,
        steps: usize,
    ) -> Result<Self> {
        let plain = ModelConfig {
            rope_scaling: RopeScaling::None,
            ..config.clone()
        };
        Ok(Self {
            heads: config.attention_heads(),
            rotary: rotary_table(
                &plain,
                config.context.min(DEFAULT_CONTEXT) + steps,
                None,
                device,
            )?,
            epsilon: config.norm_epsilon,
            prefix,
        })
    }
}

/// Keys and values of one step of training-time test, `[rows, kv heads, dim]`.
struct Memory {
    keys: Tensor<3>,
    values: Tensor<3>,
}

/// A forward pass over several steps: step 0 sees the target's features; each later one
/// its own outputs (EAGLE-3, section 3.2: "training-time test").
pub(super) struct Rollout<'a> {
    layer: &'a Layer,
    leaves: &'a Leaves,
    documents: &'a [Range<usize>],
    positions: Vec<u32>,
    /// One a document: 0 where a query may look, far below it elsewhere.
    masks: Vec<Tensor<3>>,
    memory: Vec<Memory>,
}

impl<'a> Rollout<'a> {
    /// Begins. `positions` are the rows' places in their documents.
    pub fn new(
        layer: &'a Layer,
        leaves: &'a Leaves,
        documents: &'a [Range<usize>],
        positions: Vec<u32>,
        device: &Device,
    ) -> Self {
        let groups = layer.heads.query / layer.heads.kv;
        let mask = |document: &Range<usize>| causal(document.len(), groups, device);
        Self {
            layer,
            leaves,
            documents,
            positions,
            masks: documents.iter().map(mask).collect(),
            memory: Vec::new(),
        }
    }

    /// One step: `residual + attention(input)`, then the feed-forward block with its own
    /// residual. `input` is `[rows, in]`, `residual` and the result `[rows, hidden]`.
    pub fn step(&mut self, input: &Tensor<2>, residual: Tensor<2>) -> Result<Tensor<2>> {
        let weight = |name: &str| {
            let full = format!("{}{name}.weight", self.layer.prefix);
            self.leaves.get(&full)
        };
        let linear = |x: &Tensor<2>, name: &str| Ok::<_, crate::Error>(project(x, weight(name)?));
        let Heads { query, kv, dim } = self.layer.heads;
        let rows = self.positions.len();
        let step = self.memory.len() as u32;
        let places: Vec<u32> = self.positions.iter().map(|place| place + step).collect();
        let split = |x: Tensor<2>, heads| x.reshape([rows, heads, dim]);
        let queries = split(linear(input, "self_attn.q_proj")?, query);
        let keys = split(linear(input, "self_attn.k_proj")?, kv);
        let values = split(linear(input, "self_attn.v_proj")?, kv);
        let queries = rotate(queries, &self.layer.rotary, &places);
        let keys = rotate(keys, &self.layer.rotary, &places);
        self.memory.push(Memory { keys, values });
        let mixed = self
            .documents
            .iter()
            .zip(&self.masks)
            .map(|(document, mask)| {
                let part = |x: &Tensor<3>| x.clone().slice([document.clone()]);
                let of = |memory: &Memory| Memory {
                    keys: part(&memory.keys),
                    values: part(&memory.values),
                };
                let memory: Vec<Memory> = self.memory.iter().map(of).collect();
                attend(part(&queries), &memory, mask)
            });
        let mixed = Tensor::cat(mixed.collect(), 0);
        let x = residual + linear(&mixed, "self_attn.o_proj")?;
        let normed = rms_norm(&x, weight("post_attention_layernorm")?, self.layer.epsilon);
        let inner = silu(linear(&normed, "mlp.gate_proj")?) * linear(&normed, "mlp.up_proj")?;
        Ok(x + linear(&inner, "mlp.down_proj")?)
    }
}

/// `x W^T`.
pub(super) fn project(x: &Tensor<2>, weight: Tensor<2>) -> Tensor<2> {
    x.clone().matmul(weight.transpose())
}

/// `x / sqrt(mean(x^2) + epsilon) * weight`; `weight` is `[1, n]`.
pub(super) fn rms_norm(x: &Tensor<2>, weight: Tensor<2>, epsilon: f32) -> Tensor<2> {
    let scale = (x.clone().square().mean_dim(1) + epsilon).sqrt();
    x.clone() / scale * weight
}

/// Rotates each head of each row (`[rows, heads, dim]`) to its place.
fn rotate(x: Tensor<3>, rotary: &Rotary, places: &[u32]) -> Tensor<3> {
    let [_, _, dim] = x.dims();
    let places = indices(places, &rotary.cos.device());
    let angle = |table: &Tensor<2>| {
        let rows = table
            .clone()
            .select(0, places.clone())
            .unsqueeze_dim::<3>(1);
        Tensor::from_inner(rows)
    };
    let (cos, sin) = (angle(&rotary.cos), angle(&rotary.sin));
    let low = x.clone().narrow(2, 0, dim / 2);
    let high = x.narrow(2, dim / 2, dim / 2);
    let turned = low.clone() * cos.clone() - high.clone() * sin.clone();
    Tensor::cat(vec![turned, high * cos + low * sin], 2)
}

/// Attention within one document, `[tokens, heads, dim]` to `[tokens, heads * dim]`. A
/// query sees the keys of step 0 up to its own place, and of each later step only the
/// one at its own place: its own branch.
fn attend(queries: Tensor<3>, memory: &[Memory], mask: &Tensor<3>) -> Tensor<2> {
    let [tokens, heads, dim] = queries.dims();
    let kv = memory[0].keys.dims()[1];
    let groups = heads / kv;
    // The queries that share a key head stand one after another: `[kv, groups * tokens, dim]`.
    let by_head = |x: Tensor<3>| x.swap_dims(0, 1);
    let queries = by_head(queries).reshape([kv, groups * tokens, dim]) / (dim as f32).sqrt();
    let spread = |x: &Tensor<3>| Tensor::cat(vec![by_head(x.clone()); groups], 1);
    let keys = by_head(memory[0].keys.clone());
    let mut scores = vec![queries.clone().matmul(keys.transpose()) + mask.clone()];
    for step in &memory[1..] {
        scores.push((queries.clone() * spread(&step.keys)).sum_dim(2));
    }
    let chances = softmax(Tensor::cat(scores, 2), 2);
    let values = by_head(memory[0].values.clone());
    let mut mixed = chances.clone().narrow(2, 0, tokens).matmul(values);
    for (index, step) in memory[1..].iter().enumerate() {
        mixed = mixed + chances.clone().narrow(2, tokens + index, 1) * spread(&step.values);
    }
    let mixed = mixed.reshape([heads, tokens, dim]).swap_dims(0, 1);
    mixed.reshape([tokens, heads * dim])
}

fn causal(tokens: usize, groups: usize, device: &Device) -> Tensor<3> {
    let mut values = Vec::with_capacity(groups * tokens * tokens);
    for query in (0..groups).flat_map(|_| 0..tokens) {
        values.extend((0..tokens).map(|key| if key <= query { 0.0f32 } else { -1e30 }));
    }
    let data = TensorData::new(values, [1, groups * tokens, tokens]);
    Tensor::from_inner(Tensor::from_data(data, device))
}
