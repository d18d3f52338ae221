//! Random EAGLE heads for a small target, in every exporter's names, and their forward
//! pass as the papers write it: one pair at a time, in f64, on plain vectors.

use std::collections::BTreeMap;
use std::path::Path;

use burn::tensor::{DType, Tensor, TensorData};
use eaglet_core::cache::{KvPool, Table};
use eaglet_core::draft::{Head, HeadFile, load_head};
use eaglet_core::model::{Features, Transformer};
use eaglet_core::weights::{Dtype, NamedTensors};

use crate::numbers::spread;
use crate::tiny::{HIDDEN, VOCAB};

pub const DIM: usize = 16;
pub const HEADS: usize = 4;
pub const KV_HEADS: usize = 2;
pub const INNER: usize = 80;
pub const DRAFT_VOCAB: usize = 40;
pub const EPSILON: f64 = 1e-6;
pub const TAPS: [usize; 3] = [0, 1, 2];

/// Which generation of heads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Eagle1,
    Eagle3,
}

/// A head's tensors by their official names, and what its configuration says. The naive
/// pass does what the tensors that are there ask for.
#[derive(Clone)]
pub struct TinyHead {
    pub kind: Kind,
    pub tensors: BTreeMap<String, (Vec<usize>, Vec<f32>)>,
    /// Dimensions of a head; the projections decide how many heads there are.
    pub dim: usize,
    pub theta: f64,
    /// Angles are divided by this.
    pub stretch: f64,
    pub norm_before_residual: bool,
    pub norm_output: bool,
}

impl TinyHead {
    pub fn random(kind: Kind, seed: u64) -> Self {
        let mut tensors = BTreeMap::new();
        let mut add = |name: &str, shape: &[usize], scale: f32, offset: f32| {
            let values = spread(seed * 100 + tensors.len() as u64, shape.iter().product());
            let values = values.iter().map(|v| v * scale + offset).collect();
            tensors.insert(name.to_owned(), (shape.to_vec(), values));
        };
        let layer = match kind {
            Kind::Eagle1 => "layers.0",
            Kind::Eagle3 => "midlayer",
        };
        let input = match kind {
            Kind::Eagle1 => HIDDEN,
            Kind::Eagle3 => 2 * HIDDEN,
        };
        for (part, rows) in [
            ("q", HEADS * DIM),
            ("k", KV_HEADS * DIM),
            ("v", KV_HEADS * DIM),
        ] {
            add(
                &format!("{layer}.self_attn.{part}_proj.weight"),
                &[rows, input],
                0.3,
                0.0,
            );
        }
        add(
            &format!("{layer}.self_attn.o_proj.weight"),
            &[HIDDEN, HEADS * DIM],
            0.3,
            0.0,
        );
        add(
            &format!("{layer}.mlp.gate_proj.weight"),
            &[INNER, HIDDEN],
            0.3,
            0.0,
        );
        add(
            &format!("{layer}.mlp.up_proj.weight"),
            &[INNER, HIDDEN],
            0.3,
            0.0,
        );
        add(
            &format!("{layer}.mlp.down_proj.weight"),
            &[HIDDEN, INNER],
            0.3,
            0.0,
        );
        add(
            &format!("{layer}.post_attention_layernorm.weight"),
            &[HIDDEN],
            0.2,
            1.0,
        );
        match kind {
            Kind::Eagle1 => {
                add("fc.weight", &[HIDDEN, 2 * HIDDEN], 0.2, 0.0);
                add("fc.bias", &[HIDDEN], 0.2, 0.0);
            }
            Kind::Eagle3 => {
                add("fc.weight", &[HIDDEN, 3 * HIDDEN], 0.2, 0.0);
                add("midlayer.input_layernorm.weight", &[HIDDEN], 0.2, 1.0);
                add("midlayer.hidden_norm.weight", &[HIDDEN], 0.2, 1.0);
                add("norm.weight", &[HIDDEN], 0.2, 1.0);
                add("lm_head.weight", &[DRAFT_VOCAB, HIDDEN], 0.5, 0.0);
            }
        }
        Self {
            kind,
            tensors,
            dim: DIM,
            theta: 10_000.0,
            stretch: 1.0,
            norm_before_residual: false,
            norm_output: false,
        }
    }

    /// Adds a tensor, or replaces one, of values around `offset`.
    pub fn set(&mut self, name: &str, shape: &[usize], offset: f32) {
        let values = spread(name.len() as u64, shape.iter().product());
        let values = values.iter().map(|v| v * 0.3 + offset).collect();
        self.tensors.insert(name.into(), (shape.to_vec(), values));
    }

    /// The target's id of a draft id: every second token, and the last ones.
    pub fn id(index: usize) -> usize {
        (2 * index).min(VOCAB - DRAFT_VOCAB + index)
    }

    /// The file, its tensors renamed, `d2t` as offsets or as ids.
    pub fn file(&self, rename: impl Fn(&str) -> String, absolute: bool) -> Vec<u8> {
        let mut entries: Vec<(String, &str, Vec<usize>, Vec<u8>)> = Vec::new();
        for (name, (shape, values)) in &self.tensors {
            let bytes = values.iter().flat_map(|v| v.to_le_bytes()).collect();
            entries.push((rename(name), "F32", shape.clone(), bytes));
        }
        if self.kind == Kind::Eagle3 {
            let d2t = (0..DRAFT_VOCAB).map(|i| Self::id(i) - if absolute { 0 } else { i });
            let bytes = d2t.flat_map(|v| (v as i64).to_le_bytes()).collect();
            entries.push((rename("d2t"), "I64", vec![DRAFT_VOCAB], bytes));
        }
        safetensors(entries)
    }

    pub fn config() -> serde_json::Value {
        serde_json::json!({
            "num_attention_heads": HEADS, "head_dim": DIM, "rms_norm_eps": EPSILON,
            "eagle_config": { "eagle_aux_hidden_state_layer_ids": TAPS },
        })
    }

    /// The configuration of this head: what [`TinyHead::config`] says and its own flags.
    pub fn settings(&self) -> serde_json::Value {
        let mut config = Self::config();
        config["head_dim"] = self.dim.into();
        config["rope_theta"] = self.theta.into();
        if self.stretch != 1.0 {
            let rule = serde_json::json!({ "rope_type": "linear", "factor": self.stretch });
            config["rope_scaling"] = rule;
        }
        config["norm_before_residual"] = self.norm_before_residual.into();
        config["norm_output"] = self.norm_output.into();
        if self.kind == Kind::Eagle3 && !self.tensors.contains_key("fc.weight") {
            config["eagle_config"]["use_aux_hidden_state"] = false.into();
        }
        config
    }

    pub fn load(&self, target: &Transformer, dtype: Dtype) -> Box<dyn Head> {
        let file = self.file(str::to_owned, false);
        load(&file, &self.settings(), target, dtype).unwrap()
    }

    /// The same head as its writer takes it.
    pub fn head_file(&self) -> HeadFile {
        let tensors = self.tensors.iter();
        let ids = (0..DRAFT_VOCAB).map(|i| Self::id(i) as u32);
        HeadFile {
            tensors: tensors
                .map(|(name, (shape, values))| (name.clone(), shape.clone(), values.clone()))
                .collect(),
            ids: (self.kind == Kind::Eagle3).then(|| ids.collect()),
            config: self.settings(),
        }
    }

    /// Outputs and logits of the last of a chain of pairs (fused feature, token), for a
    /// target of this embedding and head.
    pub fn naive(
        &self,
        embedding: &[f32],
        head: &[f32],
        pairs: &[(Vec<f64>, u32)],
    ) -> (Vec<f64>, Vec<f64>) {
        let (mut keys, mut values, mut last) = (Vec::new(), Vec::new(), Vec::new());
        let own = self.tensors.get("embed_tokens.weight");
        let embedding = own.map_or(embedding, |(_, values)| values);
        for (position, (feature, token)) in pairs.iter().enumerate() {
            let e: Vec<f64> = row(embedding, *token as usize, HIDDEN);
            let (input, residual) = match self.kind {
                Kind::Eagle1 => {
                    let y = self.linear("fc", &[&e[..], feature].concat());
                    (y.clone(), y)
                }
                Kind::Eagle3 => {
                    let e = self.norm("input_layernorm", &e);
                    let g = self.norm("hidden_norm", feature);
                    let residual = if self.norm_before_residual {
                        &g
                    } else {
                        feature
                    };
                    ([&e[..], &g].concat(), residual.clone())
                }
            };
            let mut q = self.linear("self_attn.q_proj", &input);
            let mut k = self.linear("self_attn.k_proj", &input);
            values.push(self.linear("self_attn.v_proj", &input));
            for head in q.chunks_mut(self.dim).chain(k.chunks_mut(self.dim)) {
                rotate(head, position as f64 / self.stretch, self.theta);
            }
            keys.push(k);
            let mixed = attend(&q, &keys, &values, self.dim);
            let mut x = residual;
            add(&mut x, &self.linear("self_attn.o_proj", &mixed));
            let inner = self.norm("post_attention_layernorm", &x);
            let gate = self.linear("mlp.gate_proj", &inner);
            let up = self.linear("mlp.up_proj", &inner);
            let silu = |g: f64| g / (1.0 + (-g).exp());
            let inner: Vec<f64> = gate.iter().zip(up).map(|(&g, u)| silu(g) * u).collect();
            add(&mut x, &self.linear("mlp.down_proj", &inner));
            last = x;
        }
        let normed = match self.kind {
            Kind::Eagle1 => last.clone(),
            Kind::Eagle3 => self.norm("norm", &last),
        };
        let logits = match self.tensors.contains_key("lm_head.weight") {
            true => self.linear("lm_head", &normed),
            false => product(head, &normed),
        };
        let output = if self.norm_output { normed } else { last };
        (output, logits)
    }

    /// A feature as the head takes it, from what the target left: taps, or the last feature
    /// after the final norm.
    pub fn fuse(&self, taps: &[Vec<f32>]) -> Vec<f64> {
        let wide = |tap: &Vec<f32>| tap.iter().map(|&v| v.into()).collect::<Vec<f64>>();
        let mut taps: Vec<Vec<f64>> = taps.iter().map(wide).collect();
        if self.kind == Kind::Eagle1 || !self.tensors.contains_key("fc.weight") {
            return taps.concat();
        }
        for (i, tap) in taps.iter_mut().enumerate() {
            if self.tensors.contains_key(&format!("fc_norm.{i}.weight")) {
                *tap = self.norm(&format!("fc_norm.{i}"), tap);
            }
        }
        let all = taps.concat();
        match self.tensors.contains_key("input_norm.weight") {
            true => self.linear("fc", &self.norm("input_norm", &all)),
            false => self.linear("fc", &all),
        }
    }

    fn find(&self, name: &str) -> Option<&(Vec<usize>, Vec<f32>)> {
        let prefixes = ["", "midlayer.", "layers.0."];
        prefixes
            .iter()
            .find_map(|p| self.tensors.get(&format!("{p}{name}")))
    }

    fn vector(&self, name: &str) -> Vec<f64> {
        let (_, values) = self.find(name).unwrap();
        values.iter().map(|&v| v.into()).collect()
    }

    fn linear(&self, name: &str, x: &[f64]) -> Vec<f64> {
        let (_, values) = self.find(&format!("{name}.weight")).unwrap();
        let mut y = product(values, x);
        if self.find(&format!("{name}.bias")).is_some() {
            add(&mut y, &self.vector(&format!("{name}.bias")));
        }
        y
    }

    fn norm(&self, name: &str, x: &[f64]) -> Vec<f64> {
        let mean = x.iter().map(|v| v * v).sum::<f64>() / x.len() as f64;
        let scale = (mean + EPSILON).sqrt();
        let weight = self.vector(&format!("{name}.weight"));
        x.iter().zip(weight).map(|(v, w)| v / scale * w).collect()
    }
}

/// A safetensors file, of whatever numbers: each tensor's name, type, shape and bytes.
pub fn safetensors(entries: Vec<(String, &str, Vec<usize>, Vec<u8>)>) -> Vec<u8> {
    let mut header = serde_json::Map::new();
    let mut data = Vec::new();
    for (name, number, shape, bytes) in entries {
        let offsets = [data.len(), data.len() + bytes.len()];
        let entry = serde_json::json!({
            "dtype": number, "shape": shape, "data_offsets": offsets,
        });
        header.insert(name, entry);
        data.extend(bytes);
    }
    let mut header = serde_json::to_vec(&header).unwrap();
    header.resize(header.len().next_multiple_of(8), b' ');
    let mut file = (header.len() as u64).to_le_bytes().to_vec();
    file.extend(header);
    file.extend(data);
    file
}

pub fn load(
    file: &[u8],
    config: &serde_json::Value,
    target: &Transformer,
    dtype: Dtype,
) -> eaglet_core::Result<Box<dyn Head>> {
    let file = NamedTensors::from_bytes(Path::new("head.safetensors"), file)?;
    load_head(file, config.to_string().as_bytes(), target, dtype)
}

/// A head's logits after a chain of four pairs of random features.
pub fn logits(head: &dyn Head, target: &Transformer) -> Vec<f32> {
    let ops = target.ops();
    let tap = |seed| {
        let data = TensorData::new(spread(seed, 4 * HIDDEN), [4, HIDDEN]);
        Tensor::<2>::from_data(data, ops.device())
    };
    let features = Features {
        last: tap(60),
        taps: head
            .taps()
            .iter()
            .map(|&tap_at| tap(61 + tap_at as u64))
            .collect(),
    };
    let mut pool = KvPool::new(&**ops, 1, 4, head.heads(), DType::F32).unwrap();
    let slots = pool.reserve(4).unwrap();
    let mut table = Table::default();
    let rows = table.extend(&[5, 6, 90, 5], &slots);
    let fused = head.fuse(&features).unwrap();
    let embedded = ops.embed(head.embedding(), &rows.tokens).unwrap();
    let outputs = head.pass(&fused, embedded, &rows, pool.layer(0)).unwrap();
    let logits = head.logits(&outputs).unwrap();
    pollster::block_on(ops.read(logits)).unwrap()
}

fn row(values: &[f32], index: usize, width: usize) -> Vec<f64> {
    values[index * width..][..width]
        .iter()
        .map(|&v| v.into())
        .collect()
}

/// A row-major matrix times a vector.
pub(crate) fn product(matrix: &[f32], x: &[f64]) -> Vec<f64> {
    let rows = matrix.chunks_exact(x.len());
    let dot = |row: &[f32]| row.iter().zip(x).map(|(&w, x)| f64::from(w) * x).sum();
    rows.map(dot).collect()
}

fn add(x: &mut [f64], y: &[f64]) {
    x.iter_mut().zip(y).for_each(|(x, y)| *x += y);
}

fn rotate(head: &mut [f64], position: f64, theta: f64) {
    let half = head.len() / 2;
    for i in 0..half {
        let angle = position * theta.powf(-(i as f64) / half as f64);
        let (a, b) = (head[i], head[half + i]);
        head[i] = a * angle.cos() - b * angle.sin();
        head[half + i] = b * angle.cos() + a * angle.sin();
    }
}

fn attend(q: &[f64], keys: &[Vec<f64>], values: &[Vec<f64>], dim: usize) -> Vec<f64> {
    let mut mixed = vec![0.0; q.len()];
    let group = q.len() / keys[0].len();
    for (h, q) in q.chunks(dim).enumerate() {
        let kv = h / group * dim;
        let dot = |k: &Vec<f64>| {
            k[kv..kv + dim]
                .iter()
                .zip(q)
                .map(|(k, q)| k * q)
                .sum::<f64>()
        };
        let weights: Vec<f64> = keys
            .iter()
            .map(|k| (dot(k) / (dim as f64).sqrt()).exp())
            .collect();
        let total: f64 = weights.iter().sum();
        for (weight, v) in weights.iter().zip(values) {
            for i in 0..dim {
                mixed[h * dim + i] += weight / total * v[kv + i];
            }
        }
    }
    mixed
}
