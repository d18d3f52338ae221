//! Writes what browser and Node tests decode, and what must come out.
//!
//! `cargo run --release -p eaglet-tests --example web_fixtures -- [OUTDIR]` writes a small
//! model with two heads, one of a million parameters that they fit, too, and, where the default model has been pulled, that one with its
//! head; and `expected.json`, the ids of plain decoding on this machine's processor for
//! several requests: every method, on every device, must give the same.

#![allow(missing_docs, clippy::unwrap_used)]

use std::path::{Path, PathBuf};
use std::sync::Arc;

use eaglet_backends::cpu::CpuOps;
use eaglet_core::draft::Plain;
use eaglet_core::model::{LoadOptions, Transformer};
use eaglet_core::sample::Sampling;
use eaglet_core::text::{Message, Role, Special, TextAssets, encode_chat};
use eaglet_core::weights::{Dtype, ModelFile};
use eaglet_tests::decode::{decode, options};
use eaglet_tests::default_model;
use eaglet_tests::heads::{Kind, TinyHead};
use eaglet_tests::tiny::{self, Tiny};
use serde_json::{Value, json};

/// Of the model that is made here.
const SEED: u64 = 11;
/// Layers of a million parameters.
const DEEP: usize = 31;
/// Long enough for keys in several vectors of sixteen.
const TOKENS: usize = 48;
/// Of the real model: seconds in a browser.
const REAL_TOKENS: usize = 32;

fn main() {
    let out = PathBuf::from(
        std::env::args_os()
            .nth(1)
            .unwrap_or("target/web-fixtures".into()),
    );
    std::fs::create_dir_all(&out).unwrap();
    let mut models = serde_json::Map::new();
    let mut cases = Vec::new();

    let heads = [("eagle1", Kind::Eagle1), ("eagle3", Kind::Eagle3)];
    let heads = heads.map(|(name, kind)| {
        let head = TinyHead::random(kind, SEED);
        let files = ["config.json", "model.safetensors"].map(|file| format!("{name}/{file}"));
        write(&out, &files[0], head.settings().to_string().as_bytes());
        write(&out, &files[1], &head.file(str::to_owned, false));
        (name.to_owned(), json!(files))
    });
    let heads: serde_json::Map<_, _> = heads.into_iter().collect();
    let small = [("tiny", tiny::LAYERS), ("deep", DEEP)];
    for (name, layers) in small {
        let file = format!("{name}.gguf");
        write(
            &out,
            &file,
            &Tiny::talking_with(SEED, layers).gguf_with_text(),
        );
        models.insert(name.into(), json!({ "files": [file], "heads": heads }));
        for dtype in Dtype::ALL {
            for request in requests(TOKENS) {
                cases.push(case(name, &out.join(&file), Some(dtype), request));
            }
        }
    }

    if let Some(path) = default_model::path() {
        let head = concat!(
            env!("CARGO_MANIFEST_DIR"),
            "/../cli/heads/smollm2-135m-instruct/eagle3.gguf"
        );
        std::fs::copy(&path, out.join("default.gguf")).unwrap();
        std::fs::copy(head, out.join("default-eagle3.gguf")).unwrap();
        models.insert(
            "default".into(),
            json!({ "files": ["default.gguf"], "heads": { "eagle3": ["default-eagle3.gguf"] } }),
        );
        for request in requests(REAL_TOKENS).into_iter().take(2) {
            cases.push(case("default", &path, None, request));
        }
    }
    let expected = json!({ "models": models, "cases": cases });
    let text = serde_json::to_string_pretty(&expected).unwrap();
    write(&out, "expected.json", text.as_bytes());
    println!("{}: {} cases", out.display(), cases.len());
}

/// A conversation greedily and drawn, and a text that repeats itself.
fn requests(max_tokens: usize) -> Vec<Value> {
    let messages = json!([{ "role": "user", "content": "Why is the sky blue?" }]);
    vec![
        json!({ "messages": messages, "max_tokens": max_tokens }),
        json!({
            "messages": messages, "max_tokens": max_tokens,
            "temperature": 0.8, "top_p": 0.9, "top_k": 40, "seed": 7,
        }),
        json!({
            "prompt": "one two three one two three one two", "max_tokens": max_tokens,
            "temperature": 1.2, "seed": 3,
        }),
    ]
}

/// What plain decoding makes of a request.
fn case(model: &str, path: &Path, dtype: Option<Dtype>, request: Value) -> Value {
    let file = ModelFile::open(path).unwrap();
    let text = TextAssets::open(&file).unwrap();
    let load = LoadOptions {
        dtype,
        context: None,
    };
    let ops = Arc::new(CpuOps::new(2));
    let target = Arc::new(Transformer::load(&file, ops, load, |_, _| {}).unwrap());
    let prompt = match request["prompt"].as_str() {
        Some(prompt) => text.tokenizer.encode(prompt, Special::Parse).unwrap(),
        None => {
            let asked = request["messages"][0]["content"].as_str().unwrap();
            let messages = [Message::new(Role::User, asked)];
            let template = text.template.as_ref().unwrap();
            encode_chat(&text.tokenizer, template, &messages, true).unwrap()
        }
    };
    let number = |key: &str| request[key].as_f64();
    let sampling = Sampling {
        temperature: number("temperature").unwrap_or(0.0) as f32,
        top_p: number("top_p").unwrap_or(1.0) as f32,
        top_k: number("top_k").unwrap_or(0.0) as usize,
        seed: number("seed").unwrap_or(0.0) as u64,
        ..Default::default()
    };
    let most = request["max_tokens"].as_u64().unwrap() as usize;
    let mut plain = options(&sampling, most, Box::new(Plain));
    plain.limits.eos = text.tokenizer.eos_ids().to_vec();
    let decoded = decode(&target, &prompt, plain);
    json!({
        "model": model, "dtype": dtype.map(|d| d.to_string()), "request": request,
        "prompt_ids": prompt, "ids": decoded.ids, "finish": decoded.finish.as_str(),
        "text": text.tokenizer.decode(&decoded.ids, false).unwrap(),
    })
}

fn write(out: &Path, name: &str, bytes: &[u8]) {
    let path = out.join(name);
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    std::fs::write(path, bytes).unwrap();
}
