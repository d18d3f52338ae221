//! A trained head as others read it.

use serde_json::{Value, json};

use super::Parameters;
use crate::draft::HeadFile;
use crate::model::ModelConfig;

/// Weights under their official names, vectors with one dimension. The layer's numbers
/// are those of the target; `more` is added to the configuration.
pub(super) fn head_file(
    weights: &Parameters,
    target: &ModelConfig,
    ids: Option<&[u32]>,
    more: Value,
) -> HeadFile {
    let tensors = weights.0.iter().map(|(name, tensor)| {
        let [rows, cols] = tensor.dims();
        let vector = name.ends_with("norm.weight") || name.ends_with(".bias");
        let shape = if vector { vec![cols] } else { vec![rows, cols] };
        (name.clone(), shape, tensor.to_data().iter().collect())
    });
    let mut config = json!({
        "model_type": "llama",
        "hidden_size": target.hidden,
        "intermediate_size": target.intermediate,
        "num_hidden_layers": 1,
        "num_attention_heads": target.heads,
        "num_key_value_heads": target.kv_heads,
        "head_dim": target.head_dim,
        "vocab_size": target.vocab,
        "max_position_embeddings": target.context,
        "rms_norm_eps": target.norm_epsilon,
        "rope_theta": target.rope_theta,
        "torch_dtype": "float16",
    });
    if let (Value::Object(config), Value::Object(more)) = (&mut config, more) {
        config.extend(more);
    }
    HeadFile {
        tensors: tensors.collect(),
        ids: ids.map(Into::into),
        config,
    }
}
