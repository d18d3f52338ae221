//! What only a real model can show: real words, a real end of turn, real characters.
//! In f32, so that the words are the same on every processor.

use eaglet_tests::default_model;
use serde_json::Value;

use crate::support::{Run, World};

fn generate(args: &[&str]) -> Option<Run> {
    let path = default_model::path()?;
    let path = path.to_str().unwrap();
    let model = ["generate", "--quiet", "--dtype", "f32", "--model", path];
    Some(World::new().run(&[&model, args].concat()).ok())
}

fn report(args: &[&str]) -> Option<Value> {
    generate(&[&["--json"], args].concat()).map(|run| run.json())
}

#[test]
fn a_question_is_answered_and_the_answer_ends_by_itself() {
    let args = ["What is the capital of Germany?", "-n", "40"];
    let Some(report) = report(&args) else { return };
    assert_eq!(report["text"], "The capital of Germany is Berlin.");
    assert_eq!(report["finish_reason"], "stop");
    // The end of the turn is among the ids and not in the text.
    assert_eq!(report["ids"].as_array().unwrap().last(), Some(&2.into()));
}

#[test]
fn characters_of_many_tokens_are_streamed_whole() {
    let args = ["Write 🦅🦅🦅 three times.", "-n", "30"];
    let Some(streamed) = generate(&args) else {
        return;
    };
    let ngram = report(&args).unwrap();
    let text = ngram["text"].as_str().unwrap();
    assert_eq!(streamed.out.strip_suffix('\n'), Some(text));
    assert!(
        text.starts_with("🦅🦅🦅") && text.chars().count() < 30,
        "{text}"
    );

    // The answer repeats itself, so there was something to draft; plain decoding says
    // the same.
    assert!(ngram["stats"]["drafted_tokens"].as_u64() > Some(0));
    let plain = report(&[&args[..], &["--method", "plain"]].concat()).unwrap();
    assert_eq!(
        (&plain["ids"], &plain["text"]),
        (&ngram["ids"], &ngram["text"])
    );
}

#[test]
fn weights_stay_as_small_as_in_the_file() {
    let Some(path) = default_model::path() else {
        return;
    };
    let args = ["generate", "--json", "-n", "1", "Hi", "--model"];
    let args = [&args[..], &[path.to_str().unwrap()]].concat();
    let report = World::new().run(&args).ok().json();
    assert_eq!(report["dtype"], "q4");
    let bytes = path.metadata().unwrap().len();
    if let Some(peak) = report["stats"]["peak_rss_bytes"].as_u64() {
        assert!(peak < bytes * 2, "{peak} for a file of {bytes}");
    }
}

#[test]
fn auto_takes_the_shipped_head_unless_it_would_have_to_draft_in_every_round() {
    let method = |args: &[&str]| -> Option<Value> {
        let report = report(&[&["Hi", "-n", "4"], args].concat())?;
        Some(report["method"].clone())
    };
    let Some(usual) = method(&[]) else { return };
    assert_eq!(usual, "eagle3");
    let sampled = ["--temperature", "1", "--verify", "rejection"];
    assert_eq!(method(&sampled).unwrap(), "ngram");
}
