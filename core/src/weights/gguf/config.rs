//! GGUF metadata to a [`ModelConfig`]. Keys are prefixed with the architecture.

use super::{Gguf, Value};
use crate::error::{Error, Result};
use crate::model::{ModelConfig, RopeScaling};
use crate::weights::rules::{check, known_architecture, known_biases, unsupported};
use crate::weights::{Checkpoint, Role};

/// Reads, completes and checks the numbers of the model.
pub(super) fn read(gguf: &Gguf) -> Result<ModelConfig> {
    let keys = Keys::new(gguf)?;
    refuse(&keys)?;
    let hidden = keys.size("embedding_length")?;
    let heads = keys.size("attention.head_count")?;
    let head_dim = match keys.optional_size("attention.key_length")? {
        Some(head_dim) => head_dim,
        None => hidden.checked_div(heads).unwrap_or(0),
    };
    // Values of another width, or a rotation of only some dimensions, are other models.
    for key in ["attention.value_length", "rope.dimension_count"] {
        match keys.optional_size(key)? {
            Some(found) if found != head_dim => {
                let rule = format!(
                    "`{}` must be the head dimension {head_dim}, found {found}",
                    keys.full(key)
                );
                return Err(keys.invalid(rule));
            }
            _ => {}
        }
    }
    let context = keys.size("context_length")?;
    // Within its window, attention over a sliding window is plain attention.
    let window = keys
        .optional_size("attention.sliding_window")?
        .filter(|window| *window > 0);
    let config = ModelConfig {
        architecture: keys.architecture.into(),
        hidden,
        intermediate: keys.size("feed_forward_length")?,
        layers: keys.size("block_count")?,
        heads,
        kv_heads: keys
            .optional_size("attention.head_count_kv")?
            .unwrap_or(heads),
        head_dim,
        vocab: vocab(gguf, hidden)?,
        context: window.map_or(context, |window| window.min(context)),
        norm_epsilon: keys.number("attention.layer_norm_rms_epsilon")? as f32,
        rope_theta: keys.optional_number("rope.freq_base")?.unwrap_or(10_000.0),
        rope_scaling: rope_scaling(&keys)?,
    };
    check(config, gguf.path(), "GGUF")
}

/// Refuses what would load and then compute nonsense.
fn refuse(keys: &Keys<'_>) -> Result<()> {
    let path = keys.gguf.path();
    let count = |value: Option<&Value>| value.and_then(Value::as_u64).unwrap_or(0);
    let parts = count(keys.gguf.metadata("split.count"));
    if parts > 1 {
        let what = format!("a GGUF split into {parts} files");
        return Err(unsupported(
            path,
            what,
            "one file (merge with llama-gguf-split)",
        ));
    }
    let experts = keys.optional_size("expert_count")?.unwrap_or(0);
    if experts > 0 {
        let what = format!("a mixture of {experts} experts");
        return Err(unsupported(path, what, "dense feed-forward blocks"));
    }
    known_biases(
        path,
        &keys.gguf.header.tensors,
        ["attn_q.bias", "attn_k.bias", "attn_v.bias"],
    )
}

/// LLaMA 3.1's stretching comes as the tensor of [`Role::RopeFactors`] instead.
fn rope_scaling(keys: &Keys<'_>) -> Result<RopeScaling> {
    let key = "rope.scaling.type";
    let kind = match keys.get(key) {
        Some(value) => value
            .as_str()
            .ok_or_else(|| keys.wrong(key, "a string", value))?,
        None => "none",
    };
    match kind {
        "none" => Ok(RopeScaling::None),
        "linear" => Ok(RopeScaling::Linear {
            factor: keys.number("rope.scaling.factor")?,
        }),
        _ => Err(unsupported(
            keys.gguf.path(),
            format!("RoPE scaling `{kind}`"),
            "none, linear",
        )),
    }
}

/// The rows of the embedding: tokenizers may list fewer tokens.
fn vocab(gguf: &Gguf, hidden: usize) -> Result<usize> {
    let (path, name) = (gguf.path().into(), Role::Embedding.gguf());
    match gguf.header.tensor(&name) {
        None => Err(Error::MissingTensor { path, name }),
        Some((tensor, _)) => match tensor.shape[..] {
            [vocab, width] if width == hidden => Ok(vocab),
            _ => {
                let (expected, found) = (
                    format!("shape [vocabulary, {hidden}]"),
                    format!("{:?}", tensor.shape),
                );
                Err(Error::Tensor {
                    path,
                    name,
                    expected,
                    found,
                })
            }
        },
    }
}

/// Typed access to the keys of the file's architecture.
struct Keys<'a> {
    gguf: &'a Gguf,
    architecture: &'a str,
}

impl<'a> Keys<'a> {
    fn new(gguf: &'a Gguf) -> Result<Keys<'a>> {
        let architecture = gguf.architecture().ok_or_else(|| Error::Format {
            path: gguf.path().into(),
            format: "GGUF",
            rule: "`general.architecture` must name the architecture, and is missing".into(),
        })?;
        known_architecture(gguf.path(), architecture)?;
        Ok(Keys { gguf, architecture })
    }

    fn full(&self, key: &str) -> String {
        format!("{}.{key}", self.architecture)
    }

    fn get(&self, key: &str) -> Option<&'a Value> {
        self.gguf.metadata(&self.full(key))
    }

    fn size(&self, key: &str) -> Result<usize> {
        self.optional_size(key)?.ok_or_else(|| self.missing(key))
    }

    fn optional_size(&self, key: &str) -> Result<Option<usize>> {
        let read = |value: &Value| {
            let size = value.as_u64().and_then(|size| usize::try_from(size).ok());
            size.ok_or_else(|| self.wrong(key, "a size", value))
        };
        self.get(key).map(read).transpose()
    }

    fn number(&self, key: &str) -> Result<f64> {
        self.optional_number(key)?.ok_or_else(|| self.missing(key))
    }

    fn optional_number(&self, key: &str) -> Result<Option<f64>> {
        let read = |value: &Value| {
            value
                .as_f64()
                .ok_or_else(|| self.wrong(key, "a number", value))
        };
        self.get(key).map(read).transpose()
    }

    fn missing(&self, key: &str) -> Error {
        self.invalid(format!("`{}` is missing", self.full(key)))
    }

    fn wrong(&self, key: &str, expected: &str, found: &Value) -> Error {
        let found = found.brief();
        self.invalid(format!(
            "`{}` must be {expected}, found {found}",
            self.full(key)
        ))
    }

    fn invalid(&self, rule: String) -> Error {
        Error::Format {
            path: self.gguf.path().into(),
            format: "GGUF",
            rule,
        }
    }
}
