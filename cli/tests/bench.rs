//! `eaglet bench`: what it reports, and where that is marked.

use eaglet_tests::tiny::Tiny;
use serde_json::Value;

use crate::support::{MODEL, World};

const QUESTIONS: &str = r#"{"question_id": 81, "category": "writing", "turns": ["abcabcabc", "go on"]}
{"question_id": 82, "category": "writing", "turns": ["one two one two"]}
{"question_id": 83, "category": "math", "turns": ["1+1=2, 1+1=2, 1+1="]}
"#;

fn world() -> World {
    let world = World::with_model();
    world.write("questions.jsonl", QUESTIONS);
    world
}

fn written(world: &World, name: &str) -> String {
    std::fs::read_to_string(world.path().join(name)).unwrap()
}

/// The rows of a report for a method, over all categories.
fn overall<'a>(report: &'a Value, method: &str) -> Vec<&'a Value> {
    let rows = report["results"].as_array().unwrap().iter();
    rows.filter(|row| row["method"] == method && row["category"].is_null())
        .collect()
}

#[test]
fn every_method_answers_every_question_with_the_same_tokens() {
    let world = world();
    let small = format!("ngram,small-model={MODEL}");
    let args = ["bench", "--model", MODEL, "--questions", "questions.jsonl"];
    let more = ["--methods", &small, "--temperatures", "0,0.8", "-n", "24"];
    let files = ["--repeats", "2", "--json", "r.json", "--html", "r.html"];
    let run = world.run(&[&args[..], &more, &files].concat()).ok();
    for line in run.out.lines() {
        assert!(line.chars().count() <= 100, "{line}");
    }
    for wanted in ["temperature 0.8", "small-model", "by category", "prefill"] {
        assert!(run.out.contains(wanted), "{wanted}: {}", run.out);
    }
    let report: Value = serde_json::from_str(&written(&world, "r.json")).unwrap();
    assert_eq!(report["identical"], true);
    assert_eq!(report["random_weights"], false);
    assert_eq!(report["synthetic_acceptance"], serde_json::json!([]));
    assert_eq!(
        (&report["questions"], &report["turns"]),
        (&3.into(), &4.into())
    );
    assert!(report["read_bandwidth_gb_s"].as_f64() > Some(0.1));
    let costs = report["passes"]["costs"].as_array().unwrap();
    assert!(costs.len() > 3 && costs[0][0] == 1 && costs[0][1].as_f64() > Some(0.0));
    // Three methods, two temperatures; all categories and each of two.
    assert_eq!(report["results"].as_array().unwrap().len(), 3 * 2 * 3);
    assert_eq!(report["answers"].as_array().unwrap().len(), 3 * 2 * 3 * 2);
    for row in overall(&report, "plain") {
        assert_eq!(row["tau"], 1.0);
        assert_eq!(row["speedup"]["median"], 1.0);
        // Four turns of 24 tokens, the first of each from prefill, twice.
        assert_eq!(row["tokens"], 4 * 23 * 2);
    }
    let own_model = overall(&report, "small-model");
    assert_eq!(own_model.len(), 2);
    for row in own_model {
        let number = |name: &str| row[name].as_f64().unwrap_or_else(|| panic!("{name}"));
        assert_eq!(number("tokens"), 184.0);
        assert!(number("tau") >= 1.0 && number("decode_tok_s") > 0.0);
        assert!(number("prefill_tok_s") > 0.0 && number("bandwidth_share") > 0.0);
        assert!(row["speedup"]["p10"].as_f64() <= row["speedup"]["p90"].as_f64());
        let time: f64 = ["draft", "verify", "host"]
            .map(|part| row["time"][part].as_f64().unwrap())
            .iter()
            .sum();
        assert!((time - 1.0).abs() < 1e-6, "{row}");
        // One target token a round and what was accepted of each depth.
        let depths = row["acceptance_by_depth"].as_array().unwrap();
        let depths: f64 = depths.iter().map(|share| share.as_f64().unwrap()).sum();
        assert!((1.0 + depths - number("tau")).abs() < 0.2, "{row}");
    }
    let page = written(&world, "r.html");
    assert_eq!(page.matches("<svg").count(), 3 * 2);
    let foreign = page.matches("http").count() - page.matches("http://www.w3.org/2000/svg").count();
    assert_eq!(foreign, 0, "it needs no other file");
}

#[test]
fn a_drafter_that_knows_the_answer_is_marked() {
    let world = world();
    let args = [
        "bench",
        "--model",
        MODEL,
        "--questions",
        "questions.jsonl",
        "-n",
        "40",
    ];
    let more = [
        "--synthetic-acceptance",
        "1,0.5",
        "--json",
        "r.json",
        "--html",
        "r.html",
    ];
    world.report_free(&["Hi"]);
    let run = world.run(&[&args[..], &more].concat()).ok();
    assert!(run.out.contains("SYNTHETIC ACCEPTANCE"), "{}", run.out);
    let page = written(&world, "r.html");
    assert!(page.contains("SYNTHETIC ACCEPTANCE"));
    // What knows the answer is not praised where there is a method.
    assert!(
        page.contains("<p class=\"headline\">ngram decodes"),
        "{page}"
    );
    let report: Value = serde_json::from_str(&written(&world, "r.json")).unwrap();
    assert_eq!(report["identical"], true);
    assert_eq!(
        report["synthetic_acceptance"],
        serde_json::json!([1.0, 0.5])
    );
    let methods = report["methods"].as_array().unwrap();
    let marked: Vec<_> = methods.iter().map(|m| m["synthetic"] == true).collect();
    assert_eq!(marked, [false, false, true, true]);
    let row = overall(&report, "synthetic-1")[0];
    assert!(row["drafted_tokens"].as_u64() > Some(0), "{row}");
    // Whatever was verified was right.
    let accepted = row["tokens"].as_u64().unwrap() - row["rounds"].as_u64().unwrap();
    assert!(accepted > 0, "{row}");
}

#[test]
fn random_weights_have_the_shape_asked_for_and_are_marked() {
    let world = World::new();
    let (config, _) = Tiny::new("qwen3", 1).folder();
    world.write("config.json", config);
    let args = [
        "bench",
        "--random-weights",
        "config.json",
        "--dtype",
        "q8",
        "--limit",
        "2",
    ];
    let more = ["-n", "12", "--json", "r.json", "--html", "r.html"];
    let run = world.run(&[&args[..], &more].concat()).ok();
    assert!(run.out.contains("RANDOM WEIGHTS"), "{}", run.out);
    let page = written(&world, "r.html");
    assert!(page.contains("RANDOM WEIGHTS") && page.contains("With made-up weights, ngram"));
    let report: Value = serde_json::from_str(&written(&world, "r.json")).unwrap();
    assert_eq!(report["random_weights"], true);
    assert_eq!(
        (&report["dtype"], &report["questions"]),
        (&"q8".into(), &2.into())
    );
    assert_eq!(report["identical"], true);
    let plain = overall(&report, "plain")[0];
    assert_eq!(plain["tokens"], 2 * 11);
    assert_eq!(
        plain["prefill_tokens"],
        2 * 128,
        "no prompt was there already"
    );
    // No model was looked for.
    world.assert_untouched();
}

#[test]
fn what_cannot_be_measured_is_refused_before_a_model_is_looked_for() {
    let world = World::new();
    for (args, wanted) in [
        (
            &["--methods", "foo"][..],
            &["`foo` is no method", "ngram"][..],
        ),
        (&["--methods", "ngram=x"], &["ngram needs none"]),
        (&["--methods", "small-model"], &["--draft PATH"]),
        (&["--methods", "ngram,ngram"], &["takes part twice"]),
        (&["--method", "ngram"], &["--methods"]),
        (&["--temperature", "1"], &["--temperatures"]),
        (&["-t", "1"], &["-t"]),
        (
            &["--temperatures", "-1"],
            &["temperature must be 0 or more"],
        ),
        (&["--synthetic-acceptance", "1.5"], &["probability"]),
        (
            &["--synthetic-acceptance", "1", "--verify", "typical"],
            &["--verify exact"],
        ),
        (&["--random-weights", "nowhere"], &["nowhere", "llama2-7b"]),
        (
            &["--random-weights", "llama2-7b", "--questions", "q"],
            &["--questions"],
        ),
        (&["--questions", "nowhere"], &["nowhere", "cannot read"]),
        (
            &["--json", "no/such/folder.json"],
            &["cannot write no/such"],
        ),
        (&["--repeats", "0"], &["--repeats"]),
    ] {
        world.run(&[&["bench"][..], args].concat()).refused(wanted);
    }
    world.run(&["bench"]).refused(&["offline mode"]);
    world.assert_untouched();
}
