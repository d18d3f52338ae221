//! `eaglet generate --prompts`: many prompts at a time.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use crate::support::{MODEL, World};

const PROMPTS: &str = r#"{"question_id": 7, "category": "math", "turns": ["one", "and two?"]}
{"conversations": [{"from": "human", "value": "three"}, {"from": "gpt", "value": "3"}]}
abcabcabcabc
Hi
"#;

fn world() -> World {
    let world = World::with_model();
    world.write("prompts.jsonl", PROMPTS);
    world
}

/// The lines of a run by id, without what a clock has to do with.
fn lines(text: &str) -> BTreeMap<String, Value> {
    let parse = |line: &str| {
        let mut line: Value = serde_json::from_str(line).unwrap();
        let stats = line.as_object_mut().unwrap().remove("stats");
        let stats = stats.filter(|_| line["error"].is_null());
        assert!(stats.is_none_or(|stats| stats["decode_tok_s"].as_f64() > Some(0.0)));
        (line["id"].as_str().unwrap().to_owned(), line)
    };
    text.lines().map(parse).collect()
}

fn answers(world: &World, more: &[&str]) -> BTreeMap<String, Value> {
    let args = ["--prompts", "prompts.jsonl", "-n", "24"];
    lines(&world.generate(&[&args, more].concat()).ok().out)
}

#[test]
fn a_batch_answers_what_each_prompt_is_answered_alone() {
    let world = world();
    for temperature in ["0", "0.8"] {
        let decode = ["-t", temperature, "--seed", "3"];
        let with = |batch| answers(&world, &[&decode[..], &["--batch", batch]].concat());
        let (alone, four) = (with("1"), with("4"));
        assert_eq!(alone.len(), 4);
        assert_eq!(alone, four);
        // More sequences than prompts, and fewer.
        assert_eq!(alone, with("64"));
        assert_eq!(alone, with("3"));
        let single = world.report(&[&["Hi", "-n", "24"], &decode[..]].concat());
        assert_eq!(four["4"]["turns"][0]["text"], single["text"]);
    }
}

#[test]
fn every_turn_of_a_line_is_answered() {
    let world = world();
    let all = answers(&world, &["--system", "Be brief."]);
    let line = &all["7"];
    assert_eq!(line["category"], "math");
    let turns = line["turns"].as_array().unwrap();
    let asked: Vec<_> = turns.iter().map(|turn| &turn["prompt"]).collect();
    assert_eq!(asked, ["one", "and two?"]);
    for turn in turns {
        assert_eq!(turn["finish_reason"], "length");
        assert_eq!(turn["tokens"], 24);
        assert_eq!(turn["text"].as_str().unwrap().len(), 24);
    }
    assert_eq!(all["2"]["turns"].as_array().unwrap().len(), 1);
}

#[test]
fn stop_strings_end_each_answer() {
    let world = world();
    let whole = answers(&world, &[]);
    let text = whole["4"]["turns"][0]["text"].as_str().unwrap();
    let stop = &text[10..12];
    let stopped = answers(&world, &["--stop", stop]);
    let turn = &stopped["4"]["turns"][0];
    assert_eq!(turn["text"], text[..text.find(stop).unwrap()]);
    assert_eq!(turn["finish_reason"], "stop");
}

#[test]
fn a_prompt_that_is_too_long_does_not_take_the_others_along() {
    let world = World::with_model();
    world.write("prompts.txt", format!("Hi\n{}\nHo\n", "x".repeat(300)));
    let args = ["--prompts", "prompts.txt", "-n", "5"];
    let run = world.generate(&args);
    assert_eq!(run.code(), Some(1), "{run:?}");
    assert!(run.err.contains("1 of 3 prompts"), "{run:?}");
    let all = lines(&run.out);
    assert_eq!(all["1"]["error"], Value::Null);
    assert_eq!(all["3"]["turns"][0]["tokens"], 5);
    let error = all["2"]["error"].as_str().unwrap();
    assert!(error.contains("the context of 256"), "{error}");
    assert_eq!(all["2"]["turns"], json!([]));
}

#[test]
fn what_contradicts_a_file_of_prompts_is_refused() {
    let world = world();
    let file = ["--prompts", "prompts.jsonl"];
    for (more, told) in [
        (&["Hi"][..], "[PROMPT]"),
        (&["--json"], "--json"),
        (&["--raw"], "--raw"),
        (&["--batch", "0"], "--batch"),
    ] {
        let args = [&file, more].concat();
        world.generate(&args).refused(&[told]);
    }
    world
        .generate(&["--batch", "2", "Hi"])
        .refused(&["--batch"]);
    world.generate(&["--batch", "2"]).refused(&["--prompts"]);
    world
        .generate(&["--prompts", "nowhere"])
        .refused(&["nowhere", "cannot read"]);
}

/// Distilling shares the machinery.
#[test]
fn distilling_in_batches_writes_the_same_conversations() {
    let world = world();
    let distilled = |file: &str, batch: &str| {
        let asked = ["--prompts", "prompts.jsonl", "--conversations", "8"];
        let args = ["distill", "--model", MODEL, "-o", file, "--ctx", "256"];
        let more = ["-n", "24", "--turns", "2", "--batch", batch];
        world.run(&[&args[..], &asked, &more].concat()).ok();
        lines(&std::fs::read_to_string(world.path().join(file)).unwrap())
    };
    let alone = distilled("alone.jsonl", "1");
    assert!(alone.len() > 4, "{alone:?}");
    assert_eq!(alone, distilled("three.jsonl", "3"));
    // Nothing is left to be done.
    assert_eq!(alone, distilled("alone.jsonl", "2"));
}
