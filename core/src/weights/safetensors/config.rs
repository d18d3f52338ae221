//! `config.json` of Hugging Face transformers, versions 4 and 5, to a [`ModelConfig`].

use std::path::Path;

use serde::Deserialize;
use serde::de::DeserializeOwned;

use crate::error::{Error, Result};
use crate::model::{ModelConfig, RopeScaling};
use crate::weights::rules::{check, known_architecture, unsupported};

/// What a folder's configuration says.
pub(in crate::weights) struct FolderConfig {
    pub(in crate::weights) model: ModelConfig,
    /// Whether the head is the embedding; where unsaid, the tensors tell.
    pub(in crate::weights) tied: Option<bool>,
}

/// The part that decides whether the rest can be read at all.
#[derive(Deserialize)]
struct Kind {
    model_type: String,
}

/// The fields that matter here; `null` counts as absent.
#[derive(Deserialize)]
struct Raw {
    hidden_size: usize,
    intermediate_size: usize,
    num_hidden_layers: usize,
    num_attention_heads: usize,
    num_key_value_heads: Option<usize>,
    head_dim: Option<usize>,
    vocab_size: usize,
    max_position_embeddings: usize,
    rms_norm_eps: f64,
    rope_theta: Option<f64>,
    /// Version 4.
    rope_scaling: Option<Rope>,
    /// Version 5, which also moved `rope_theta` there.
    rope_parameters: Option<Rope>,
    partial_rotary_factor: Option<f64>,
    hidden_act: Option<String>,
    tie_word_embeddings: Option<bool>,
    sliding_window: Option<usize>,
    use_sliding_window: Option<bool>,
    quantization_config: Option<Quantization>,
}

#[derive(Deserialize)]
struct Quantization {
    quant_method: Option<String>,
}

/// Rotary angles, as `rope_scaling` or `rope_parameters` tell them.
#[derive(Default, Deserialize)]
pub(crate) struct Rope {
    rope_type: Option<String>,
    /// The older name of `rope_type`; some files have both.
    #[serde(rename = "type")]
    old_type: Option<String>,
    pub rope_theta: Option<f64>,
    factor: Option<f64>,
    low_freq_factor: Option<f64>,
    high_freq_factor: Option<f64>,
    original_max_position_embeddings: Option<usize>,
    partial_rotary_factor: Option<f64>,
}

impl FolderConfig {
    /// Parses and checks the text of the file at `path`.
    pub(in crate::weights) fn parse(path: &Path, json: &[u8]) -> Result<FolderConfig> {
        let Kind { model_type } = from_json(path, json)?;
        known_architecture(path, &model_type)?;
        let raw: Raw = from_json(path, json)?;
        refuse(path, &raw)?;
        let (heads, context) = (raw.num_attention_heads, raw.max_position_embeddings);
        let rope = raw.rope_parameters.or(raw.rope_scaling).unwrap_or_default();
        let model = ModelConfig {
            hidden: raw.hidden_size,
            intermediate: raw.intermediate_size,
            layers: raw.num_hidden_layers,
            heads,
            kv_heads: raw.num_key_value_heads.unwrap_or(heads),
            head_dim: raw
                .head_dim
                .unwrap_or_else(|| raw.hidden_size.checked_div(heads).unwrap_or(0)),
            vocab: raw.vocab_size,
            // Within its window, attention over a sliding window is plain attention. Only
            // Mistral slides without being told to.
            context: raw
                .sliding_window
                .filter(|_| raw.use_sliding_window.unwrap_or(model_type == "mistral"))
                .map_or(context, |window| window.min(context)),
            norm_epsilon: raw.rms_norm_eps as f32,
            rope_theta: rope.rope_theta.or(raw.rope_theta).unwrap_or(10_000.0),
            rope_scaling: rope.scaling(path)?,
            architecture: model_type,
        };
        let model = check(model, path, "config.json")?;
        Ok(FolderConfig {
            model,
            tied: raw.tie_word_embeddings,
        })
    }
}

/// Refuses what would load and then compute nonsense.
fn refuse(path: &Path, raw: &Raw) -> Result<()> {
    let activation = raw.hidden_act.as_deref().unwrap_or("silu");
    if activation != "silu" {
        return Err(unsupported(
            path,
            format!("activation `{activation}`"),
            "silu",
        ));
    }
    if let Some(Quantization { quant_method }) = &raw.quantization_config {
        let method = quant_method.as_deref().unwrap_or("of an unnamed kind");
        let what = format!("quantisation `{method}` in safetensors");
        return Err(unsupported(
            path,
            what,
            "F32, F16 and BF16 weights, or a quantised GGUF",
        ));
    }
    let partial = |rope: &Rope| rope.partial_rotary_factor;
    let ropes = raw.rope_parameters.as_ref().or(raw.rope_scaling.as_ref());
    let rotated = ropes
        .and_then(partial)
        .or(raw.partial_rotary_factor)
        .unwrap_or(1.0);
    if rotated != 1.0 {
        let what = format!("rotating a part of {rotated} of each head");
        return Err(unsupported(path, what, "partial_rotary_factor 1"));
    }
    Ok(())
}

impl Rope {
    /// The rule that stretches them.
    pub fn scaling(&self, path: &Path) -> Result<RopeScaling> {
        let kind = self
            .rope_type
            .as_deref()
            .or(self.old_type.as_deref())
            .unwrap_or("default");
        let missing = |field: &str| {
            let rule = format!("RoPE scaling `{kind}` needs `{field}`");
            invalid(path, rule)
        };
        let need = |value: Option<f64>, field| value.ok_or_else(|| missing(field));
        match kind {
            "default" => Ok(RopeScaling::None),
            "linear" => Ok(RopeScaling::Linear {
                factor: need(self.factor, "factor")?,
            }),
            "llama3" => Ok(RopeScaling::Llama3 {
                factor: need(self.factor, "factor")?,
                low_freq_factor: need(self.low_freq_factor, "low_freq_factor")?,
                high_freq_factor: need(self.high_freq_factor, "high_freq_factor")?,
                original_context: self
                    .original_max_position_embeddings
                    .ok_or_else(|| missing("original_max_position_embeddings"))?,
            }),
            _ => {
                let what = format!("RoPE scaling `{kind}`");
                Err(unsupported(path, what, "default, linear, llama3"))
            }
        }
    }
}

fn from_json<T: DeserializeOwned>(path: &Path, json: &[u8]) -> Result<T> {
    serde_json::from_slice(json).map_err(|error| invalid(path, error.to_string()))
}

fn invalid(path: &Path, rule: String) -> Error {
    Error::Format {
        path: path.into(),
        format: "config.json",
        rule,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    /// A small configuration with some fields replaced.
    fn parse(changes: Value) -> Result<FolderConfig> {
        let mut config = json!({
            "model_type": "llama", "hidden_size": 64, "intermediate_size": 128,
            "num_hidden_layers": 2, "num_attention_heads": 4, "vocab_size": 100,
            "max_position_embeddings": 256, "rms_norm_eps": 1e-5, "rope_scaling": null,
            "torch_dtype": "bfloat16"
        });
        let fields = changes.as_object().unwrap().clone();
        config.as_object_mut().unwrap().extend(fields);
        FolderConfig::parse(Path::new("m/config.json"), config.to_string().as_bytes())
    }

    fn message(changes: Value) -> String {
        parse(changes).err().unwrap().to_string()
    }

    #[test]
    fn defaults() {
        let FolderConfig { model, tied } = parse(json!({})).unwrap();
        assert_eq!((model.heads, model.kv_heads, model.head_dim), (4, 4, 16));
        assert_eq!(
            (model.rope_theta, model.rope_scaling),
            (10_000.0, RopeScaling::None)
        );
        assert_eq!((model.context, model.norm_epsilon, tied), (256, 1e-5, None));
    }

    #[test]
    fn rope_of_versions_4_and_5() {
        let llama3 = json!({
            "rope_type": "llama3", "factor": 8.0, "low_freq_factor": 1.0,
            "high_freq_factor": 4.0, "original_max_position_embeddings": 8192
        });
        let expected = RopeScaling::Llama3 {
            factor: 8.0,
            low_freq_factor: 1.0,
            high_freq_factor: 4.0,
            original_context: 8192,
        };
        let old = parse(json!({"rope_theta": 5e5, "rope_scaling": llama3}))
            .unwrap()
            .model;
        let mut parameters = llama3;
        parameters["rope_theta"] = json!(5e5);
        let new = parse(json!({"rope_parameters": parameters})).unwrap().model;
        assert_eq!(old, new);
        assert_eq!((new.rope_theta, new.rope_scaling), (5e5, expected));

        let both = json!({"rope_scaling": {"type": "linear", "rope_type": "linear", "factor": 2}});
        let linear = RopeScaling::Linear { factor: 2.0 };
        assert_eq!(parse(both).unwrap().model.rope_scaling, linear);
    }

    #[test]
    fn windows_bound_the_context() {
        let window = |kind: &str, used: Value| {
            let changes = json!({
                "model_type": kind, "sliding_window": 100, "use_sliding_window": used
            });
            parse(changes).unwrap().model.context
        };
        assert_eq!(window("mistral", Value::Null), 100);
        assert_eq!(window("qwen2", json!(false)), 256);
        assert_eq!(window("qwen2", json!(true)), 100);
    }

    #[test]
    fn what_is_not_done_is_refused_by_name() {
        let cases = [
            (
                json!({"model_type": "gemma"}),
                "architecture `gemma` is not supported; supported: llama, mistral, qwen2, qwen3",
            ),
            (
                json!({"hidden_act": "gelu"}),
                "activation `gelu` is not supported; supported: silu",
            ),
            (
                json!({"rope_scaling": {"type": "yarn", "factor": 4}}),
                "RoPE scaling `yarn` is not supported; supported: default, linear, llama3",
            ),
            (
                json!({"rope_scaling": {"type": "linear"}}),
                "RoPE scaling `linear` needs `factor`",
            ),
            (
                json!({"quantization_config": {"quant_method": "gptq"}}),
                "or a quantised GGUF",
            ),
            (
                json!({"partial_rotary_factor": 0.5}),
                "a part of 0.5 of each head is not supported; supported: partial_rotary_factor 1",
            ),
            (
                json!({"num_attention_heads": 0}),
                "attention heads must be 1 to 1048576, found 0",
            ),
            (
                json!({"num_key_value_heads": 3}),
                "3 key-value heads do not divide 4 heads",
            ),
        ];
        for (changes, expected) in cases {
            let message = message(changes);
            assert!(message.starts_with("m/config.json: "), "{message}");
            assert!(message.ends_with(expected), "{message}");
        }
        assert!(message(json!({"hidden_size": "x"})).contains("not a valid config.json file"));
        let empty = FolderConfig::parse(Path::new("c"), b"{}")
            .err()
            .unwrap()
            .to_string();
        assert!(empty.contains("missing field `model_type`"), "{empty}");
    }
}
