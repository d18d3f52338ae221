//! Small random models of every architecture, as GGUF bytes and as a folder's files.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use eaglet_backends::cpu::CpuOps;
use eaglet_core::model::{LoadOptions, Transformer};
use eaglet_core::ops::Ops;
use eaglet_core::weights::GgufWriter;
use eaglet_core::weights::{BlockFormat, Checkpoint, Dtype, Gguf, Role, SafetensorsFolder, Value};

use crate::numbers::spread;
use crate::text;

pub const HIDDEN: usize = 64;
pub const INNER: usize = 96;
pub const LAYERS: usize = 2;
pub const HEADS: usize = 4;
pub const KV_HEADS: usize = 2;
pub const VOCAB: usize = 96;
pub const CONTEXT: usize = 256;
pub const THETA: f64 = 10_000.0;
pub const EPSILON: f32 = 1e-5;

/// A model's values in Hugging Face's layout.
pub struct Tiny {
    pub architecture: &'static str,
    pub head_dim: usize,
    pub vocab: usize,
    pub layers: usize,
    /// Positions that the model claims to be trained for.
    pub context: usize,
    pub tensors: BTreeMap<Role, (Vec<usize>, Vec<f32>)>,
}

impl Tiny {
    pub fn new(architecture: &'static str, seed: u64) -> Self {
        Self::with_vocab(architecture, seed, VOCAB)
    }

    /// A model of [`text`]'s vocabulary that answers in printable ASCII.
    pub fn talking(seed: u64) -> Self {
        Self::talking_with(seed, LAYERS)
    }

    /// The same with more layers; 31 make a million parameters.
    pub fn talking_with(seed: u64, layers: usize) -> Self {
        let mut tiny = Self::with_shape("llama", seed, text::VOCAB, layers);
        // Rows of zeros give logits of zero, which 95 others outdo.
        if let Some((_, head)) = tiny.tensors.get_mut(&Role::Head) {
            for (id, row) in head.chunks_exact_mut(HIDDEN).enumerate() {
                if !(0x20..0x7f).contains(&id) {
                    row.fill(0.0);
                }
            }
        }
        tiny
    }

    pub fn with_vocab(architecture: &'static str, seed: u64, vocab: usize) -> Self {
        Self::with_shape(architecture, seed, vocab, LAYERS)
    }

    fn with_shape(architecture: &'static str, seed: u64, vocab: usize, layers: usize) -> Self {
        let head_dim = if architecture == "qwen3" { 32 } else { 16 };
        let mut tiny = Self {
            architecture,
            head_dim,
            vocab,
            layers,
            context: CONTEXT,
            tensors: BTreeMap::new(),
        };
        let (query, kv) = (HEADS * head_dim, KV_HEADS * head_dim);
        let mut add = |role, shape: &[usize], scale: f32, offset: f32| {
            let count = shape.iter().product();
            let values = spread(seed * 1000 + tiny.tensors.len() as u64, count);
            let values = values.iter().map(|v| v * scale + offset).collect();
            tiny.tensors.insert(role, (shape.to_vec(), values));
        };
        // An embedding and head large enough that greedy text varies.
        add(Role::Embedding, &[vocab, HIDDEN], 1.0, 0.0);
        add(Role::Head, &[vocab, HIDDEN], 1.0, 0.0);
        add(Role::FinalNorm, &[HIDDEN], 0.2, 1.0);
        for l in 0..layers {
            add(Role::AttentionNorm(l), &[HIDDEN], 0.2, 1.0);
            add(Role::QueryWeight(l), &[query, HIDDEN], 0.3, 0.0);
            add(Role::KeyWeight(l), &[kv, HIDDEN], 0.3, 0.0);
            add(Role::ValueWeight(l), &[kv, HIDDEN], 0.3, 0.0);
            add(Role::AttentionOutput(l), &[HIDDEN, query], 0.3, 0.0);
            add(Role::FeedForwardNorm(l), &[HIDDEN], 0.2, 1.0);
            add(Role::Gate(l), &[INNER, HIDDEN], 0.3, 0.0);
            add(Role::Up(l), &[INNER, HIDDEN], 0.3, 0.0);
            add(Role::Down(l), &[HIDDEN, INNER], 0.3, 0.0);
            if architecture == "qwen2" {
                add(Role::QueryBias(l), &[query], 0.5, 0.0);
                add(Role::KeyBias(l), &[kv], 0.5, 0.0);
                add(Role::ValueBias(l), &[kv], 0.5, 0.0);
            }
            if architecture == "qwen3" {
                add(Role::QueryNorm(l), &[head_dim], 0.2, 1.0);
                add(Role::KeyNorm(l), &[head_dim], 0.2, 1.0);
            }
        }
        tiny
    }

    pub fn values(&self, role: Role) -> Option<&[f32]> {
        self.tensors.get(&role).map(|(_, values)| &values[..])
    }

    /// A GGUF file, its Q and K permuted where llama.cpp does so.
    pub fn gguf(&self) -> Vec<u8> {
        self.writer().finish()
    }

    /// The same with the tokenizer and chat template of [`text`].
    pub fn gguf_with_text(&self) -> Vec<u8> {
        text::add_template(text::add_vocabulary(self.writer())).finish()
    }

    /// The same with the tokenizer alone: a base model, which knows no conversation.
    pub fn gguf_with_vocabulary(&self) -> Vec<u8> {
        text::add_vocabulary(self.writer()).finish()
    }

    fn writer(&self) -> GgufWriter {
        let key = |name: &str| format!("{}.{name}", self.architecture);
        let number = |value: usize| Value::U32(value as u32);
        let mut writer = GgufWriter::new()
            .metadata(
                "general.architecture",
                Value::String(self.architecture.into()),
            )
            .metadata(&key("block_count"), number(self.layers))
            .metadata(&key("context_length"), number(self.context))
            .metadata(&key("embedding_length"), number(HIDDEN))
            .metadata(&key("feed_forward_length"), number(INNER))
            .metadata(&key("attention.head_count"), number(HEADS))
            .metadata(&key("attention.head_count_kv"), number(KV_HEADS))
            .metadata(&key("attention.key_length"), number(self.head_dim))
            .metadata(&key("attention.value_length"), number(self.head_dim))
            .metadata(&key("rope.freq_base"), Value::F32(THETA as f32))
            .metadata(
                &key("attention.layer_norm_rms_epsilon"),
                Value::F32(EPSILON),
            );
        for (&role, (shape, values)) in &self.tensors {
            let permuted = matches!(role, Role::QueryWeight(_) | Role::KeyWeight(_));
            let values = match permuted && self.architecture == "llama" {
                true => interleave(values, self.head_dim, HIDDEN),
                false => values.clone(),
            };
            writer = writer.tensor(&role.gguf(), shape, BlockFormat::F32, bytes(&values));
        }
        writer
    }

    /// The files of a Hugging Face folder: config.json and model.safetensors.
    pub fn folder(&self) -> (Vec<u8>, Vec<u8>) {
        let config = serde_json::json!({
            "model_type": self.architecture, "hidden_size": HIDDEN, "intermediate_size": INNER,
            "num_hidden_layers": self.layers, "num_attention_heads": HEADS,
            "num_key_value_heads": KV_HEADS, "head_dim": self.head_dim, "vocab_size": self.vocab,
            "max_position_embeddings": self.context, "rms_norm_eps": EPSILON, "rope_theta": THETA,
            "hidden_act": "silu", "tie_word_embeddings": false,
        });
        let mut header = serde_json::Map::new();
        let mut data = Vec::new();
        for (role, (shape, values)) in &self.tensors {
            let start = data.len();
            data.extend(bytes(values));
            let entry = serde_json::json!({
                "dtype": "F32", "shape": shape, "data_offsets": [start, data.len()],
            });
            header.insert(role.hugging_face(), entry);
        }
        let header = serde_json::to_vec(&header).unwrap();
        let mut file = (header.len() as u64).to_le_bytes().to_vec();
        file.extend(header);
        file.extend(data);
        (serde_json::to_vec(&config).unwrap(), file)
    }

    pub fn from_gguf(&self) -> Gguf {
        Gguf::from_bytes(Path::new("tiny.gguf"), self.gguf()).unwrap()
    }

    pub fn from_folder(&self) -> SafetensorsFolder {
        let (config, file) = self.folder();
        let files = vec![("model.safetensors".into(), file)];
        SafetensorsFolder::from_bytes(Path::new("tiny"), &config, files).unwrap()
    }

    pub fn load(&self, dtype: Dtype) -> Arc<Transformer> {
        Arc::new(load(&self.from_gguf(), dtype))
    }

    /// The same on any device.
    pub fn load_on(&self, ops: &Arc<dyn Ops>, dtype: Dtype) -> Arc<Transformer> {
        Arc::new(load_on(&self.from_gguf(), ops.clone(), dtype))
    }
}

pub fn load(checkpoint: &dyn Checkpoint, dtype: Dtype) -> Transformer {
    load_on(checkpoint, Arc::new(CpuOps::new(2)), dtype)
}

pub fn load_on(checkpoint: &dyn Checkpoint, ops: Arc<dyn Ops>, dtype: Dtype) -> Transformer {
    let options = LoadOptions {
        dtype: Some(dtype),
        context: None,
    };
    Transformer::load(checkpoint, ops, options, |_, _| {}).unwrap()
}

fn bytes(values: &[f32]) -> Vec<u8> {
    values.iter().flat_map(|v| v.to_le_bytes()).collect()
}

/// Rows of each head from two halves to alternating, as llama.cpp's converter stores
/// them for the `llama` architecture.
fn interleave(values: &[f32], head_dim: usize, cols: usize) -> Vec<f32> {
    let rows: Vec<&[f32]> = values.chunks_exact(cols).collect();
    let half = head_dim / 2;
    let from = |row: usize| {
        let (head, i) = (row / head_dim, row % head_dim);
        head * head_dim + i % 2 * half + i / 2
    };
    (0..rows.len())
        .flat_map(|row| rows[from(row)])
        .copied()
        .collect()
}
