//! One name for each tensor of a head, whatever exporter wrote it, and one order of rows.

use crate::weights::NamedTensors;

/// The names of GGUF files: (ours, llama.cpp's). What is not listed is called alike.
const GGUF: [(&str, &str); 19] = [
    ("embed_tokens.weight", "token_embd.weight"),
    ("input_norm.weight", "enc.output_norm.weight"),
    ("norm.weight", "output_norm.weight"),
    ("lm_head.weight", "output.weight"),
    ("lm_head.bias", "output.bias"),
    ("input_layernorm.weight", "blk.0.attn_norm.weight"),
    ("hidden_norm.weight", "blk.0.attn_norm_2.weight"),
    ("self_attn.q_proj.weight", "blk.0.attn_q.weight"),
    ("self_attn.k_proj.weight", "blk.0.attn_k.weight"),
    ("self_attn.v_proj.weight", "blk.0.attn_v.weight"),
    ("self_attn.q_proj.bias", "blk.0.attn_q.bias"),
    ("self_attn.k_proj.bias", "blk.0.attn_k.bias"),
    ("self_attn.v_proj.bias", "blk.0.attn_v.bias"),
    ("self_attn.o_proj.weight", "blk.0.attn_output.weight"),
    ("self_attn.o_proj.bias", "blk.0.attn_output.bias"),
    ("post_attention_layernorm.weight", "blk.0.ffn_norm.weight"),
    ("mlp.gate_proj.weight", "blk.0.ffn_gate.weight"),
    ("mlp.up_proj.weight", "blk.0.ffn_up.weight"),
    ("mlp.down_proj.weight", "blk.0.ffn_down.weight"),
];

/// Our name for a tensor: the official one without the layer's prefix. `None` for what
/// carries no meaning.
pub(super) fn ours(name: &str) -> Option<String> {
    if let Some((ours, _)) = GGUF.iter().find(|(_, gguf)| *gguf == name) {
        return Some((*ours).into());
    }
    let name = name.strip_prefix("model.").unwrap_or(name);
    if name.ends_with("rotary_emb.inv_freq") {
        return None;
    }
    // Medusa-2 saves its heads as a part of the model.
    let layer = ["midlayer.", "layers.0.", "transformer.", "medusa_head."];
    let name = layer
        .iter()
        .find_map(|p| name.strip_prefix(p))
        .unwrap_or(name);
    Some(match name {
        "draft_id_to_target_id" => "d2t".into(),
        "fusion_fc.weight" => "fc.weight".into(),
        "fusion_fc.bias" => "fc.bias".into(),
        _ => name.into(),
    })
}

/// What GGUF files call a tensor of our name.
pub(super) fn gguf(ours: &str) -> &str {
    let known = GGUF.iter().find(|(name, _)| *name == ours);
    known.map_or(ours, |(_, gguf)| gguf)
}

/// Has the rows of rotated tensors read as all other exporters write them, heads of
/// `dim` rows in halves: llama.cpp's converter pairs those of `eagle3`, as those of its
/// `llama` models. The tensors have our names already.
pub(super) fn unpair(file: &mut NamedTensors, dim: usize) {
    if file.architecture() != Some("eagle3") {
        return;
    }
    for part in ["q_proj", "k_proj"] {
        for kind in ["weight", "bias"] {
            file.is_paired(&format!("self_attn.{part}.{kind}"), dim);
        }
    }
}
