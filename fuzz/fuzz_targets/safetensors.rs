//! Any bytes as a safetensors folder: an error or a checkpoint, never a panic.
//!
//! The input up to the first zero byte is `config.json`, the rest is `model.safetensors`.
#![no_main]

use std::path::Path;

use eaglet_core::weights::{Checkpoint, Role, SafetensorsFolder};
use libfuzzer_sys::fuzz_target;

/// Used where the input brings no configuration, so that the header gets its share.
const CONFIG: &[u8] = br#"{"model_type": "llama", "hidden_size": 8, "intermediate_size": 8,
    "num_hidden_layers": 1, "num_attention_heads": 2, "vocab_size": 8,
    "max_position_embeddings": 8, "rms_norm_eps": 1e-5}"#;

fuzz_target!(|bytes: &[u8]| {
    let (config, file) = match bytes.iter().position(|byte| *byte == 0) {
        Some(0) | None => (CONFIG, bytes.get(1..).unwrap_or_default()),
        Some(end) => (&bytes[..end], &bytes[end + 1..]),
    };
    let files = vec![("model.safetensors".to_owned(), file.to_vec())];
    if let Ok(folder) = SafetensorsFolder::from_bytes(Path::new("fuzz"), config, files) {
        for role in [Role::Embedding, Role::Head] {
            let _ = folder.tensor(role);
        }
    }
});
