//! From a head's file to its network, whatever exporter wrote it.

use burn::tensor::{Tensor, TensorData};

use super::config::{HeadConfig, Taps};
use super::eagle3::Fusion;
use super::layer::Layer;
use super::{DraftIds, Eagle1, Eagle3, Head, names};
use crate::error::{Error, Result};
use crate::model::{ModelConfig, Transformer, rotary_table};
use crate::ops::{Heads, Linear, Norm, Weight};
use crate::weights::{Dtype, NamedTensors};

/// Loads a head for a target: an EAGLE-3 head where the file has the tensors of one,
/// else one of EAGLE-1 and EAGLE-2. `config` is the text of its config.json; a GGUF file
/// says all itself, and `config` is not looked at. Matrices are stored in `dtype`, as far
/// as their rows are whole blocks.
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
    let config = match file.architecture() {
        Some(_) => HeadConfig::of_gguf(&file)?,
        None => HeadConfig::parse(&file.path().with_file_name("config.json"), config)?,
    };
    file.rename(names::ours)?;
    let eagle3 = is_eagle3(&file);
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

/// Whether renamed tensors are those of an EAGLE-3 head.
pub(super) fn is_eagle3(file: &NamedTensors) -> bool {
    file.architecture() == Some("eagle3") || file.shape("hidden_norm.weight").is_some()
}

/// The target's id of each draft id. Files hold offsets, but some hold the ids
/// themselves: only one of the two readings ascends inside the vocabulary (`all`).
pub(super) fn draft_ids(
    file: &mut NamedTensors,
    vocab: usize,
    all: usize,
) -> Result<Option<Vec<u32>>> {
    if let Some(found) = file.shape("t2d").filter(|shape| **shape != [all]) {
        let expected = format!("an entry a token of the target, [{all}]");
        let found = format!("{found:?}");
        return Err(file.wrong("t2d", &expected, &found));
    }
    file.ignore("t2d");
    if file.shape("d2t").is_none() {
        return match vocab == all {
            true => Ok(None),
            false => Err(file.missing("d2t")),
        };
    }
    let d2t = file.integers("d2t", vocab)?;
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
    // A GGUF file holds ids; what lies in a safetensors file, only its values tell.
    let first = usize::from(file.architecture().is_some());
    let mut readings = readings.into_iter().skip(first);
    let ids = readings.find(|ids: &Vec<i64>| valid(ids));
    let ids = ids.ok_or_else(|| {
        let expected = format!("ascending ids below {all}, or offsets to them");
        file.wrong("d2t", &expected, "others")
    })?;
    Ok(Some(ids.into_iter().map(|id| id as u32).collect()))
}

struct Loader<'a> {
    file: NamedTensors,
    config: HeadConfig,
    target: &'a Transformer,
    dtype: Dtype,
}

impl Loader<'_> {
    fn eagle1(&mut self) -> Result<Eagle1> {
        let (hidden, vocab) = (self.target.config().hidden, self.target.config().vocab);
        // A copy of the target's, and the only trace of what vocabulary it was made for.
        let copy = self.file.shape("embed_tokens.weight");
        if let Some(found) = copy.filter(|shape| **shape != [vocab, hidden]) {
            let expected = format!("the target's, [{vocab}, {hidden}]");
            let found = format!("{found:?}");
            return Err(self.file.wrong("embed_tokens.weight", &expected, &found));
        }
        if let Some(found) = self.config.vocab.filter(|&found| found != vocab) {
            return Err(Error::Invalid(format!(
                "{}: the head is for a vocabulary of {found}, its target's is {vocab}",
                self.file.path().display()
            )));
        }
        self.file.ignore("embed_tokens.weight");
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
        let all = self.target.config().vocab;
        let fused = self.config.taps != Taps::Last;
        let hidden = match fused {
            true => self.rows("fc.weight")?,
            false => wide,
        };
        let own_head = self.file.shape("lm_head.weight").is_some();
        if !own_head && (hidden != wide || self.file.shape("d2t").is_some()) {
            let why = "(the head's width or vocabulary is not its target's)";
            return Err(self.file.missing(&format!("lm_head.weight {why}")));
        }
        let vocab = match own_head {
            true => self.rows("lm_head.weight")?,
            false => all,
        };
        let fusion = match fused {
            true => self.fusion(hidden, wide)?,
            false => {
                // Some exporters leave it in the file.
                self.file.ignore("fc.weight");
                self.file.ignore("fc.bias");
                Fusion::Last(self.target.final_norm().clone())
            }
        };
        let ids = draft_ids(&mut self.file, vocab, all)?;
        let device = self.target.ops().device();
        let ids = ids.map(|ids| DraftIds::new(ids, device));
        let embedding = match self.file.shape("embed_tokens.weight") {
            Some(_) => self.weight(&["embed_tokens.weight"], &[all], hidden)?,
            None if hidden == wide => self.target.embedding().clone(),
            None => {
                let name = "embed_tokens.weight (the head is not as wide as its target)";
                return Err(self.file.missing(name));
            }
        };
        Ok(Eagle3 {
            fusion,
            embedding,
            embedding_norm: self.norm("input_layernorm", hidden)?,
            feature_norm: self.norm("hidden_norm", hidden)?,
            norm_before_residual: self.config.norm_before_residual,
            norm_output: self.config.norm_output,
            norm: self.norm("norm", hidden)?,
            head: match own_head {
                true => self.linear("lm_head", vocab, hidden)?,
                false => self.target.head().clone(),
            },
            layer: self.layer(2 * hidden, hidden)?,
            ids,
        })
    }

    /// Rows of a matrix whose size the file decides; not none.
    fn rows(&self, name: &str) -> Result<usize> {
        match self.file.shape(name) {
            Some(&[rows, _]) if rows > 0 => Ok(rows),
            Some(found) => {
                let found = format!("shape {found:?}");
                Err(self.file.wrong(name, "a matrix of some rows", &found))
            }
            None => Err(self.file.missing(name)),
        }
    }

    fn fusion(&mut self, hidden: usize, wide: usize) -> Result<Fusion> {
        let taps = self.taps()?;
        Ok(Fusion::Taps {
            fc: self.linear("fc", hidden, taps.len() * wide)?,
            norms: self.fc_norms(taps.len(), wide)?,
            taps,
        })
    }

    fn taps(&self) -> Result<Vec<usize>> {
        let layers = self.target.config().layers;
        let taps = self.config.taps.points(layers);
        let ascending = taps.is_sorted_by(|a, b| a < b);
        if !ascending || taps.last().is_none_or(|&last| last > layers) {
            return Err(Error::Invalid(format!(
                "{}: the head wants the layers {taps:?}, which must ascend and end at {layers}",
                self.file.path().display()
            )));
        }
        Ok(taps)
    }

    fn fc_norms(&mut self, taps: usize, wide: usize) -> Result<Vec<Norm>> {
        if self.file.shape("input_norm.weight").is_some() {
            return Ok(vec![self.norm("input_norm", taps * wide)?]);
        }
        if self.config.norm_before_fc {
            return Err(self.file.missing("input_norm.weight"));
        }
        if self.file.shape("fc_norm.0.weight").is_none() && !self.config.fc_norm {
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
        let heads = self
            .config
            .heads
            .unwrap_or(self.target.config().heads)
            .max(1);
        let dim = self.config.head_dim.unwrap_or(query / heads).max(1);
        let heads = Heads {
            query: query / dim,
            kv: kv / dim,
            dim,
        };
        let whole = heads.query * dim == query && heads.kv * dim == kv && heads.kv > 0;
        if !whole || !heads.query.is_multiple_of(heads.kv) || !dim.is_multiple_of(2) {
            let expected = format!("whole heads of {dim} dimensions, shared by those of k_proj");
            let found = format!("{query} query and {kv} key rows");
            let name = "self_attn.q_proj.weight";
            return Err(self.file.wrong(name, &expected, &found));
        }
        names::unpair(&mut self.file, dim);
        let divisors = match self.file.shape("rope_freqs.weight") {
            Some(_) => Some(self.file.vector("rope_freqs.weight", dim / 2)?),
            None => None,
        };
        let target = self.target.config();
        let rotary = ModelConfig {
            head_dim: dim,
            rope_theta: self.config.rope_theta,
            rope_scaling: self.config.rope_scaling.clone(),
            ..target.clone()
        };
        let positions = self.target.context();
        let device = self.target.ops().device();
        let (gate, up) = ("mlp.gate_proj.weight", "mlp.up_proj.weight");
        Ok(Layer {
            ops: self.target.ops().clone(),
            heads,
            rotary: rotary_table(&rotary, positions, divisors.as_deref(), device)?,
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

    /// Matrices of one width, stacked; in half precision where they are not whole blocks.
    fn weight(&mut self, names: &[&str], rows: &[usize], inputs: usize) -> Result<Weight> {
        let whole = self.dtype.layout().bytes_for(inputs).is_some();
        let dtype = if whole { self.dtype } else { Dtype::F16 };
        let mut parts = Vec::new();
        for (name, &rows) in names.iter().zip(rows) {
            let part = self.file.matrix(name, [rows, inputs], dtype)?;
            parts.push(part.into_owned());
        }
        self.target.ops().pack(&parts)
    }

    fn norm(&mut self, name: &str, len: usize) -> Result<Norm> {
        let values = self.file.vector(&format!("{name}.weight"), len)?;
        let default = self.target.config().norm_epsilon;
        Ok(Norm {
            weight: self.tensor(values),
            epsilon: self.config.norm_epsilon.unwrap_or(default),
        })
    }

    fn tensor(&self, values: Vec<f32>) -> Tensor<1> {
        let len = values.len();
        Tensor::from_data(TensorData::new(values, [len]), self.target.ops().device())
    }
}
