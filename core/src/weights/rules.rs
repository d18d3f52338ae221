//! What must hold of a model's numbers, whichever file they came from.

use std::path::Path;

use super::TensorInfo;
use crate::error::{Error, Result};
use crate::model::{ModelConfig, RopeScaling};

/// The architectures that a [`ModelConfig`] can describe, by their common names.
pub(super) const ARCHITECTURES: [&str; 4] = ["llama", "mistral", "qwen2", "qwen3"];

/// Generous bounds, so that products of sizes cannot overflow and a hostile file cannot
/// ask for absurd memory.
const MAX_LAYERS: usize = 1024;
const MAX_WIDTH: usize = 1 << 20;
const MAX_IDS: usize = i32::MAX as usize;

/// Refuses an architecture that is not in [`ARCHITECTURES`].
pub(super) fn known_architecture(path: &Path, name: &str) -> Result<()> {
    if ARCHITECTURES.contains(&name) {
        return Ok(());
    }
    Err(unsupported(
        path,
        format!("architecture `{name}`"),
        ARCHITECTURES.join(", "),
    ))
}

/// Refuses biases that no [`Role`](super::Role) names: ignoring them would compute nonsense.
pub(super) fn known_biases(path: &Path, tensors: &[TensorInfo], known: [&str; 3]) -> Result<()> {
    let unknown = |tensor: &&TensorInfo| {
        tensor.name.ends_with(".bias") && !known.iter().any(|end| tensor.name.ends_with(end))
    };
    match tensors.iter().find(unknown) {
        Some(tensor) => Err(unsupported(
            path,
            format!("the bias `{}`", tensor.name),
            known.join(", "),
        )),
        None => Ok(()),
    }
}

/// Hands the configuration back if it makes sense; otherwise [`Error::Format`] with the
/// rule that is broken. `format` says which kind of file is at fault.
pub(super) fn check(config: ModelConfig, path: &Path, format: &'static str) -> Result<ModelConfig> {
    let invalid = |rule: String| {
        Err(Error::Format {
            path: path.into(),
            format,
            rule,
        })
    };
    let c = &config;
    let sizes = [
        ("number of layers", c.layers, MAX_LAYERS),
        ("hidden size", c.hidden, MAX_WIDTH),
        ("feed-forward size", c.intermediate, MAX_WIDTH),
        ("number of attention heads", c.heads, MAX_WIDTH),
        ("number of key-value heads", c.kv_heads, MAX_WIDTH),
        ("head dimension", c.head_dim, MAX_WIDTH),
        ("vocabulary", c.vocab, MAX_IDS),
        ("context length", c.context, MAX_IDS),
    ];
    for (what, value, most) in sizes {
        if !(1..=most).contains(&value) {
            return invalid(format!("{what} must be 1 to {most}, found {value}"));
        }
    }
    if c.heads
        .checked_mul(c.head_dim)
        .is_none_or(|width| width > MAX_WIDTH)
    {
        let (heads, dim) = (c.heads, c.head_dim);
        return invalid(format!("{heads} heads of {dim} are wider than {MAX_WIDTH}"));
    }
    if !c.heads.is_multiple_of(c.kv_heads) {
        let (heads, kv_heads) = (c.heads, c.kv_heads);
        return invalid(format!(
            "{kv_heads} key-value heads do not divide {heads} heads"
        ));
    }
    if !c.head_dim.is_multiple_of(2) {
        return invalid(format!("head dimension must be even, found {}", c.head_dim));
    }
    let mut numbers = vec![
        ("RMS norm epsilon", f64::from(c.norm_epsilon)),
        ("RoPE base", c.rope_theta),
    ];
    numbers.extend(scaling(&c.rope_scaling));
    match numbers.into_iter().find(|(_, value)| !is_positive(*value)) {
        Some((what, value)) => {
            invalid(format!("{what} must be finite and positive, found {value}"))
        }
        None => Ok(config),
    }
}

pub(crate) fn is_positive(value: f64) -> bool {
    value.is_finite() && value > 0.0
}

/// The numbers of a rule that stretches rotary angles, all of which must be positive.
pub(crate) fn scaling(rule: &RopeScaling) -> Vec<(&'static str, f64)> {
    match *rule {
        RopeScaling::None => Vec::new(),
        RopeScaling::Linear { factor } => vec![("RoPE scaling factor", factor)],
        RopeScaling::Llama3 {
            factor,
            low_freq_factor,
            high_freq_factor,
            original_context,
        } => vec![
            ("RoPE scaling factor", factor),
            ("RoPE low_freq_factor", low_freq_factor),
            // The ramp between the two is divided by their difference.
            (
                "RoPE high_freq_factor less low_freq_factor",
                high_freq_factor - low_freq_factor,
            ),
            ("RoPE original context", original_context as f64),
        ],
    }
}

/// An [`Error::Unsupported`].
pub(super) fn unsupported(path: &Path, what: String, supported: impl Into<String>) -> Error {
    Error::Unsupported {
        path: path.into(),
        what,
        supported: supported.into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config() -> ModelConfig {
        ModelConfig {
            architecture: "llama".into(),
            hidden: 64,
            intermediate: 128,
            layers: 2,
            heads: 4,
            kv_heads: 2,
            head_dim: 16,
            vocab: 100,
            context: 128,
            norm_epsilon: 1e-5,
            rope_theta: 10000.0,
            rope_scaling: RopeScaling::None,
        }
    }

    #[test]
    fn each_rule_is_named_with_its_numbers() {
        assert!(check(config(), Path::new("m"), "GGUF").is_ok());
        let llama3 = |low_freq_factor, original_context| RopeScaling::Llama3 {
            factor: 8.0,
            low_freq_factor,
            high_freq_factor: 4.0,
            original_context,
        };
        type Change = fn(&mut ModelConfig);
        let cases: [(Change, &str); 9] = [
            (|c| c.layers = 1025, "layers must be 1 to 1024, found 1025"),
            (
                |c| c.heads = 0,
                "attention heads must be 1 to 1048576, found 0",
            ),
            (
                |c| c.kv_heads = 3,
                "3 key-value heads do not divide 4 heads",
            ),
            (|c| c.head_dim = 15, "head dimension must be even, found 15"),
            (
                |c| c.head_dim = 1 << 20,
                "4 heads of 1048576 are wider than 1048576",
            ),
            (
                |c| c.norm_epsilon = f32::NAN,
                "epsilon must be finite and positive, found NaN",
            ),
            (
                |c| c.rope_theta = 0.0,
                "RoPE base must be finite and positive, found 0",
            ),
            (
                |c| c.vocab = 0,
                "vocabulary must be 1 to 2147483647, found 0",
            ),
            (
                |c| c.rope_scaling = RopeScaling::Linear { factor: -1.0 },
                "RoPE scaling factor must be finite and positive, found -1",
            ),
        ];
        for (change, expected) in cases {
            let mut changed = config();
            change(&mut changed);
            let message = check(changed, Path::new("m"), "GGUF")
                .unwrap_err()
                .to_string();
            assert!(
                message.starts_with("m: not a valid GGUF file: "),
                "{message}"
            );
            assert!(message.ends_with(expected), "{message}");
        }
        for (scaling, ok) in [
            (llama3(1.0, 8192), true),
            (llama3(4.0, 8192), false),
            (llama3(1.0, 0), false),
        ] {
            let changed = ModelConfig {
                rope_scaling: scaling,
                ..config()
            };
            assert_eq!(check(changed, Path::new("m"), "GGUF").is_ok(), ok);
        }
    }
}
