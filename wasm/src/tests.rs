//! The engine as a page uses it, on a small model read in ranges.

use std::cell::Cell;
use std::future::ready;
use std::path::Path;
use std::rc::Rc;
use std::sync::Arc;

use eaglet_core::draft::HeadCheckpoint;
use eaglet_core::weights::{ModelFile, SourceFile};
use eaglet_tests::heads::{Kind, TinyHead};
use eaglet_tests::tiny::Tiny;
use serde_json::{Value, json};

use crate::{Answer, Engine, Failure, Listen, Odds, Options, Request, Step};

fn file(name: &str, bytes: Vec<u8>) -> SourceFile {
    (name.into(), Arc::new(bytes))
}

fn load(head: Option<Kind>, options: &str) -> Result<Engine, Failure> {
    let model = vec![file("tiny.gguf", Tiny::talking(5).gguf_with_text())];
    let model = ModelFile::from_files(Path::new("model"), model)?;
    let head = head.map(|kind| {
        let head = TinyHead::random(kind, 5);
        HeadCheckpoint::from_files(vec![
            file("config.json", head.settings().to_string().into_bytes()),
            file("model.safetensors", head.file(str::to_owned, false)),
        ])
    });
    let options = Options::parse(options)?;
    let mut told = Vec::new();
    let loading = Engine::load(&model, head.transpose()?, &options, |done, all| {
        told.push((done, all));
    });
    let engine = pollster::block_on(loading)?;
    let (done, all) = *told.last().unwrap();
    assert_eq!(done, all);
    assert_eq!(all, engine.info().model.bytes);
    assert!(told.is_sorted());
    Ok(engine)
}

fn request(with: Value) -> Request {
    let mut request = json!({
        "messages": [{ "role": "user", "content": "Why is the sky blue?" }],
        "max_tokens": 24,
    });
    for (key, value) in with.as_object().unwrap() {
        request[key] = value.clone();
    }
    Request::parse(&request.to_string()).unwrap()
}

fn answer(engine: &mut Engine, request: &Request) -> Result<(Answer, Vec<Step>), Failure> {
    pollster::block_on(async {
        let (mut answer, first) = engine.start(request, listen()).await?;
        let mut steps = vec![first];
        while let Some(step) = engine.next(&mut answer).await? {
            steps.push(step);
        }
        Ok((answer, steps))
    })
}

/// Nobody cancels.
fn listen() -> Listen {
    Box::new(|| Box::pin(ready(false)))
}

fn ids(steps: &[Step]) -> Vec<u32> {
    let tokens = steps.iter().flat_map(|step| &step.tokens);
    tokens.map(|token| token.id).collect()
}

fn text(steps: &[Step]) -> String {
    steps.iter().map(|step| step.text.as_str()).collect()
}

#[test]
fn every_method_gives_the_tokens_of_plain_decoding() {
    let methods = ["auto", "ngram", "lookahead"];
    for (kind, own) in [
        (Kind::Eagle1, ["eagle1", "eagle2"]),
        (Kind::Eagle3, ["eagle3", "plain"]),
    ] {
        let mut engine = load(Some(kind), r#"{"dtype": "q8"}"#).unwrap();
        for sampling in [
            json!({}),
            json!({ "temperature": 1.0, "seed": 3, "presence_penalty": 0.5 }),
        ] {
            let mut wanted = sampling.clone();
            wanted["method"] = "plain".into();
            let (_, plain) = answer(&mut engine, &request(wanted)).unwrap();
            assert!(plain.iter().all(|step| step.tokens.len() == 1));
            for method in methods.iter().chain(&own) {
                let mut asked = sampling.clone();
                asked["method"] = (*method).into();
                let (answer, steps) = answer(&mut engine, &request(asked)).unwrap();
                assert_eq!(ids(&steps), ids(&plain), "{method}");
                assert_eq!(text(&steps), text(&plain), "{method}");
                let tokens = steps.iter().flat_map(|step| &step.tokens);
                let drafted = tokens.filter(|token| token.drafted).count();
                let counted: usize = answer.stats.accepted_by_depth.iter().sum();
                assert_eq!(drafted, counted, "{method}");
                assert!(answer.stats.tried_by_depth.len() >= answer.stats.accepted_by_depth.len());
            }
        }
    }
}

#[test]
fn another_turn_reuses_what_the_cache_holds() {
    let mut engine = load(Some(Kind::Eagle3), "{}").unwrap();
    let first = request(json!({ "method": "eagle3" }));
    let (_, steps) = answer(&mut engine, &first).unwrap();
    let turns = json!([
        { "role": "user", "content": "Why is the sky blue?" },
        { "role": "assistant", "content": text(&steps) },
        { "role": "user", "content": "And the sea?" },
    ]);
    let second = request(json!({ "method": "eagle3", "messages": turns, "temperature": 0.5 }));
    let (answer, _) = answer(&mut engine, &second).unwrap();
    assert!(answer.stats.reused_tokens > 40, "{:?}", answer.stats);
}

#[test]
fn the_end_of_an_answer_says_why() {
    let mut engine = load(None, r#"{"context": 96}"#).unwrap();
    let finish = |steps: &[Step]| steps.last().and_then(|step| step.finish);
    let (_, long) = answer(&mut engine, &request(json!({ "max_tokens": null }))).unwrap();
    assert_eq!(finish(&long), Some("context"));
    let (_, short) = answer(&mut engine, &request(json!({ "max_tokens": 5 }))).unwrap();
    assert_eq!((finish(&short), ids(&short).len()), (Some("length"), 5));
    let whole = text(&long);
    let stop = &whole[3..6];
    let asked = request(json!({ "stop": [stop], "method": "lookahead" }));
    let (_, stopped) = answer(&mut engine, &asked).unwrap();
    let before = whole.find(stop).unwrap();
    assert_eq!(
        (finish(&stopped), text(&stopped)),
        (Some("stop"), whole[..before].into())
    );
}

#[test]
fn log_probabilities_are_those_of_the_model() {
    let mut engine = load(None, "{}").unwrap();
    let asked = request(json!({ "logprobs": 3, "method": "lookahead" }));
    let (_, steps) = answer(&mut engine, &asked).unwrap();
    let tokenizer = engine.text().tokenizer.clone();
    let mut whole = Vec::new();
    for token in steps.iter().flat_map(|step| &step.tokens) {
        if tokenizer.eos_ids().contains(&token.id) {
            assert_eq!(token.odds, None);
            continue;
        }
        let Odds { chosen, top } = token.odds.as_ref().unwrap();
        assert_eq!(top.len(), 3);
        // Greedy: the likeliest was chosen.
        assert_eq!(top[0], *chosen);
        assert!(top.is_sorted_by(|a, b| a.logprob >= b.logprob) && top[0].logprob < 0.0);
        whole.extend_from_slice(&chosen.bytes);
    }
    assert_eq!(String::from_utf8_lossy(&whole), text(&steps));
    let plain = request(json!({ "method": "plain" }));
    let (_, plain) = answer(&mut engine, &plain).unwrap();
    assert_eq!(ids(&plain), ids(&steps));
    assert!(plain[0].tokens[0].odds.is_none());
}

#[test]
fn a_long_prompt_can_be_given_up_and_is_not_read_twice() {
    let mut engine = load(None, r#"{"context": 256}"#).unwrap();
    let long = json!({ "messages": [{ "role": "user", "content": "x".repeat(100) }] });
    let asked = Rc::new(Cell::new(0));
    let listen: Listen = Box::new({
        let asked = asked.clone();
        move || {
            asked.set(asked.get() + 1);
            Box::pin(ready(asked.get() == 3))
        }
    });
    let (answer, step) = pollster::block_on(engine.start(&request(long.clone()), listen)).unwrap();
    assert!(answer.ended && answer.stats.generated_tokens == 0);
    assert_eq!((step.finish, step.tokens.len()), (Some("stop"), 0));
    assert_eq!(asked.get(), 3, "it was asked before each part");

    let (again, steps) = self::answer(&mut engine, &request(long.clone())).unwrap();
    assert_eq!(again.stats.reused_tokens, 2 * crate::engine::ROWS);
    let mut fresh = load(None, r#"{"context": 256}"#).unwrap();
    let (_, wanted) = self::answer(&mut fresh, &request(long)).unwrap();
    assert_eq!(ids(&steps), ids(&wanted));
}

#[test]
fn a_gpu_that_failed_is_told_and_not_tried() {
    let mut engine = load(None, r#"{"gpu_failed": "it went away"}"#).unwrap();
    let device = &engine.info().device;
    assert_eq!(device.name, "wasm");
    assert!(device.why.starts_with("it went away"), "{}", device.why);
    assert_eq!(device.candidates[0].reason.as_deref(), Some("it went away"));
    assert!(answer(&mut engine, &request(json!({ "max_tokens": 2 }))).is_ok());
}

#[test]
fn what_cannot_be_done_has_a_code() {
    let code = |result: Result<Engine, Failure>| result.err().map(|failure| failure.code);
    assert_eq!(
        code(load(None, r#"{"device": "webgpu"}"#)),
        Some("no_webgpu")
    );
    assert_eq!(code(load(None, r#"{"dtype": "q5"}"#)), Some("invalid"));
    assert_eq!(code(load(None, r#"{"threads": 4}"#)), Some("invalid"));
    assert_eq!(code(load(None, r#"{"context": 512}"#)), Some("capacity"));
    let broken = ModelFile::from_files(Path::new("m"), vec![file("m.gguf", b"GGUX".to_vec())]);
    assert_eq!(broken.err().map(|e| Failure::from(e).code), Some("file"));

    let mut engine = load(None, r#"{"context": 64}"#).unwrap();
    let failure = |engine: &mut Engine, with| answer(engine, &request(with)).err().unwrap();
    assert_eq!(
        failure(&mut engine, json!({ "method": "eagle3" })).code,
        "invalid"
    );
    assert_eq!(
        failure(&mut engine, json!({ "prompt": "x" })).code,
        "invalid"
    );
    assert_eq!(
        failure(&mut engine, json!({ "top_p": 2.0 })).code,
        "invalid"
    );
    let long = json!({ "messages": [{ "role": "user", "content": "x".repeat(64) }] });
    let full = failure(&mut engine, long);
    assert_eq!(full.code, "capacity");
    assert_eq!(full.numbers[1], ("capacity", 64));
    // None of it hurts the next request.
    assert!(answer(&mut engine, &request(json!({ "max_tokens": 2 }))).is_ok());
}
