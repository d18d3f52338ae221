//! Bindings of eaglet for browsers: nothing but translation, and nothing that blocks.
//!
//! So far they tell what a GGUF file holds, so that a page can refuse a model before it
//! is downloaded to a device. Running models in the browser is still to come.

use std::path::Path;

use eaglet_core::weights::{Checkpoint, Gguf};
#[cfg(target_family = "wasm")]
use wasm_bindgen::prelude::wasm_bindgen;

/// The architecture and sizes of a GGUF file, given whole, as a JSON object.
///
/// # Errors
/// A message that names the rule which the file breaks.
#[cfg_attr(target_family = "wasm", wasm_bindgen)]
pub fn inspect(name: &str, bytes: Vec<u8>) -> Result<String, String> {
    describe(name, bytes).map_err(|error| error.to_string())
}

fn describe(name: &str, bytes: Vec<u8>) -> eaglet_core::Result<String> {
    let gguf = Gguf::from_bytes(Path::new(name), bytes)?;
    let config = gguf.config()?;
    let object = serde_json::json!({
        "architecture": config.architecture,
        "layers": config.layers,
        "hidden": config.hidden,
        "vocab": config.vocab,
        "context": config.context,
        "bytes": gguf.tensors().iter().map(|t| t.bytes).sum::<usize>(),
    });
    Ok(object.to_string())
}

#[cfg(test)]
mod tests {
    use eaglet_tests::tiny::Tiny;

    #[test]
    fn a_model_is_described_and_a_broken_one_refused() {
        let mut file = Tiny::new("qwen3", 1).gguf();
        let described = super::inspect("tiny.gguf", file.clone()).unwrap();
        assert!(
            described.contains(r#""architecture":"qwen3""#),
            "{described}"
        );
        file[0] = b'X';
        let refused = super::inspect("tiny.gguf", file).unwrap_err();
        assert!(
            refused.starts_with("tiny.gguf: not a valid GGUF file"),
            "{refused}"
        );
    }
}
