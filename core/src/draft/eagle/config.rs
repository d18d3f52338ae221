//! `config.json` of a head, as the official files, vLLM's and the speculators' wrappers
//! and SpecForge write it.

use std::path::Path;

use serde::Deserialize;
use serde_json::Value;

use crate::error::{Error, Result};
use crate::model::ModelConfig;

/// What a head's configuration says. Tensors are trusted over it.
pub(super) struct HeadConfig {
    pub heads: usize,
    pub head_dim: Option<usize>,
    pub norm_epsilon: f32,
    pub rope_theta: f64,
    pub norm_before_residual: bool,
    pub norm_output: bool,
    /// As the file counts them: see `taps`.
    pub aux_layers: Option<Vec<usize>>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Layer {
    num_attention_heads: Option<usize>,
    head_dim: Option<usize>,
    rms_norm_eps: Option<f32>,
    rope_theta: Option<f64>,
    /// Where version 5 of transformers puts the base.
    rope_parameters: Option<Rope>,
    rope_scaling: Option<Value>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Rope {
    rope_theta: Option<f64>,
    rope_type: Option<String>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Flags {
    norm_before_residual: Option<bool>,
    norm_output: Option<bool>,
    eagle_aux_hidden_state_layer_ids: Option<Vec<usize>>,
}

impl HeadConfig {
    /// Reads a configuration; what it leaves out is the target's, but for the base of
    /// the rotary frequencies, which is 10000 in the files that do not say (EAGLE-3's
    /// training code ignored it).
    pub fn parse(path: &Path, text: &[u8], target: &ModelConfig) -> Result<Self> {
        let broken = |e: serde_json::Error| Error::Format {
            path: path.into(),
            format: "config.json",
            rule: e.to_string(),
        };
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
        let rule = |rule: String| Error::Format {
            path: path.into(),
            format: "config.json",
            rule,
        };
        let rope = layer.rope_parameters.unwrap_or_default();
        let stretched = rope
            .rope_type
            .as_deref()
            .is_some_and(|kind| kind != "default");
        if stretched || layer.rope_scaling.is_some_and(|scaling| !scaling.is_null()) {
            return Err(rule(
                "heads with stretched rotary angles are not supported".into(),
            ));
        }
        let norm_epsilon = layer.rms_norm_eps.unwrap_or(target.norm_epsilon);
        let rope_theta = layer.rope_theta.or(rope.rope_theta).unwrap_or(10_000.0);
        let positive = |value: f64| value.is_finite() && value > 0.0;
        if !positive(norm_epsilon.into()) || !positive(rope_theta) {
            return Err(rule(format!(
                "rms_norm_eps {norm_epsilon} and rope_theta {rope_theta} must be above 0"
            )));
        }
        Ok(Self {
            heads: layer.num_attention_heads.unwrap_or(target.heads),
            head_dim: layer.head_dim,
            norm_epsilon,
            rope_theta,
            norm_before_residual: flags
                .norm_before_residual
                .or(inner.norm_before_residual)
                .unwrap_or(false),
            norm_output: flags.norm_output.or(inner.norm_output).unwrap_or(false),
            aux_layers: flags
                .eagle_aux_hidden_state_layer_ids
                .or(inner.eagle_aux_hidden_state_layer_ids),
        })
    }

    /// The taps of an EAGLE-3 head: inputs of layers 2, L / 2 and L - 3 unless the file
    /// says otherwise. Files count inputs or outputs; those whose first id is 1 count
    /// outputs.
    pub fn taps(&self, layers: usize) -> Vec<usize> {
        match &self.aux_layers {
            Some(ids) if ids.first() == Some(&1) => {
                ids.iter().map(|id| id.saturating_add(1)).collect()
            }
            Some(ids) => ids.clone(),
            None => vec![2, layers / 2, layers.saturating_sub(3)],
        }
    }
}
