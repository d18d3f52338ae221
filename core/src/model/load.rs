//! From a checkpoint to a transformer on a device.

use std::sync::Arc;

use burn::tensor::{Tensor, TensorData};

use super::transformer::Layer;
use super::{ModelConfig, Transformer, rotary};
use crate::error::{Error, Result};
use crate::ops::{HeadNorms, Linear, Norm, Ops, Weight};
use crate::weights::{Checkpoint, Dtype, Matrix, Role, TensorView};

/// Positions that are made room for unless more are asked for: some models were trained
/// for a million, whose tables alone would fill a small machine.
pub const DEFAULT_CONTEXT: usize = 32_768;

/// How a model is loaded.
#[derive(Clone, Copy, Debug, Default)]
pub struct LoadOptions {
    /// Storage of the weights in memory; `None` keeps what the file has, as far as there
    /// is a dtype for it. With [`Dtype::Q4`] embedding and head stay in 8 bits, where
    /// precision matters most.
    pub dtype: Option<Dtype>,
    /// Positions to make room for; `None` takes all that the model was trained for, up to
    /// [`DEFAULT_CONTEXT`].
    pub context: Option<usize>,
}

impl Transformer {
    /// Reads, converts and packs every tensor. `progress` is told after each layer how
    /// many of the checkpoint's bytes are done.
    ///
    /// # Errors
    /// A tensor is missing, has another shape than the configuration says, or holds
    /// values that are not finite; the context is longer than what the model was trained
    /// for; or the device is out of memory.
    pub fn load(
        checkpoint: &dyn Checkpoint,
        ops: Arc<dyn Ops>,
        options: LoadOptions,
        mut progress: impl FnMut(usize, usize),
    ) -> Result<Self> {
        let config = checkpoint.config()?;
        let context = context(&config, options.context)?;
        let mut loader = Loader {
            checkpoint,
            ops: &*ops,
            config: &config,
            dtype: options.dtype,
            sizes: Vec::new(),
            bytes: 0,
            biases: config.architecture == "qwen2"
                || any(
                    checkpoint,
                    &config,
                    &[Role::QueryBias, Role::KeyBias, Role::ValueBias],
                )?,
            head_norms: config.architecture == "qwen3"
                || any(checkpoint, &config, &[Role::QueryNorm, Role::KeyNorm])?,
        };
        let all = checkpoint.tensors().iter().map(|tensor| tensor.bytes).sum();
        let (embedding, head) = loader.embedding_and_head()?;
        progress(loader.bytes, all);
        let mut layers = Vec::with_capacity(config.layers);
        for index in 0..config.layers {
            layers.push(loader.layer(index)?);
            progress(loader.bytes, all);
        }
        let norm = loader.norm(Role::FinalNorm, config.hidden)?;
        let divisors = loader.vector(Role::RopeFactors, config.head_dim / 2)?;
        let rotary = rotary::table(&config, context, divisors.as_deref(), ops.device())?;
        let dtype = loader.dominant();
        progress(all, all);
        Ok(Self {
            config,
            dtype,
            ops,
            embedding,
            layers,
            norm,
            head: head.into(),
            rotary,
            context,
        })
    }
}

/// The positions to make room for.
fn context(config: &ModelConfig, wanted: Option<usize>) -> Result<usize> {
    match wanted {
        Some(wanted) if wanted > config.context => Err(Error::Capacity {
            needed: wanted,
            capacity: config.context,
            hint: "the model was trained for no more",
        }),
        Some(wanted) => Ok(wanted),
        None => Ok(config.context.min(DEFAULT_CONTEXT)),
    }
}

struct Loader<'a> {
    checkpoint: &'a dyn Checkpoint,
    ops: &'a dyn Ops,
    config: &'a ModelConfig,
    dtype: Option<Dtype>,
    /// Values packed so far, by dtype.
    sizes: Vec<(Dtype, usize)>,
    /// Bytes of the checkpoint packed so far.
    bytes: usize,
    /// Whether every layer has biases on queries, keys and values.
    biases: bool,
    /// Whether every layer has norms over query and key heads.
    head_norms: bool,
}

/// Whether any layer has any of these tensors: then all must have all of them.
fn any(
    checkpoint: &dyn Checkpoint,
    config: &ModelConfig,
    roles: &[fn(usize) -> Role],
) -> Result<bool> {
    for layer in 0..config.layers {
        for role in roles {
            if checkpoint.tensor(role(layer))?.is_some() {
                return Ok(true);
            }
        }
    }
    Ok(false)
}

impl<'a> Loader<'a> {
    fn missing(&self, role: Role) -> Error {
        Error::MissingTensor {
            path: self.checkpoint.path().into(),
            name: self.checkpoint.name(role),
        }
    }

    fn view(&self, role: Role, shape: &[usize]) -> Result<TensorView<'a>> {
        let view = self
            .checkpoint
            .tensor(role)?
            .ok_or_else(|| self.missing(role))?;
        if view.shape != shape {
            return Err(Error::Tensor {
                path: self.checkpoint.path().into(),
                name: view.name,
                expected: format!("shape {shape:?}"),
                found: format!("{:?}", view.shape),
            });
        }
        Ok(view)
    }

    /// Packs matrices of one width, stacked, in one dtype: the one asked for, or the
    /// most precise that their formats ask for.
    fn pack(&mut self, parts: &[(Role, usize)], inputs: usize) -> Result<Weight> {
        let views = parts
            .iter()
            .map(|&(role, rows)| self.view(role, &[rows, inputs]));
        let views: Vec<_> = views.collect::<Result<_>>()?;
        let coded = |dtype: &Dtype| views.iter().any(|v| Dtype::natural(v.format) == *dtype);
        let ends = matches!(parts, [(Role::Embedding | Role::Head, _)]);
        let dtype = match self.dtype {
            Some(Dtype::Q4) if ends => Dtype::Q8,
            Some(dtype) => dtype,
            None => Dtype::ALL.into_iter().find(coded).unwrap_or(Dtype::F32),
        };
        self.bytes += views.iter().map(|view| view.bytes.len()).sum::<usize>();
        let path = self.checkpoint.path();
        let matrices = views.into_iter().map(|view| Matrix::new(path, view, dtype));
        let matrices: Vec<_> = matrices.collect::<Result<_>>()?;
        let weight = self.ops.pack(&matrices)?;
        drop(matrices);
        for &(role, rows) in parts {
            self.checkpoint.release(role);
            self.sizes.push((dtype, rows * inputs));
        }
        Ok(weight)
    }

    fn embedding_and_head(&mut self) -> Result<(Weight, Weight)> {
        let (vocab, hidden) = (self.config.vocab, self.config.hidden);
        let embedding = self.pack(&[(Role::Embedding, vocab)], hidden)?;
        let own = self.checkpoint.tensor(Role::Head)?.is_some();
        let head = match own {
            true => self.pack(&[(Role::Head, vocab)], hidden)?,
            false => embedding.clone(), // Tied: one copy serves both.
        };
        Ok((embedding, head))
    }

    fn layer(&mut self, index: usize) -> Result<Layer> {
        let c = self.config;
        let (hidden, inner) = (c.hidden, c.intermediate);
        let (query, kv) = (c.query_width(), c.kv_width());
        let qkv = [
            (Role::QueryWeight(index), query),
            (Role::KeyWeight(index), kv),
            (Role::ValueWeight(index), kv),
        ];
        let biases = [
            (Role::QueryBias(index), query),
            (Role::KeyBias(index), kv),
            (Role::ValueBias(index), kv),
        ];
        let gate_up = [(Role::Gate(index), inner), (Role::Up(index), inner)];
        let output = [(Role::AttentionOutput(index), hidden)];
        let down = [(Role::Down(index), hidden)];
        Ok(Layer {
            attention_norm: self.norm(Role::AttentionNorm(index), hidden)?,
            qkv: Linear {
                weight: self.pack(&qkv, hidden)?,
                bias: self.stacked_bias(&biases)?,
            },
            head_norms: self.head_norms(index)?,
            output: self.pack(&output, query)?.into(),
            feed_forward_norm: self.norm(Role::FeedForwardNorm(index), hidden)?,
            gate_up: self.pack(&gate_up, hidden)?,
            down: self.pack(&down, inner)?.into(),
        })
    }

    /// A vector in f32, or `None` where the checkpoint has none.
    fn vector(&self, role: Role, len: usize) -> Result<Option<Vec<f32>>> {
        if self.checkpoint.tensor(role)?.is_none() {
            return Ok(None);
        }
        let view = self.view(role, &[len])?;
        let matrix = Matrix::new(self.checkpoint.path(), view, Dtype::F32)?;
        Ok(Some(matrix.to_f32()))
    }

    fn tensor(&self, values: Vec<f32>) -> Tensor<1> {
        let len = values.len();
        Tensor::from_data(TensorData::new(values, [len]), self.ops.device())
    }

    fn norm(&self, role: Role, len: usize) -> Result<Norm> {
        let values = self.vector(role, len)?;
        Ok(Norm {
            weight: self.tensor(values.ok_or_else(|| self.missing(role))?),
            epsilon: self.config.norm_epsilon,
        })
    }

    /// Query, key and value biases: all three (Qwen2) or none.
    fn stacked_bias(&self, parts: &[(Role, usize)]) -> Result<Option<Tensor<1>>> {
        if !self.biases {
            return Ok(None);
        }
        let mut values = Vec::new();
        for &(role, len) in parts {
            let bias = self.vector(role, len)?;
            values.extend(bias.ok_or_else(|| self.missing(role))?);
        }
        Ok(Some(self.tensor(values)))
    }

    fn head_norms(&self, index: usize) -> Result<Option<HeadNorms>> {
        if !self.head_norms {
            return Ok(None);
        }
        let dim = self.config.head_dim;
        Ok(Some(HeadNorms {
            query: self.norm(Role::QueryNorm(index), dim)?,
            key: self.norm(Role::KeyNorm(index), dim)?,
        }))
    }

    /// The dtype that holds most values.
    fn dominant(&self) -> Dtype {
        let total = |dtype| {
            let of = self.sizes.iter().filter(|(d, _)| *d == dtype);
            of.map(|(_, size)| size).sum::<usize>()
        };
        Dtype::ALL
            .into_iter()
            .max_by_key(|&dtype| total(dtype))
            .unwrap_or(Dtype::F32)
    }
}
