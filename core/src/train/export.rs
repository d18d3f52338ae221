//! A trained head as others read it: safetensors and config.json.

use std::collections::BTreeMap;

use ::safetensors::tensor::{Dtype as Number, TensorView, serialize};
use serde_json::{Map, Value, json};

use super::{DraftVocabulary, Parameters};
use crate::error::{Error, Result};
use crate::model::ModelConfig;

/// A head's files, not yet written.
pub struct HeadFile {
    tensors: BTreeMap<String, Entry>,
    config: Map<String, Value>,
}

struct Entry {
    shape: Vec<usize>,
    number: Number,
    bytes: Vec<u8>,
}

impl HeadFile {
    /// All weights in f16, vectors with one dimension; the layer's numbers are those of
    /// the target.
    pub fn new(weights: &Parameters, target: &ModelConfig, architecture: &str) -> Self {
        let tensor = |(name, tensor): (&String, &burn::tensor::Tensor<2>)| {
            let [rows, cols] = tensor.dims();
            let vector = name.ends_with("norm.weight") || name.ends_with(".bias");
            let values = tensor.to_data().iter::<f32>().collect::<Vec<_>>();
            let half = values
                .iter()
                .flat_map(|&v| half::f16::from_f32(v).to_le_bytes());
            let entry = Entry {
                shape: if vector { vec![cols] } else { vec![rows, cols] },
                number: Number::F16,
                bytes: half.collect(),
            };
            (name.clone(), entry)
        };
        let config = json!({
            "architectures": [architecture],
            "model_type": "llama",
            "hidden_size": target.hidden,
            "intermediate_size": target.intermediate,
            "num_hidden_layers": 1,
            "num_attention_heads": target.heads,
            "num_key_value_heads": target.kv_heads,
            "head_dim": target.head_dim,
            "vocab_size": target.vocab,
            "max_position_embeddings": target.context,
            "rms_norm_eps": target.norm_epsilon,
            "rope_theta": target.rope_theta,
            "torch_dtype": "float16",
        });
        let config = match config {
            Value::Object(config) => config,
            _ => Map::new(),
        };
        Self {
            tensors: weights.0.iter().map(tensor).collect(),
            config,
        }
    }

    /// Adds a field to the configuration.
    pub fn set(&mut self, key: &str, value: Value) {
        self.config.insert(key.into(), value);
    }

    /// Adds `d2t` and `t2d`, which tell what the draft ids mean.
    pub fn vocabulary(&mut self, vocabulary: &DraftVocabulary, all: usize) {
        let offsets = vocabulary.offsets();
        let known = (0..all as u32).map(|id| u8::from(vocabulary.contains(id)));
        let d2t = Entry {
            shape: vec![offsets.len()],
            number: Number::I64,
            bytes: offsets
                .iter()
                .flat_map(|offset| offset.to_le_bytes())
                .collect(),
        };
        let t2d = Entry {
            shape: vec![all],
            number: Number::BOOL,
            bytes: known.collect(),
        };
        self.tensors.insert("d2t".into(), d2t);
        self.tensors.insert("t2d".into(), t2d);
    }

    /// `model.safetensors`.
    ///
    /// # Errors
    /// The library refused a tensor.
    pub fn safetensors(&self) -> Result<Vec<u8>> {
        let broken = |e: ::safetensors::SafeTensorError| Error::Invalid(e.to_string());
        let mut views = Vec::new();
        for (name, entry) in &self.tensors {
            let view = TensorView::new(entry.number, entry.shape.clone(), &entry.bytes);
            views.push((name.as_str(), view.map_err(broken)?));
        }
        serialize(views, None).map_err(broken)
    }

    /// `config.json`.
    pub fn config(&self) -> Vec<u8> {
        let mut text = serde_json::to_vec_pretty(&self.config).unwrap_or_default();
        text.push(b'\n');
        text
    }
}
