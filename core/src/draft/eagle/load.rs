//! From a head's file to its network, whatever exporter wrote it.

use burn::tensor::{Tensor, TensorData};

use super::config::HeadConfig;
use super::layer::Layer;
use super::{Eagle1, Eagle3, Head};
use crate::error::{Error, Result};
use crate::model::{ModelConfig, RopeScaling, Transformer, rotary_table};
use crate::ops::{Heads, Linear, Norm, Weight};
use crate::weights::{Dtype, NamedTensors};

/// Loads a head for a target: an EAGLE-3 head where the file has the tensors of one,
/// else one of EAGLE-1 and EAGLE-2. `config` is the text of its config.json.
///
/// # Errors
/// A tensor is missing, unknown, of another shape than the target's, or not finite; or
/// an id lies outside the target's vocabulary.
pub fn load_head(
    mut file: NamedTensors,
    config: &[u8],
    target: &Transformer,
    dtype: Dtype,
) -> Result<Box<dyn Head>> {
    file.rename(official_name)?;
    let config_path = file.path().with_file_name("config.json");
    let config = HeadConfig::parse(&config_path, config, target.config())?;
    let eagle3 = file.shape("hidden_norm.weight").is_some();
    let mut loader = Loader {
        file,
        config,
        target,
        dtype,
    };
    let head: Box<dyn Head> = match eagle3 {
        true => Box::new(loader.eagle3()?),
        false => Box::new(loader.eagle1()?),
    };
    loader.file.finish()?;
    Ok(head)
}

/// One name for each meaning; `None` for what carries none.
fn official_name(name: &str) -> Option<String> {
    let name = name.strip_prefix("model.").unwrap_or(name);
    if name.ends_with("rotary_emb.inv_freq") {
        return None;
    }
    let layer = ["midlayer.", "layers.0.", "transformer."];
    let name = layer
        .iter()
        .find_map(|p| name.strip_prefix(p))
        .unwrap_or(name);
    Some(match name {
        "draft_id_to_target_id" => "d2t".into(),
        "fusion_fc.weight" => "fc.weight".into(),
        "fusion_fc.bias" => "fc.bias".into(),
        _ => name.into(),
    })
}

struct Loader<'a> {
    file: NamedTensors,
    config: HeadConfig,
    target: &'a Transformer,
    dtype: Dtype,
}

impl Loader<'_> {
    fn eagle1(&mut self) -> Result<Eagle1> {
        let hidden = self.target.config().hidden;
        self.file.ignore("embed_tokens.weight"); // A copy of the target's.
        Ok(Eagle1 {
            fc: self.linear("fc", hidden, 2 * hidden)?,
            layer: self.layer(hidden, hidden)?,
            embedding: self.target.embedding().clone(),
            final_norm: self.target.final_norm().clone(),
            head: self.target.head().clone(),
        })
    }

    fn eagle3(&mut self) -> Result<Eagle3> {
        let wide = self.target.config().hidden;
        let (hidden, vocab) = (self.rows("fc.weight")?, self.rows("lm_head.weight")?);
        let taps = self.taps()?;
        let ids = self.ids(vocab)?;
        let embedding = match self.file.shape("embed_tokens.weight") {
            Some(_) => {
                let vocab = self.target.config().vocab;
                self.weight(&["embed_tokens.weight"], &[vocab], hidden)?
            }
            None if hidden == wide => self.target.embedding().clone(),
            None => {
                return Err(Error::MissingTensor {
                    path: self.file.path().into(),
                    name: "embed_tokens.weight (the head is not as wide as its target)".into(),
                });
            }
        };
        Ok(Eagle3 {
            fc: self.linear("fc", hidden, taps.len() * wide)?,
            fc_norms: self.fc_norms(taps.len(), wide)?,
            embedding,
            embedding_norm: self.norm("input_layernorm", hidden)?,
            feature_norm: self.norm("hidden_norm", hidden)?,
            norm_before_residual: self.config.norm_before_residual,
            norm_output: self.config.norm_output,
            norm: self.norm("norm", hidden)?,
            head: self.linear("lm_head", vocab, hidden)?,
            layer: self.layer(2 * hidden, hidden)?,
            taps,
            ids,
        })
    }

    /// Rows of a matrix whose size the file decides; not none.
    fn rows(&self, name: &str) -> Result<usize> {
        let wrong = |found: &[usize]| Error::Tensor {
            path: self.file.path().into(),
            name: name.into(),
            expected: "a matrix of some rows".into(),
            found: format!("shape {found:?}"),
        };
        match self.file.shape(name) {
            Some(&[rows, _]) if rows > 0 => Ok(rows),
            Some(found) => Err(wrong(found)),
            None => Err(Error::MissingTensor {
                path: self.file.path().into(),
                name: name.into(),
            }),
        }
    }

    fn taps(&self) -> Result<Vec<usize>> {
        let layers = self.target.config().layers;
        let taps = self.config.taps(layers);
        let ascending = taps.is_sorted_by(|a, b| a < b);
        if !ascending || taps.last().is_none_or(|&last| last > layers) {
            return Err(Error::Invalid(format!(
                "{}: the head wants the layers {taps:?}, which must ascend and end at {layers}",
                self.file.path().display()
            )));
        }
        Ok(taps)
    }

    /// The target's id of each draft id. Files hold offsets, but some hold the ids
    /// themselves: only one of the two readings ascends inside the vocabulary.
    fn ids(&mut self, vocab: usize) -> Result<Option<Vec<u32>>> {
        self.file.ignore("t2d");
        let all = self.target.config().vocab;
        if self.file.shape("d2t").is_none() {
            if vocab == all {
                return Ok(None);
            }
            return Err(Error::MissingTensor {
                path: self.file.path().into(),
                name: "d2t".into(),
            });
        }
        let d2t = self.file.integers("d2t", vocab)?;
        let offsets = d2t
            .iter()
            .zip(0..)
            .map(|(offset, id): (_, i64)| id.saturating_add(*offset));
        let valid = |ids: &[i64]| {
            ids.is_sorted_by(|a, b| a < b)
                && ids.first().is_some_and(|&id| id >= 0)
                && ids.last().is_some_and(|&id| id < all as i64)
        };
        let readings = [offsets.collect(), d2t];
        let ids = readings.into_iter().find(|ids: &Vec<i64>| valid(ids));
        let ids = ids.ok_or_else(|| Error::Tensor {
            path: self.file.path().into(),
            name: "d2t".into(),
            expected: format!("ascending ids below {all}, or offsets to them"),
            found: "others".into(),
        })?;
        Ok(Some(ids.into_iter().map(|id| id as u32).collect()))
    }

    fn fc_norms(&mut self, taps: usize, wide: usize) -> Result<Vec<Norm>> {
        if self.file.shape("input_norm.weight").is_some() {
            return Ok(vec![self.norm("input_norm", taps * wide)?]);
        }
        if self.file.shape("fc_norm.0.weight").is_none() {
            return Ok(Vec::new());
        }
        (0..taps)
            .map(|i| self.norm(&format!("fc_norm.{i}"), wide))
            .collect()
    }

    /// The decoder layer; `input` is what enters attention. Head counts come from the
    /// projections' shapes.
    fn layer(&mut self, input: usize, hidden: usize) -> Result<Layer> {
        let (query, kv) = (
            self.rows("self_attn.q_proj.weight")?,
            self.rows("self_attn.k_proj.weight")?,
        );
        let inner = self.rows("mlp.gate_proj.weight")?;
        let heads = self.config.heads.max(1);
        let dim = self.config.head_dim.unwrap_or(query / heads).max(1);
        let heads = Heads {
            query: query / dim,
            kv: kv / dim,
            dim,
        };
        let whole = heads.query * dim == query && heads.kv * dim == kv && heads.kv > 0;
        if !whole || !heads.query.is_multiple_of(heads.kv) || !dim.is_multiple_of(2) {
            return Err(Error::Tensor {
                path: self.file.path().into(),
                name: "self_attn.q_proj.weight".into(),
                expected: format!("whole heads of {dim} dimensions, shared by those of k_proj"),
                found: format!("{query} query and {kv} key rows"),
            });
        }
        let target = self.target.config();
        let rotary = ModelConfig {
            head_dim: dim,
            rope_theta: self.config.rope_theta,
            rope_scaling: RopeScaling::None,
            ..target.clone()
        };
        let positions = self.target.context();
        let device = self.target.ops().device();
        let (gate, up) = ("mlp.gate_proj.weight", "mlp.up_proj.weight");
        Ok(Layer {
            ops: self.target.ops().clone(),
            heads,
            rotary: rotary_table(&rotary, positions, None, device)?,
            qkv: self.qkv(query, kv, input)?,
            output: self.linear("self_attn.o_proj", hidden, query)?,
            feed_forward_norm: self.norm("post_attention_layernorm", hidden)?,
            gate_up: self.weight(&[gate, up], &[inner, inner], hidden)?,
            down: self.linear("mlp.down_proj", hidden, inner)?,
        })
    }

    fn qkv(&mut self, query: usize, kv: usize, input: usize) -> Result<Linear> {
        let parts = ["q_proj", "k_proj", "v_proj"].map(|p| format!("self_attn.{p}"));
        let widths = [query, kv, kv];
        let names = parts.clone().map(|p| format!("{p}.weight"));
        let names = names.each_ref().map(String::as_str);
        let weight = self.weight(&names, &widths, input)?;
        let mut biases = Vec::new();
        if parts
            .iter()
            .any(|p| self.file.shape(&format!("{p}.bias")).is_some())
        {
            for (part, width) in parts.iter().zip(widths) {
                biases.extend(self.file.vector(&format!("{part}.bias"), width)?);
            }
        }
        let bias = (!biases.is_empty()).then(|| self.tensor(biases));
        Ok(Linear { weight, bias })
    }

    /// A layer's matrix, and its bias where the file has one.
    fn linear(&mut self, name: &str, outputs: usize, inputs: usize) -> Result<Linear> {
        let weight = self.weight(&[&format!("{name}.weight")], &[outputs], inputs)?;
        let bias = format!("{name}.bias");
        let bias = match self.file.shape(&bias) {
            Some(_) => Some(self.file.vector(&bias, outputs)?),
            None => None,
        };
        let bias = bias.map(|values| self.tensor(values));
        Ok(Linear { weight, bias })
    }

    /// Matrices of one width, stacked.
    fn weight(&mut self, names: &[&str], rows: &[usize], inputs: usize) -> Result<Weight> {
        let mut parts = Vec::new();
        for (name, &rows) in names.iter().zip(rows) {
            let part = self.file.matrix(name, [rows, inputs], self.dtype)?;
            parts.push(part.into_owned());
        }
        self.target.ops().pack(&parts)
    }

    fn norm(&mut self, name: &str, len: usize) -> Result<Norm> {
        let values = self.file.vector(&format!("{name}.weight"), len)?;
        Ok(Norm {
            weight: self.tensor(values),
            epsilon: self.config.norm_epsilon,
        })
    }

    fn tensor(&self, values: Vec<f32>) -> Tensor<1> {
        let len = values.len();
        Tensor::from_data(TensorData::new(values, [len]), self.target.ops().device())
    }
}
