//! Damaged and hostile GGUF files: refused by name and cause, by every command that
//! opens a model, before anything is written.

use eaglet_core::weights::GgufWriter;
use eaglet_core::weights::{BlockFormat, Role, Value};
use eaglet_tests::text;
use eaglet_tests::tiny::{HIDDEN, Tiny};

use crate::support::World;

const FILE: &str = "bad.gguf";

/// Asserts that the file is refused, by `generate` and `chat`.
#[track_caller]
fn refused(bytes: impl AsRef<[u8]>, wanted: &[&str]) {
    let world = World::new();
    world.write(FILE, bytes);
    let wanted = [&[FILE], wanted].concat();
    for command in ["generate", "chat"] {
        let run = world.run_with(&[command, "--model", FILE], "Hi\n");
        run.refused(&wanted);
    }
    world.assert_untouched();
}

/// The same, and also by `inspect`, which reads no weights.
#[track_caller]
fn refused_at_sight(bytes: impl AsRef<[u8]>, wanted: &[&str]) {
    let world = World::new();
    world.write(FILE, &bytes);
    let inspect = world.run(&["inspect", FILE]);
    inspect.refused(&[&[FILE], wanted].concat());
    refused(bytes, wanted);
}

/// A good file and the place just behind `needle` in it.
fn good_and_behind(needle: &str) -> (Vec<u8>, usize) {
    let good = Tiny::talking(1).gguf_with_text();
    let mut windows = good.windows(needle.len());
    let at = windows.position(|w| w == needle.as_bytes()).unwrap();
    (good, at + needle.len())
}

fn with(at: usize, mut bytes: Vec<u8>, change: &[u8]) -> Vec<u8> {
    bytes[at..at + change.len()].copy_from_slice(change);
    bytes
}

fn changed(change: impl FnOnce(&mut Tiny)) -> Vec<u8> {
    let mut tiny = Tiny::talking(1);
    change(&mut tiny);
    tiny.gguf_with_text()
}

#[test]
fn the_good_file_is_good() {
    let world = World::new();
    world.write(FILE, Tiny::talking(1).gguf_with_text());
    world.run(&["inspect", FILE]).ok();
    world
        .run(&["generate", "--model", FILE, "-n", "1", "Hi"])
        .ok();
}

#[test]
fn truncated() {
    let good = Tiny::talking(1).gguf_with_text();
    let (_, vocabulary) = good_and_behind("tokenizer.ggml.tokens");
    let (_, tensors) = good_and_behind("token_embd.weight");
    for end in [
        1,
        4,
        8,
        20,
        100,
        vocabulary,
        vocabulary + 300,
        tensors,
        tensors + 10,
        good.len() / 2,
        good.len() - 1,
    ] {
        refused_at_sight(&good[..end], &["not a valid GGUF file", "truncated"]);
    }
    refused_at_sight("", &["not a valid GGUF file", "truncated: magic"]);
}

#[test]
fn not_gguf_at_all() {
    refused_at_sight(
        "PK\x03\x04 and more",
        &["must start with `GGUF`, found `PK\\x03\\x04`"],
    );
    let good = Tiny::talking(1).gguf_with_text();
    refused_at_sight(
        with(4, good.clone(), &9u32.to_le_bytes()),
        &["GGUF version 9"],
    );
    refused_at_sight(with(4, good, &3u32.to_be_bytes()), &["big-endian GGUF"]);
}

#[test]
fn absurd_sizes() {
    let good = || Tiny::talking(1).gguf_with_text();
    for huge in [u64::MAX, 1 << 40] {
        let bytes = huge.to_le_bytes();
        // The counts of tensors and of metadata.
        refused_at_sight(with(8, good(), &bytes), &["not a valid GGUF file"]);
        refused_at_sight(with(16, good(), &bytes), &["not a valid GGUF file"]);
        // The length of the first key.
        refused_at_sight(with(24, good(), &bytes), &["truncated: metadata key"]);
        // The number of tokens, behind the types of array and element.
        let (file, at) = good_and_behind("tokenizer.ggml.tokens");
        refused_at_sight(with(at + 8, file, &bytes), &["tokenizer.ggml.tokens"]);
        // A dimension, behind the number of dimensions.
        let (file, at) = good_and_behind("blk.0.ffn_up.weight");
        refused_at_sight(with(at + 12, file, &bytes), &["blk.0.ffn_up.weight"]);
    }
    let (file, at) = good_and_behind("blk.0.ffn_up.weight");
    let dimensions = u32::MAX.to_le_bytes();
    refused_at_sight(
        with(at, file, &dimensions),
        &["blk.0.ffn_up.weight", "1 to 4"],
    );
    for (key, wanted) in [
        ("llama.block_count", "number of layers"),
        (
            "llama.embedding_length",
            "expected shape [vocabulary, 4294967295]",
        ),
        ("llama.feed_forward_length", "feed-forward size"),
        ("llama.attention.head_count", "number of attention heads"),
        ("llama.context_length", "context"),
    ] {
        let (file, at) = good_and_behind(key);
        refused_at_sight(with(at + 4, file, &u32::MAX.to_le_bytes()), &[wanted]);
    }
}

#[test]
fn a_context_that_no_machine_can_hold_is_not_made_room_for() {
    let world = World::new();
    world.write(FILE, changed(|tiny| tiny.context = i32::MAX as usize));
    let run = world.run(&["generate", "--json", "--model", FILE, "-n", "1", "Hi"]);
    let report = run.ok().json();
    // Even one byte a position would be more.
    if let Some(peak) = report["stats"]["peak_rss_bytes"].as_u64() {
        assert!(peak < 1 << 30, "{peak}");
    }
}

#[test]
fn missing_tensors() {
    for role in [
        Role::Embedding,
        Role::FinalNorm,
        Role::Down(1),
        Role::KeyWeight(0),
    ] {
        let file = changed(|tiny| drop(tiny.tensors.remove(&role)));
        refused(file, &[&format!("tensor `{}` is missing", role.gguf())]);
    }
}

#[test]
fn wrong_shapes() {
    for (role, shape, expected) in [
        (Role::Down(1), vec![HIDDEN, 64], "[64, 96]"),
        (Role::FinalNorm, vec![1, HIDDEN], "[64]"),
        (Role::Head, vec![100, HIDDEN], "[259, 64]"),
        (Role::Embedding, vec![text::VOCAB, 32], "[vocabulary, 64]"),
        (Role::QueryWeight(0), vec![32, HIDDEN], "[64, 64]"),
    ] {
        let values = vec![0.5; shape.iter().product()];
        let found = format!("found {shape:?}");
        let file = changed(|tiny| drop(tiny.tensors.insert(role, (shape, values))));
        refused(
            file,
            &[&role.gguf(), &format!("expected shape {expected}"), &found],
        );
    }
}

#[test]
fn values_that_are_no_numbers() {
    for (role, value) in [
        (Role::Head, f32::NAN),
        (Role::AttentionNorm(1), f32::NAN),
        (Role::Up(0), f32::INFINITY),
    ] {
        let file = changed(|tiny| tiny.tensors.get_mut(&role).unwrap().1[40] = value);
        refused(file, &[&role.gguf(), "finite"]);
    }
    // Finite, but not in half precision.
    let world = World::new();
    let file = changed(|tiny| tiny.tensors.get_mut(&Role::Up(0)).unwrap().1[40] = 1e6);
    world.write(FILE, file);
    let args = ["generate", "--model", FILE, "-n", "1", "Hi", "--dtype"];
    world.run(&[&args[..], &["f32"]].concat()).ok();
    let f16 = world.run(&[&args[..], &["f16"]].concat());
    f16.refused(&[FILE, "blk.0.ffn_up.weight", "1000000"]);
}

#[test]
fn unknown_kinds() {
    let mut other = Tiny::talking(1);
    other.architecture = "mamba";
    refused_at_sight(
        other.gguf_with_text(),
        &[
            "architecture `mamba` is not supported",
            "llama, mistral, qwen2, qwen3",
        ],
    );
    let (file, at) = good_and_behind("blk.0.ffn_up.weight");
    // Behind the number of dimensions and two of them.
    let file = with(at + 20, file, &99u32.to_le_bytes());
    refused_at_sight(
        file,
        &["tensor `blk.0.ffn_up.weight`: ggml type 99", "Q4_1"],
    );
    refused_at_sight(GgufWriter::new().finish(), &["general.architecture"]);
}

#[test]
fn a_tokenizer_that_does_not_fit() {
    let smaller = Tiny::with_vocab("llama", 1, text::VOCAB - 1);
    refused(
        smaller.gguf_with_text(),
        &["259 tokens and the model only 258"],
    );
    refused(Tiny::talking(1).gguf(), &["no tokenizer.ggml.model"]);
    let writer = GgufWriter::new().metadata("general.architecture", Value::String("llama".into()));
    let one = writer.tensor("token_embd.weight", &[1, 1], BlockFormat::F32, vec![0; 4]);
    refused_at_sight(one.finish(), &["llama.embedding_length"]);
    let (file, at) = good_and_behind("tokenizer.ggml.pre");
    refused(
        with(at + 12, file, b"novels"),
        &["tokenizer", "`novels`", "smollm"],
    );
    let (file, at) = good_and_behind("{% for m in messages %}");
    refused(
        with(at - 23, file, b"{% if"),
        &["chat template", "syntax error"],
    );
}
