//! What an answer cost: `generate --json` and the line for people.

use serde::Serialize;

use super::{Answer, DecodeArgs, Reply, Runtime, memory};

/// The object that `generate --json` prints. Its names are a contract.
#[derive(Serialize)]
pub struct Report<'a> {
    text: &'a str,
    prompt_ids: &'a [u32],
    ids: &'a [u32],
    finish_reason: Option<&'static str>,
    model: &'a str,
    device: &'a str,
    dtype: String,
    method: &'static str,
    verify: &'static str,
    seed: u64,
    stats: Numbers,
}

#[derive(Serialize)]
struct Numbers {
    prompt_tokens: usize,
    reused_tokens: usize,
    generated_tokens: usize,
    rounds: usize,
    drafted_tokens: usize,
    tau: f64,
    accepted_by_depth: Vec<usize>,
    load_s: f64,
    prefill_s: f64,
    decode_s: f64,
    prefill_tok_s: f64,
    decode_tok_s: f64,
    draft_s: f64,
    verify_s: f64,
    host_s: f64,
    dispatches: u64,
    uploads: u64,
    readbacks: u64,
    device_bytes: Option<u64>,
    peak_rss_bytes: Option<u64>,
}

impl<'a> Report<'a> {
    /// Gathers the object.
    pub fn new(
        runtime: &'a Runtime,
        decode: &DecodeArgs,
        prompt: &'a [u32],
        reply: &'a Reply,
        answer: &Answer<'_>,
    ) -> Self {
        let stats = answer.stats();
        Self {
            text: &reply.text,
            prompt_ids: prompt,
            ids: &reply.ids,
            finish_reason: reply.finish.map(|finish| finish.as_str()),
            model: &runtime.name,
            device: &runtime.backend.name,
            dtype: runtime.target.dtype().to_string(),
            method: answer.method().name(),
            verify: decode.verify.name(),
            seed: decode.seed,
            stats: Numbers {
                prompt_tokens: stats.prompt_tokens,
                reused_tokens: stats.reused_tokens,
                generated_tokens: stats.generated_tokens,
                rounds: stats.rounds,
                drafted_tokens: stats.drafted_tokens,
                tau: stats.tau(),
                accepted_by_depth: stats.accepted_by_depth.clone(),
                load_s: runtime.load.as_secs_f64(),
                prefill_s: stats.prefill.as_secs_f64(),
                decode_s: stats.decode.as_secs_f64(),
                prefill_tok_s: stats.prefill_rate(),
                decode_tok_s: stats.decode_rate(),
                draft_s: stats.draft.as_secs_f64(),
                verify_s: stats.verify.as_secs_f64(),
                host_s: stats.host().as_secs_f64(),
                dispatches: stats.asked.dispatches,
                uploads: stats.asked.uploads,
                readbacks: stats.asked.readbacks,
                device_bytes: runtime.backend.ops.memory(),
                peak_rss_bytes: memory::peak(),
            },
        }
    }
}

/// One line for people.
pub fn summary(runtime: &Runtime, answer: &Answer<'_>) -> String {
    let stats = answer.stats();
    format!(
        "{} tokens, {:.1} tokens/s with {} (tau {:.2}); prompt {} tokens ({} cached), \
         first token after {:.0} ms; \
         {} {} on {} ({})",
        stats.generated_tokens,
        stats.decode_rate(),
        answer.method().name(),
        stats.tau(),
        stats.prompt_tokens,
        stats.reused_tokens,
        stats.prefill.as_secs_f64() * 1e3,
        runtime.name,
        runtime.target.dtype(),
        runtime.backend.name,
        runtime.backend.description,
    )
}
