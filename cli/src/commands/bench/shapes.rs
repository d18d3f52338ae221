//! Shapes of well-known models, for `--random-weights`.

use std::path::Path;

use serde_json::json;

use crate::error::Failure;

/// What a `config.json` says of a model's size.
struct Shape {
    name: &'static str,
    kind: &'static str,
    hidden: usize,
    inner: usize,
    layers: usize,
    heads: usize,
    kv_heads: usize,
    head_dim: usize,
    vocab: usize,
    context: usize,
    theta: f64,
    tied: bool,
}

/// A line of the table below, of architecture `llama`.
const fn llama(name: &'static str, sizes: [usize; 7], theta: f64) -> Shape {
    let [hidden, inner, layers, heads, kv_heads, vocab, context] = sizes;
    Shape {
        name,
        kind: "llama",
        hidden,
        inner,
        layers,
        heads,
        kv_heads,
        head_dim: hidden / heads,
        vocab,
        context,
        theta,
        tied: false,
    }
}

#[rustfmt::skip]
const SHAPES: [Shape; 10] = [
    //                     hidden  inner layers heads kv   vocab context  theta
    Shape { tied: true, ..
        llama("smollm2-135m", [576,  1536, 30,  9,  3,  49_152,  8192], 1e5) },
    llama("tinyllama-1.1b", [2048,  5632, 22, 32,  4,  32_000,  2048], 1e4),
    llama("llama2-7b",      [4096, 11008, 32, 32, 32,  32_000,  4096], 1e4),
    llama("llama2-13b",     [5120, 13824, 40, 40, 40,  32_000,  4096], 1e4),
    llama("llama2-70b",     [8192, 28672, 80, 64,  8,  32_000,  4096], 1e4),
    llama("llama3-8b",      [4096, 14336, 32, 32,  8, 128_256,  8192], 5e5),
    llama("vicuna-7b",      [4096, 11008, 32, 32, 32,  32_000,  4096], 1e4),
    llama("vicuna-13b",     [5120, 13824, 40, 40, 40,  32_000,  4096], 1e4),
    llama("vicuna-33b",     [6656, 17920, 60, 52, 52,  32_000,  2048], 1e4),
    Shape { kind: "qwen3", head_dim: 128, ..
        llama("qwen3-8b",   [4096, 12288, 36, 32,  8, 151_936, 32768], 1e6) },
];

/// The text of a `config.json`: of a shape known by name, or of a file.
pub fn config(asked: &str) -> Result<Vec<u8>, Failure> {
    let Some(shape) = SHAPES.iter().find(|shape| shape.name == asked) else {
        return std::fs::read(Path::new(asked)).map_err(|e| {
            let known: Vec<_> = SHAPES.iter().map(|shape| shape.name).collect();
            Failure::Input(format!(
                "--random-weights {asked}: cannot read that file ({e}), and the shapes known by \
                 name are {}",
                known.join(", ")
            ))
        });
    };
    let config = json!({
        "model_type": shape.kind,
        "hidden_size": shape.hidden,
        "intermediate_size": shape.inner,
        "num_hidden_layers": shape.layers,
        "num_attention_heads": shape.heads,
        "num_key_value_heads": shape.kv_heads,
        "head_dim": shape.head_dim,
        "vocab_size": shape.vocab,
        "max_position_embeddings": shape.context,
        "rms_norm_eps": 1e-5,
        "rope_theta": shape.theta,
        "tie_word_embeddings": shape.tied,
    });
    Ok(config.to_string().into_bytes())
}

#[cfg(test)]
mod tests {
    use eaglet_core::weights::{Checkpoint, Dtype, RandomWeights};

    use super::*;

    #[test]
    fn every_shape_has_as_many_parameters_as_its_name_says() {
        let billions = [0.135, 1.1, 6.74, 13.0, 69.0, 8.03, 6.74, 13.0, 32.5, 8.19];
        for (shape, expected) in SHAPES.iter().zip(billions) {
            let config = config(shape.name).unwrap();
            let made = RandomWeights::new(Path::new(shape.name), &config, Dtype::F16).unwrap();
            let count = |t: &eaglet_core::weights::TensorInfo| t.shape.iter().product::<usize>();
            let parameters: usize = made.tensors().iter().map(count).sum();
            let share = parameters as f64 / 1e9 / expected;
            assert!(
                (0.98..1.02).contains(&share),
                "{}: {parameters}",
                shape.name
            );
        }
    }

    #[test]
    fn what_is_neither_a_name_nor_a_file_is_told_both() {
        let told = config("llama9-9b").unwrap_err().to_string();
        assert!(
            told.contains("llama9-9b") && told.contains("vicuna-13b"),
            "{told}"
        );
    }
}
