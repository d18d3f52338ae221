//! `eaglet distill`: what is written, and that a killed run loses nothing.

use serde_json::Value;

use crate::support::{MODEL, Run, World};

const QUESTIONS: &str = "{\"turns\": [\"Why?\", \"And then?\"]}\nPlain text\n\
    {\"conversations\": [{\"from\": \"human\", \"value\": \"Who?\"}]}\nOnce more\n";

fn world() -> World {
    let world = World::with_model();
    world.write("questions.jsonl", QUESTIONS);
    world
}

fn distill(world: &World, output: &str, more: &[&str]) -> Run {
    let fixed = ["distill", "--model", MODEL, "-o", output, "-n", "12"];
    world.run(&[&fixed[..], more].concat())
}

fn lines(world: &World, file: &str) -> Vec<String> {
    let text = std::fs::read_to_string(world.path().join(file)).unwrap();
    let mut lines: Vec<String> = text.lines().map(Into::into).collect();
    lines.sort();
    lines
}

#[test]
fn answers_are_the_same_in_batches_of_any_size() {
    let world = world();
    let ask = ["--prompts", "questions.jsonl", "--turns", "2"];
    let more = ["--temperatures", "1", "--conversations", "7"];
    for (output, batch) in [("one.jsonl", "1"), ("three.jsonl", "3")] {
        let run = distill(
            &world,
            output,
            &[&ask[..], &more, &["--batch", batch]].concat(),
        );
        assert!(run.ok().err.contains("conversations"));
    }
    let found = lines(&world, "one.jsonl");
    assert_eq!(found, lines(&world, "three.jsonl"));
    assert!(found.len() > 3, "{found:?}");
    let first: Value = serde_json::from_str(&found[0]).unwrap();
    let turns = first["conversations"].as_array().unwrap();
    let said: Vec<_> = turns
        .iter()
        .map(|turn| turn["from"].as_str().unwrap())
        .collect();
    // The tiny model never comes to an end, and nothing follows an answer that was cut.
    assert_eq!(said, ["human", "gpt"]);
    assert_eq!(turns[0]["value"], "Why?");
}

#[test]
fn a_killed_run_goes_on_where_it_was() {
    let world = world();
    let options = [
        "--prompts",
        "questions.jsonl",
        "--temperatures",
        "1",
        "--seed",
        "4",
    ];
    distill(&world, "whole.jsonl", &options).ok();
    let whole = std::fs::read(world.path().join("whole.jsonl")).unwrap();
    // Killed in the middle of the second line.
    let first = whole.iter().position(|&b| b == b'\n').unwrap();
    world.write("killed.jsonl", &whole[..first + 9]);
    distill(&world, "killed.jsonl", &options).ok();
    assert_eq!(lines(&world, "killed.jsonl"), lines(&world, "whole.jsonl"));
}

#[test]
fn questions_that_never_end_are_counted_not_kept() {
    let world = world();
    let run = distill(&world, "none.jsonl", &["--conversations", "3"]).ok();
    assert!(run.err.contains("3 without a question"), "{}", run.err);
    assert_eq!(lines(&world, "none.jsonl"), Vec::<String>::new());
}

#[test]
fn bad_files_are_named_before_the_model_is_loaded() {
    let world = world();
    world.write("bad.jsonl", "fine\n{\"turns\": []}\n");
    let run = distill(&world, "out.jsonl", &["--prompts", "bad.jsonl"]);
    assert_eq!(run.code(), Some(2));
    assert!(run.err.contains("bad.jsonl: line 2"), "{}", run.err);
    world.write("out.jsonl", "{\"id\": 3}\n");
    let run = distill(&world, "out.jsonl", &["--conversations", "1"]);
    assert_eq!(run.code(), Some(2));
    assert!(run.err.contains("out.jsonl: line 1"), "{}", run.err);
}
