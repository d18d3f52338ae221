//! Metadata to a configuration, and what is refused there.

use super::*;
use crate::model::RopeScaling;

#[test]
fn configuration() {
    let config = |changes| read(model("llama", changes).finish()).unwrap().config();
    let plain = config(&[]).unwrap();
    assert_eq!(
        (plain.hidden, plain.heads, plain.kv_heads, plain.head_dim),
        (8, 2, 2, 4)
    );
    assert_eq!(
        (plain.vocab, plain.context, plain.norm_epsilon),
        (3, 64, 1e-5)
    );
    assert_eq!(
        (plain.rope_theta, &plain.rope_scaling),
        (10_000.0, &RopeScaling::None)
    );

    let scaled = config(&[
        ("{arch}.rope.scaling.type", Value::String("linear".into())),
        ("{arch}.rope.scaling.factor", Value::F32(4.0)),
        ("{arch}.rope.freq_base", Value::F32(5e5)),
        ("{arch}.attention.key_length", Value::U32(16)),
        ("{arch}.attention.head_count_kv", Value::U64(1)),
        ("{arch}.attention.sliding_window", Value::U32(48)),
    ]);
    let scaled = scaled.unwrap();
    assert_eq!(scaled.rope_scaling, RopeScaling::Linear { factor: 4.0 });
    assert_eq!(
        (scaled.rope_theta, scaled.head_dim, scaled.kv_heads),
        (5e5, 16, 1)
    );
    assert_eq!(scaled.context, 48);
}

#[test]
fn configurations_that_are_refused() {
    let text = |text: &str| Value::String(text.into());
    let cases = [
        (
            ("general.architecture", text("gemma")),
            "architecture `gemma` is not supported; supported: llama, mistral, qwen2, qwen3",
        ),
        (
            ("general.architecture", Value::Bool(true)),
            "must name the architecture, and is missing",
        ),
        (
            ("llama.expert_count", Value::U32(8)),
            "a mixture of 8 experts is not supported; supported: dense feed-forward blocks",
        ),
        (
            ("llama.rope.scaling.type", text("yarn")),
            "RoPE scaling `yarn` is not supported; supported: none, linear",
        ),
        (
            ("llama.rope.scaling.type", text("linear")),
            "`llama.rope.scaling.factor` is missing",
        ),
        (
            ("llama.rope.dimension_count", Value::U32(2)),
            "`llama.rope.dimension_count` must be the head dimension 4, found 2",
        ),
        (
            ("llama.attention.head_count", Value::U32(0)),
            "number of attention heads must be 1 to 1048576, found 0",
        ),
        (
            ("llama.block_count", Value::F32(1.0)),
            "`llama.block_count` must be a size, found F32(1.0)",
        ),
        (
            ("llama.context_length", Value::Array(Array::U8(vec![1]))),
            "`llama.context_length` must be a size, found an array",
        ),
        (
            ("llama.embedding_length", Value::U32(10)),
            "expected shape [vocabulary, 10], found [3, 8]",
        ),
        (
            ("split.count", Value::U16(2)),
            "a GGUF split into 2 files is not supported; supported: one file (merge with llama-gguf-split)",
        ),
    ];
    for ((key, value), expected) in cases {
        let gguf = read(model("llama", &[(key, value)]).finish()).unwrap();
        let message = gguf.config().unwrap_err().to_string();
        assert!(
            message.starts_with(NAME) && message.ends_with(expected),
            "{message}"
        );
    }
    let writer = model("llama", &[]).tensor(
        "blk.0.attn_output.bias",
        &[8],
        BlockFormat::F32,
        vec![0; 32],
    );
    let message = read(writer.finish())
        .unwrap()
        .config()
        .unwrap_err()
        .to_string();
    assert!(
        message.contains("the bias `blk.0.attn_output.bias` is not supported"),
        "{message}"
    );
    let missing = read(
        GgufWriter::new()
            .metadata("general.architecture", text("llama"))
            .finish(),
    );
    let message = missing.unwrap().config().unwrap_err().to_string();
    assert!(
        message.ends_with("`llama.embedding_length` is missing"),
        "{message}"
    );
}
