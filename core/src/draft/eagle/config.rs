//! What a head says of itself: `config.json` as the official files, vLLM's and the
//! speculators' wrappers and SpecForge write it, or the metadata of a GGUF file.

use std::path::Path;

use serde::Deserialize;
use serde_json::Value;

use crate::error::{Error, Result};
use crate::model::RopeScaling;
use crate::weights::{NamedTensors, Rope, is_positive, scaling};

/// What a head's configuration says. Tensors are trusted over it; what it leaves out is
/// the target's.
#[derive(Clone, Debug)]
pub(super) struct HeadConfig {
    pub heads: Option<usize>,
    pub head_dim: Option<usize>,
    pub norm_epsilon: Option<f32>,
    /// 10000 where nothing is said, whatever the target's is: EAGLE-3's training code
    /// ignored it.
    pub rope_theta: f64,
    pub rope_scaling: RopeScaling,
    pub norm_before_residual: bool,
    pub norm_output: bool,
    /// Whether norms before `fc` are promised; their tensors decide.
    pub norm_before_fc: bool,
    pub fc_norm: bool,
    pub vocab: Option<usize>,
    /// Width of the target's residual stream.
    pub target_hidden: Option<usize>,
    pub taps: Taps,
}

/// Which layers of the target a head of EAGLE-3 sees.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Taps {
    /// Inputs of layers 2, L / 2 and L - 3.
    Default,
    /// Ids that files count as inputs or as outputs of layers; those whose first is 1
    /// count outputs.
    Ids(Vec<usize>),
    /// Inputs of layers, beyond doubt.
    Inputs(Vec<usize>),
    /// None: the last feature, after the final norm, as it is (`use_aux_hidden_state`:
    /// false).
    Last,
}

impl Taps {
    /// The points of the residual stream of a target of `layers` layers (see
    /// [`Features::taps`](crate::model::Features::taps)).
    pub fn points(&self, layers: usize) -> Vec<usize> {
        match self {
            Self::Default => vec![2, layers / 2, layers.saturating_sub(3)],
            Self::Ids(ids) if ids.first() == Some(&1) => {
                ids.iter().map(|id| id.saturating_add(1)).collect()
            }
            Self::Ids(ids) | Self::Inputs(ids) => ids.clone(),
            Self::Last => Vec::new(),
        }
    }
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Layer {
    num_attention_heads: Option<usize>,
    head_dim: Option<usize>,
    rms_norm_eps: Option<f32>,
    rope_theta: Option<f64>,
    vocab_size: Option<usize>,
    rope_scaling: Option<Rope>,
    /// Version 5 of transformers, which puts the base there.
    rope_parameters: Option<Rope>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Flags {
    norm_before_residual: Option<bool>,
    norm_output: Option<bool>,
    norm_before_fc: Option<bool>,
    fc_norm: Option<bool>,
    use_aux_hidden_state: Option<bool>,
    target_hidden_size: Option<usize>,
    eagle_aux_hidden_state_layer_ids: Option<Vec<usize>>,
    /// Our own key, for taps that leave nothing to guess.
    eaglet_taps: Option<Vec<usize>>,
}

impl HeadConfig {
    /// Reads the text of a config.json.
    pub fn parse(path: &Path, text: &[u8]) -> Result<Self> {
        let rule = |rule: String| Error::Format {
            path: path.into(),
            format: "config.json",
            rule,
        };
        let broken = |e: serde_json::Error| rule(e.to_string());
        let all: Value = serde_json::from_slice(text).map_err(broken)?;
        // The layer's numbers stand at the top, or in one of the wrappers.
        let nested = ["transformer_layer_config", "model"].map(|key| &all[key]);
        let layer = nested.into_iter().find(|v| v.is_object()).unwrap_or(&all);
        let layer: Layer = serde_json::from_value(layer.clone()).map_err(broken)?;
        let flags: Flags = serde_json::from_value(all.clone()).map_err(broken)?;
        let inner = &all["eagle_config"];
        let inner: Flags = match inner.is_object() {
            true => serde_json::from_value(inner.clone()).map_err(broken)?,
            false => Flags::default(),
        };
        let rope = layer.rope_parameters.or(layer.rope_scaling);
        let rope = rope.unwrap_or_default();
        let flag = |own: Option<bool>, inner: Option<bool>| own.or(inner);
        let fused = flag(flags.use_aux_hidden_state, inner.use_aux_hidden_state).unwrap_or(true);
        let on = |own, inner| flag(own, inner).unwrap_or(false);
        let ids = flags.eagle_aux_hidden_state_layer_ids;
        let ids = ids.or(inner.eagle_aux_hidden_state_layer_ids);
        let config = Self {
            heads: layer.num_attention_heads,
            head_dim: layer.head_dim,
            norm_epsilon: layer.rms_norm_eps,
            rope_theta: layer.rope_theta.or(rope.rope_theta).unwrap_or(10_000.0),
            rope_scaling: rope.scaling(path)?,
            norm_before_residual: on(flags.norm_before_residual, inner.norm_before_residual),
            norm_output: on(flags.norm_output, inner.norm_output),
            norm_before_fc: on(flags.norm_before_fc, inner.norm_before_fc),
            fc_norm: on(flags.fc_norm, inner.fc_norm),
            vocab: layer.vocab_size,
            target_hidden: flags.target_hidden_size.or(inner.target_hidden_size),
            taps: match (flags.eaglet_taps.or(inner.eaglet_taps), ids) {
                _ if !fused => Taps::Last,
                (Some(inputs), _) => Taps::Inputs(inputs),
                (None, Some(ids)) => Taps::Ids(ids),
                (None, None) => Taps::Default,
            },
        };
        config.check().map_err(rule)?;
        Ok(config)
    }

    /// Reads the metadata of a GGUF file: llama.cpp's `eagle3`, and our `eagle`, which
    /// has the same keys as far as they apply.
    pub fn of_gguf(file: &NamedTensors) -> Result<Self> {
        let architecture = file.architecture().unwrap_or_default();
        if !["eagle", "eagle3"].contains(&architecture) {
            return Err(Error::Unsupported {
                path: file.path().into(),
                what: format!("architecture `{architecture}` as a head"),
                supported: "eagle, eagle3".into(),
            });
        }
        let rule = |rule: String| Error::Format {
            path: file.path().into(),
            format: "GGUF",
            rule,
        };
        let key = |name: &str| format!("{architecture}.{name}");
        let size = |name: &str| match file.metadata(&key(name)) {
            None => Ok(None),
            Some(value) => {
                let size = value.as_u64().and_then(|size| usize::try_from(size).ok());
                let size = size.ok_or_else(|| rule(format!("`{}` must be a size", key(name))))?;
                Ok(Some(size))
            }
        };
        let number = |name: &str| match file.metadata(&key(name)) {
            None => Ok(None),
            Some(value) => {
                let number = value.as_f64();
                let number =
                    number.ok_or_else(|| rule(format!("`{}` must be a number", key(name))))?;
                Ok::<_, Error>(Some(number))
            }
        };
        let on = |name: &str| match file.metadata(&key(name)) {
            None => Ok(false),
            Some(value) => value
                .as_bool()
                .ok_or_else(|| rule(format!("`{}` must be true or false", key(name)))),
        };
        // Renamed after llama.cpp's first version; both are inputs of layers.
        let taps = ["extract_layers", "target_layers"].map(key);
        let taps = taps.iter().find_map(|key| file.metadata(key));
        let taps = match taps {
            None => Taps::Default,
            Some(value) => {
                let ids = value.as_u64s();
                let ids = ids.ok_or_else(|| rule("the layers to extract must be ids".into()))?;
                Taps::Inputs(ids.into_iter().map(|id| id as usize).collect())
            }
        };
        let config = Self {
            heads: size("attention.head_count")?,
            head_dim: size("attention.key_length")?.or(size("rope.dimension_count")?),
            norm_epsilon: number("attention.layer_norm_rms_epsilon")?.map(|v| v as f32),
            rope_theta: number("rope.freq_base")?.unwrap_or(10_000.0),
            rope_scaling: RopeScaling::None, // A tensor says it: `rope_freqs`.
            norm_before_residual: on("norm_before_residual")?,
            norm_output: on("norm_output")?,
            norm_before_fc: on("norm_before_fc")?,
            fc_norm: on("fc_norm")?,
            vocab: size("vocab_size")?,
            target_hidden: size("target_hidden_size")?,
            taps,
        };
        config.check().map_err(rule)?;
        Ok(config)
    }

    fn check(&self) -> Result<(), String> {
        let mut numbers = scaling(&self.rope_scaling);
        numbers.push(("rms_norm_eps", self.norm_epsilon.unwrap_or(1e-6).into()));
        numbers.push(("rope_theta", self.rope_theta));
        match numbers.into_iter().find(|(_, value)| !is_positive(*value)) {
            Some((what, value)) => Err(format!("{what} {value} must be finite and above 0")),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> HeadConfig {
        HeadConfig::parse(Path::new("config.json"), text.as_bytes()).unwrap()
    }

    #[test]
    fn wrappers_hold_the_same_numbers_further_in() {
        let layer = r#""num_attention_heads": 9, "head_dim": 64, "rms_norm_eps": 1e-5,
                       "rope_theta": 5e5, "vocab_size": 100"#;
        let plain = parse(&format!("{{{layer}}}"));
        let vllm =
            format!(r#"{{"model_type": "eagle", "model": {{{layer}}}, "eagle_fc_bias": true}}"#);
        let speculators = format!(r#"{{"transformer_layer_config": {{{layer}}}}}"#);
        for wrapped in [vllm, speculators] {
            assert_eq!(
                format!("{:?}", parse(&wrapped)),
                format!("{plain:?}"),
                "{wrapped}"
            );
        }
        assert_eq!(
            (plain.heads, plain.head_dim, plain.vocab),
            (Some(9), Some(64), Some(100))
        );
        assert_eq!((plain.rope_theta, plain.taps), (5e5, Taps::Default));
    }

    #[test]
    fn flags_stand_at_the_top_or_in_eagles_own_part() {
        let ids = r#""eagle_aux_hidden_state_layer_ids": [1, 15, 27]"#;
        for text in [
            format!(r#"{{"norm_before_residual": true, {ids}}}"#),
            format!(r#"{{"eagle_config": {{"norm_before_residual": true, {ids}}}}}"#),
        ] {
            let config = parse(&text);
            assert!(config.norm_before_residual);
            assert_eq!(config.taps.points(30), [2, 16, 28], "outputs, as 1 tells");
        }
        let unfused = format!(r#"{{"eagle_config": {{"use_aux_hidden_state": false, {ids}}}}}"#);
        assert_eq!(parse(&unfused).taps, Taps::Last, "whatever ids there are");
    }
}
