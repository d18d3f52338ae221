//! What a head's file says of itself, without a target.

use std::fmt;

use super::config::{HeadConfig, Taps};
use super::{HeadCheckpoint, names};
use crate::error::Result;

/// What sort of head a file holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HeadKind {
    /// EAGLE-1, which EAGLE-2 shares.
    Eagle1,
    /// EAGLE-3.
    Eagle3,
    /// Medusa.
    Medusa,
}

/// The usual name.
impl fmt::Display for HeadKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Eagle1 => "EAGLE-1 and EAGLE-2",
            Self::Eagle3 => "EAGLE-3",
            Self::Medusa => "Medusa",
        })
    }
}

/// A head as its file describes it. Widths are numbers of values.
#[derive(Clone, Debug, PartialEq)]
pub struct HeadInfo {
    /// What sort of head.
    pub kind: HeadKind,
    /// Its own width.
    pub hidden: usize,
    /// Width of the residual stream of the target that it is for.
    pub target_hidden: usize,
    /// Width of its feed-forward block; 0 for Medusa.
    pub intermediate: usize,
    /// Query heads, key heads, dimensions of each, as far as they are known.
    pub heads: Option<(usize, usize, usize)>,
    /// Tokens of the target's vocabulary, where the file tells.
    pub vocab: Option<usize>,
    /// Tokens that it can draft; `None` for all of the target's.
    pub draft_vocab: Option<usize>,
    /// The layers whose inputs it sees; `None` where the target's depth decides: 2, L / 2
    /// and L - 3. Empty for heads that see the last hidden state.
    pub taps: Option<Vec<usize>>,
    /// Base of its rotary frequencies.
    pub rope_theta: f64,
    /// Flags that are on and optional parts that are there, by the names of the formats.
    pub features: Vec<&'static str>,
}

impl HeadCheckpoint {
    /// What sort of head the tensors are, or `None` where they are none.
    pub fn kind(&self) -> Option<HeadKind> {
        let has = |name: &str| self.shape(name).is_some();
        if has("0.0.linear.weight") {
            Some(HeadKind::Medusa)
        } else if has("hidden_norm.weight") {
            Some(HeadKind::Eagle3)
        } else if has("fc.weight") {
            Some(HeadKind::Eagle1)
        } else {
            None
        }
    }

    /// Describes the head; `None` where the tensors are no head's.
    ///
    /// # Errors
    /// The configuration makes no sense, or the tensors contradict each other.
    pub fn describe(&self) -> Result<Option<HeadInfo>> {
        match self.kind() {
            Some(HeadKind::Medusa) => self.medusa().map(Some),
            Some(kind) => self.eagle(kind).map(Some),
            None => Ok(None),
        }
    }

    /// The shape of a tensor of our name.
    fn shape(&self, ours: &str) -> Option<&[usize]> {
        let named = |name: &str| names::ours(name).is_some_and(|name| name == ours);
        let found = self.tensors.tensors().find(|tensor| named(tensor.name));
        found.map(|tensor| tensor.shape)
    }

    fn matrix(&self, ours: &str) -> Result<(usize, usize)> {
        match self.shape(ours) {
            Some(&[rows, cols]) => Ok((rows, cols)),
            Some(shape) => {
                let found = format!("shape {shape:?}");
                Err(self.tensors.wrong(ours, "a matrix", &found))
            }
            None => Err(self.tensors.missing(ours)),
        }
    }

    fn eagle(&self, kind: HeadKind) -> Result<HeadInfo> {
        let config = match self.tensors.architecture() {
            Some(_) => HeadConfig::of_gguf(&self.tensors)?,
            None => {
                let path = self.tensors.path().with_file_name("config.json");
                HeadConfig::parse(&path, &self.config)?
            }
        };
        // A head that fuses nothing is as wide as its target.
        let (hidden, fused) = match (kind, &config.taps) {
            (HeadKind::Eagle3, Taps::Last) => {
                let (_, inputs) = self.matrix("self_attn.q_proj.weight")?;
                (inputs / 2, inputs / 2)
            }
            _ => self.matrix("fc.weight")?,
        };
        let (query, _) = self.matrix("self_attn.q_proj.weight")?;
        let (keys, _) = self.matrix("self_attn.k_proj.weight")?;
        let (intermediate, _) = self.matrix("mlp.gate_proj.weight")?;
        let dim = config
            .head_dim
            .or_else(|| query.checked_div(config.heads?))
            .filter(|&dim| dim > 0);
        let taps = match (kind, &config.taps) {
            (HeadKind::Eagle3, Taps::Default) => None,
            (HeadKind::Eagle3, taps) => Some(taps.points(0)),
            _ => Some(Vec::new()),
        };
        let inputs = match kind {
            HeadKind::Eagle3 => taps.as_ref().map_or(3, Vec::len).max(1),
            _ => 2,
        };
        let flags = [
            ("norm_before_residual", config.norm_before_residual),
            ("norm_output", config.norm_output),
        ];
        let parts = [
            ("norm_before_fc", "input_norm.weight"),
            ("fc_norm", "fc_norm.0.weight"),
            ("bias", "fc.bias"),
            ("qkv_bias", "self_attn.q_proj.bias"),
            ("embed_tokens", "embed_tokens.weight"),
            ("lm_head", "lm_head.weight"),
        ];
        let flags = flags.into_iter().filter(|(_, on)| *on);
        let parts = parts
            .into_iter()
            .filter(|(_, name)| self.shape(name).is_some());
        let first = |name| self.shape(name).and_then(|shape| shape.first()).copied();
        Ok(HeadInfo {
            kind,
            hidden,
            target_hidden: fused / inputs,
            intermediate,
            heads: dim.map(|dim| (query / dim, keys / dim, dim)),
            vocab: first("embed_tokens.weight")
                .or(first("t2d"))
                .or(config.vocab),
            draft_vocab: first("d2t"),
            taps,
            rope_theta: config.rope_theta,
            features: flags.map(|f| f.0).chain(parts.map(|p| p.0)).collect(),
        })
    }

    fn medusa(&self) -> Result<HeadInfo> {
        let (hidden, _) = self.matrix("0.0.linear.weight")?;
        // Heads without an output layer of their own use the target's.
        let block = |k: &usize| self.shape(&format!("0.{k}.linear.weight"));
        let blocks = (0..).take_while(|k| block(k).is_some()).count();
        let output = self.shape(&format!("0.{blocks}.weight"));
        Ok(HeadInfo {
            kind: HeadKind::Medusa,
            hidden,
            target_hidden: hidden,
            intermediate: 0,
            heads: None,
            vocab: output.and_then(|shape| shape.first()).copied(),
            draft_vocab: None,
            taps: Some(Vec::new()),
            rope_theta: 10_000.0,
            features: Vec::new(),
        })
    }
}
