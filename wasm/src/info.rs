//! What a page is told of a model and of an answer, as JSON.

use eaglet_core::engine::Stats;
use serde::Serialize;

use crate::Device;

/// A loaded model.
#[derive(Clone, Debug, Serialize)]
pub struct Info {
    /// The model.
    pub model: ModelInfo,
    /// Its head, if one was loaded.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub head: Option<HeadInfo>,
    /// Where it runs.
    pub device: Device,
    /// What it takes, in bytes.
    pub memory: MemoryInfo,
}

/// The model.
#[derive(Clone, Debug, Serialize)]
pub struct ModelInfo {
    /// `llama`, `qwen2`, `qwen3` or `mistral`.
    pub architecture: String,
    /// Decoder layers.
    pub layers: usize,
    /// Width.
    pub hidden: usize,
    /// Tokens that it knows.
    pub vocab: usize,
    /// Positions that there is room for.
    pub context: usize,
    /// How most of the weights are stored.
    pub dtype: String,
    /// Bytes of the tensors in the file.
    pub bytes: usize,
}

/// The head.
#[derive(Clone, Debug, Serialize)]
pub struct HeadInfo {
    /// The method that is best with it.
    pub method: crate::Method,
    /// Bytes of its tensors in the file.
    pub bytes: usize,
}

/// Memory that a model takes, in bytes.
#[derive(Clone, Debug, Serialize)]
pub struct MemoryInfo {
    /// Packed weights that a pass reads.
    pub weights: usize,
    /// Keys and values, for the whole context.
    pub cache: usize,
}

/// What an answer cost.
#[derive(Clone, Debug, Serialize)]
pub struct Usage {
    prompt_tokens: usize,
    reused_tokens: usize,
    completion_tokens: usize,
    prefill_seconds: f64,
    decode_seconds: f64,
    rounds: usize,
    drafted: usize,
    accepted: usize,
    tau: f64,
    accepted_by_depth: Vec<usize>,
    tried_by_depth: Vec<usize>,
    dispatches: u64,
    uploads: u64,
    readbacks: u64,
    draft_seconds: f64,
    verify_seconds: f64,
}

impl From<&Stats> for Usage {
    fn from(stats: &Stats) -> Self {
        Self {
            prompt_tokens: stats.prompt_tokens,
            reused_tokens: stats.reused_tokens,
            completion_tokens: stats.generated_tokens,
            prefill_seconds: stats.prefill.as_secs_f64(),
            decode_seconds: stats.decode.as_secs_f64(),
            rounds: stats.rounds,
            drafted: stats.drafted_tokens,
            accepted: stats.accepted_by_depth.iter().sum(),
            tau: stats.tau(),
            accepted_by_depth: stats.accepted_by_depth.clone(),
            tried_by_depth: stats.tried_by_depth.clone(),
            // All none on the processor: it is no device that work is sent to.
            dispatches: stats.asked.dispatches,
            uploads: stats.asked.uploads,
            readbacks: stats.asked.readbacks,
            draft_seconds: stats.draft.as_secs_f64(),
            verify_seconds: stats.verify.as_secs_f64(),
        }
    }
}
