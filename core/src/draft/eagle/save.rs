//! Writing heads, for whoever makes them.

use std::path::Path;

use super::config::{HeadConfig, Taps};
use super::names;
use crate::error::{Error, Result};
use crate::model::{RopeScaling, rotary_divisors};
use crate::weights::{Array, Dtype, GgufWriter, SafetensorsWriter, Value, write_atomically};

/// A head about to be written: what [`load_head`](super::load_head) reads back.
#[derive(Clone, Debug, Default)]
pub struct HeadFile {
    /// Tensors by their official names (`midlayer.self_attn.q_proj.weight`,
    /// `fc.weight`..): shape, outermost first, and values, row-major.
    pub tensors: Vec<(String, Vec<usize>, Vec<f32>)>,
    /// The target's id of each draft id, ascending; `None` where they are the same.
    pub ids: Option<Vec<u32>>,
    /// The content of config.json.
    pub config: serde_json::Value,
}

impl HeadFile {
    /// Writes `config.json` and `model.safetensors` into a folder, which it makes.
    ///
    /// # Errors
    /// [`Error::Write`] where the system refuses, and those of
    /// [`HeadFile::safetensors`].
    pub fn save_folder(&self, folder: &Path, dtype: Dtype) -> Result<()> {
        let file = self.safetensors(dtype)?;
        std::fs::create_dir_all(folder).map_err(|source| Error::Write {
            path: folder.into(),
            source,
        })?;
        let config = format!("{:#}\n", self.config);
        write_atomically(&folder.join("config.json"), config.as_bytes())?;
        write_atomically(&folder.join("model.safetensors"), &file)
    }

    /// Writes a GGUF file: see [`HeadFile::gguf`].
    ///
    /// # Errors
    /// [`Error::Write`] where the system refuses, and those of [`HeadFile::gguf`].
    pub fn save_gguf(&self, path: &Path) -> Result<()> {
        write_atomically(path, &self.gguf()?)
    }

    /// The bytes of a safetensors file in f32 or f16, draft ids as offsets
    /// (`d2t`) and, where `config` says how many ids the target has, as flags (`t2d`).
    ///
    /// # Errors
    /// [`Error::Invalid`]: values that do not fill their shape, are not finite, or are
    /// none that `dtype` can hold.
    pub fn safetensors(&self, dtype: Dtype) -> Result<Vec<u8>> {
        let mut writer = SafetensorsWriter::new();
        for (name, shape, values) in &self.tensors {
            writer = writer.values(name, shape, dtype, values)?;
        }
        if let Some(ids) = &self.ids {
            let offsets = ids
                .iter()
                .zip(0..)
                .map(|(&id, i): (_, i64)| i64::from(id) - i);
            writer = writer.integers("d2t", &offsets.collect::<Vec<_>>());
            // Other programs look for both directions.
            if let Some(vocab) = self.config["vocab_size"].as_u64() {
                let known = (0..vocab).map(|id| ids.binary_search(&(id as u32)).is_ok());
                writer = writer.flags("t2d", &known.collect::<Vec<_>>());
            }
        }
        writer.finish()
    }

    /// The bytes of a GGUF file: matrices in q8_0 (f16 where rows are not whole blocks),
    /// vectors in f32, draft ids as such. A head of EAGLE-3 has the names, keys and
    /// order of rows of llama.cpp's `eagle3`; others follow our own `eagle`
    /// (docs/eagle.md).
    ///
    /// # Errors
    /// As [`HeadFile::safetensors`]; or the configuration makes no sense.
    pub fn gguf(&self) -> Result<Vec<u8>> {
        let config = self.config.to_string();
        let config = HeadConfig::parse(Path::new("config.json"), config.as_bytes())?;
        let shape = |wanted: &str| {
            let named = |name: &str| names::ours(name).is_some_and(|name| name == wanted);
            let found = self.tensors.iter().find(|(name, ..)| named(name));
            found.map(|(_, shape, _)| &shape[..])
        };
        let rows = |name: &str| shape(name).and_then(|s| s.first()).copied().unwrap_or(0);
        let query = rows("self_attn.q_proj.weight");
        let dim = match (config.head_dim, config.heads) {
            (Some(dim), _) => dim,
            (None, Some(heads)) if heads > 0 => query / heads,
            _ => {
                let rule = "a head needs `num_attention_heads` or `head_dim` in its config.json";
                return Err(Error::Invalid(rule.into()));
            }
        };
        let eagle3 = shape("hidden_norm.weight").is_some();
        if config.taps == Taps::Last {
            let what = "a head that sees the last feature alone has no place in a GGUF file";
            return Err(Error::Invalid(what.into()));
        }
        let mut writer = self.keys(&config, eagle3, dim, rows)?;
        for (name, shape, values) in &self.tensors {
            let Some(name) = names::ours(name) else {
                continue;
            };
            let dtype = match shape[..] {
                [_, cols] if cols.is_multiple_of(32) => Dtype::Q8,
                [_, _] => Dtype::F16,
                _ => Dtype::F32,
            };
            let rotated = ["self_attn.q_proj", "self_attn.k_proj"];
            let gguf = names::gguf(&name);
            writer = match eagle3 && rotated.iter().any(|part| name.starts_with(part)) {
                true => writer.paired_values(gguf, shape, dtype, values, dim)?,
                false => writer.values(gguf, shape, dtype, values)?,
            };
        }
        if config.rope_scaling != RopeScaling::None {
            let divisors = rotary_divisors(config.rope_theta, dim, &config.rope_scaling);
            let shape = [divisors.len()];
            writer = writer.values("rope_freqs.weight", &shape, Dtype::F32, &divisors)?;
        }
        if let Some(ids) = &self.ids {
            let ids: Vec<i64> = ids.iter().map(|&id| id.into()).collect();
            writer = writer.integers("d2t", &ids);
        }
        Ok(writer.finish())
    }

    /// The metadata of a GGUF file.
    fn keys(
        &self,
        config: &HeadConfig,
        eagle3: bool,
        dim: usize,
        rows: impl Fn(&str) -> usize,
    ) -> Result<GgufWriter> {
        let architecture = if eagle3 { "eagle3" } else { "eagle" };
        let key = |name: &str| format!("{architecture}.{name}");
        let mut writer = GgufWriter::new()
            .metadata("general.architecture", Value::String(architecture.into()))
            .metadata(&key("rope.freq_base"), Value::F32(config.rope_theta as f32));
        if let Some(epsilon) = config.norm_epsilon {
            let name = key("attention.layer_norm_rms_epsilon");
            writer = writer.metadata(&name, Value::F32(epsilon));
        }
        let heads = |name: &str| rows(name).checked_div(dim).unwrap_or(0);
        let sizes = [
            ("block_count", Some(1)),
            ("embedding_length", Some(rows("fc.weight"))),
            ("feed_forward_length", Some(rows("mlp.gate_proj.weight"))),
            (
                "attention.head_count",
                Some(heads("self_attn.q_proj.weight")),
            ),
            (
                "attention.head_count_kv",
                Some(heads("self_attn.k_proj.weight")),
            ),
            ("attention.key_length", Some(dim)),
            ("attention.value_length", Some(dim)),
            ("rope.dimension_count", Some(dim)),
            ("vocab_size", config.vocab),
            ("target_hidden_size", config.target_hidden),
        ];
        for (name, size) in sizes {
            if let Some(size) = size {
                writer = writer.metadata(&key(name), Value::U32(size as u32));
            }
        }
        let flags = [
            ("norm_before_residual", config.norm_before_residual),
            ("norm_output", config.norm_output),
            ("norm_before_fc", config.norm_before_fc),
            ("fc_norm", config.fc_norm),
        ];
        for (name, on) in flags {
            if on {
                writer = writer.metadata(&key(name), Value::Bool(true));
            }
        }
        match &config.taps {
            // Without a target nobody knows how many layers there are.
            Taps::Default if eagle3 => Err(Error::Invalid(
                "an EAGLE-3 head needs `eaglet_taps` in its config.json to become GGUF".into(),
            )),
            Taps::Default => Ok(writer),
            taps => {
                let points = taps.points(0).iter().map(|&point| point as u32).collect();
                let points = Value::Array(Array::U32(points));
                Ok(writer.metadata(&key("extract_layers"), points))
            }
        }
    }
}
