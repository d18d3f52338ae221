//! What a tensor is for, and what each kind of checkpoint calls it.

/// A tensor's part in a transformer of the LLaMA family. Layers count from 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Role {
    /// Token embedding, `[vocab, hidden]`.
    Embedding,
    /// Final RMS norm, `[hidden]`.
    FinalNorm,
    /// Output head, `[vocab, hidden]`; absent where it is tied to the embedding.
    Head,
    /// Per-frequency divisors of the rotary angles (LLaMA 3.1 in GGUF), `[head_dim / 2]`.
    RopeFactors,
    /// RMS norm before attention, `[hidden]`.
    AttentionNorm(usize),
    /// Query projection, `[heads * head_dim, hidden]`.
    QueryWeight(usize),
    /// Key projection, `[kv_heads * head_dim, hidden]`.
    KeyWeight(usize),
    /// Value projection, `[kv_heads * head_dim, hidden]`.
    ValueWeight(usize),
    /// Query bias (Qwen2), `[heads * head_dim]`.
    QueryBias(usize),
    /// Key bias (Qwen2), `[kv_heads * head_dim]`.
    KeyBias(usize),
    /// Value bias (Qwen2), `[kv_heads * head_dim]`.
    ValueBias(usize),
    /// RMS norm over each query head (Qwen3), `[head_dim]`.
    QueryNorm(usize),
    /// RMS norm over each key head (Qwen3), `[head_dim]`.
    KeyNorm(usize),
    /// Attention's output projection, `[hidden, heads * head_dim]`.
    AttentionOutput(usize),
    /// RMS norm before the feed-forward block, `[hidden]`.
    FeedForwardNorm(usize),
    /// Gate projection, `[intermediate, hidden]`.
    Gate(usize),
    /// Up projection, `[intermediate, hidden]`.
    Up(usize),
    /// Down projection, `[hidden, intermediate]`.
    Down(usize),
}

impl Role {
    /// The name in GGUF files, as llama.cpp writes them.
    pub fn gguf(self) -> String {
        let (layer, part) = match self {
            Role::Embedding => return "token_embd.weight".into(),
            Role::FinalNorm => return "output_norm.weight".into(),
            Role::Head => return "output.weight".into(),
            Role::RopeFactors => return "rope_freqs.weight".into(),
            Role::AttentionNorm(layer) => (layer, "attn_norm.weight"),
            Role::QueryWeight(layer) => (layer, "attn_q.weight"),
            Role::KeyWeight(layer) => (layer, "attn_k.weight"),
            Role::ValueWeight(layer) => (layer, "attn_v.weight"),
            Role::QueryBias(layer) => (layer, "attn_q.bias"),
            Role::KeyBias(layer) => (layer, "attn_k.bias"),
            Role::ValueBias(layer) => (layer, "attn_v.bias"),
            Role::QueryNorm(layer) => (layer, "attn_q_norm.weight"),
            Role::KeyNorm(layer) => (layer, "attn_k_norm.weight"),
            Role::AttentionOutput(layer) => (layer, "attn_output.weight"),
            Role::FeedForwardNorm(layer) => (layer, "ffn_norm.weight"),
            Role::Gate(layer) => (layer, "ffn_gate.weight"),
            Role::Up(layer) => (layer, "ffn_up.weight"),
            Role::Down(layer) => (layer, "ffn_down.weight"),
        };
        format!("blk.{layer}.{part}")
    }

    /// The name in Hugging Face checkpoints of the LLaMA family.
    pub fn hugging_face(self) -> String {
        let (layer, part) = match self {
            Role::Embedding => return "model.embed_tokens.weight".into(),
            Role::FinalNorm => return "model.norm.weight".into(),
            Role::Head => return "lm_head.weight".into(),
            Role::RopeFactors => return "rope_freqs.weight".into(),
            Role::AttentionNorm(layer) => (layer, "input_layernorm.weight"),
            Role::QueryWeight(layer) => (layer, "self_attn.q_proj.weight"),
            Role::KeyWeight(layer) => (layer, "self_attn.k_proj.weight"),
            Role::ValueWeight(layer) => (layer, "self_attn.v_proj.weight"),
            Role::QueryBias(layer) => (layer, "self_attn.q_proj.bias"),
            Role::KeyBias(layer) => (layer, "self_attn.k_proj.bias"),
            Role::ValueBias(layer) => (layer, "self_attn.v_proj.bias"),
            Role::QueryNorm(layer) => (layer, "self_attn.q_norm.weight"),
            Role::KeyNorm(layer) => (layer, "self_attn.k_norm.weight"),
            Role::AttentionOutput(layer) => (layer, "self_attn.o_proj.weight"),
            Role::FeedForwardNorm(layer) => (layer, "post_attention_layernorm.weight"),
            Role::Gate(layer) => (layer, "mlp.gate_proj.weight"),
            Role::Up(layer) => (layer, "mlp.up_proj.weight"),
            Role::Down(layer) => (layer, "mlp.down_proj.weight"),
        };
        format!("model.layers.{layer}.{part}")
    }
}
