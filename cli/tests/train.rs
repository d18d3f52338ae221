//! `eaglet train`: from conversations to a head that drafts.

use serde_json::json;

use crate::support::{MODEL, Run, World};

/// A world with conversations, two lines of them useless.
fn world() -> World {
    let world = World::with_model();
    let mut lines = String::new();
    for i in 0..12 {
        let answer: String = (0..30)
            .map(|j| char::from(b'a' + ((i * 7 + j * j) % 26) as u8))
            .collect();
        let turns = json!([{"from": "human", "value": format!("Say {i}")}, {"from": "gpt", "value": answer}]);
        lines.push_str(&json!({"id": i.to_string(), "conversations": turns}).to_string());
        lines.push('\n');
        if i == 4 {
            lines.push_str("{\"id\": \"x\", \"conversations\": [{\"from\": \"human\", \"value\": \" \"}]}\n{broken\n");
        }
    }
    world.write("talk.jsonl", lines);
    world
}

fn train(world: &World, more: &[&str]) -> Run {
    let fixed = [
        "train",
        "--model",
        MODEL,
        "--data",
        "talk.jsonl",
        "--held-out",
        "2",
        "--measure-every",
        "2",
        "--draft-vocab",
        "64",
    ];
    let sizes = ["--max-length", "64", "--micro-batch", "128"];
    let sizes = if more.contains(&"--max-length") {
        &[][..]
    } else {
        &sizes
    };
    let output = match more.contains(&"-o") {
        true => &[][..],
        false => &["-o", "head"],
    };
    world.run(&[&fixed[..], sizes, output, more].concat())
}

#[test]
fn a_trained_head_drafts_and_changes_nothing() {
    let world = world();
    let run = train(&world, &["--method", "eagle1", "--traces", "traces"]).ok();
    for told in [
        "line 6: a turn is empty",
        "line 7: ",
        "10 conversations",
        "2 held out",
        "tau",
    ] {
        assert!(run.err.contains(told), "{told}: {}", run.err);
    }
    for file in [
        "model.safetensors",
        "head.gguf",
        "config.json",
        "README.md",
        "report.html",
        "state.safetensors",
    ] {
        assert!(world.path().join("head").join(file).is_file(), "{file}");
    }
    let card = std::fs::read_to_string(world.path().join("head/README.md")).unwrap();
    assert!(
        card.contains("talk.jsonl") && card.contains("tau"),
        "{card}"
    );
    let plain = world.report(&["Hi", "-n", "40", "--method", "plain"]);
    let drafted = world.report_free(&["Hi", "-n", "40", "--method", "eagle2", "--draft", "head"]);
    assert_eq!(plain["ids"], drafted["ids"]);
    assert!(drafted["stats"]["drafted_tokens"].as_u64() > Some(0));
    let gguf = [
        "Hi",
        "-n",
        "40",
        "--method",
        "eagle2",
        "--draft",
        "head/head.gguf",
    ];
    assert_eq!(plain["ids"], world.report_free(&gguf)["ids"]);

    // Another run goes on from the head, and says so.
    let more = [
        "--method", "eagle1", "--init", "head", "--lr", "1e-5", "-o", "more",
    ];
    train(&world, &more).ok();
    let card = std::fs::read_to_string(world.path().join("more/README.md")).unwrap();
    assert!(card.contains("begun as | `head`"), "{card}");
    let without = train(
        &world,
        &["--method", "eagle1", "--lr", "1e-5", "-o", "more"],
    );
    assert!(without.err.contains("other options"), "{}", without.err);
    // A network of the same shape is still another one.
    let config = std::fs::read_to_string(world.path().join("head/config.json")).unwrap();
    let config = config.replace("\"rope_theta\": ", "\"rope_theta\": 9");
    world.write("other/config.json", config);
    let tensors = std::fs::read(world.path().join("head/model.safetensors")).unwrap();
    world.write("other/model.safetensors", tensors);
    let other = train(
        &world,
        &["--method", "eagle1", "--init", "other", "-o", "no"],
    );
    assert_eq!(other.code(), Some(2));
    assert!(other.err.contains("rotary base"), "{}", other.err);
    let wrong = train(
        &world,
        &["--method", "medusa", "--init", "head", "-o", "no"],
    );
    assert_eq!(wrong.code(), Some(2));
    assert!(wrong.err.contains("another kind"), "{}", wrong.err);

    // The run is over: again there is nothing to do, and the head stays.
    let again = train(&world, &["--method", "eagle1", "--traces", "traces"]).ok();
    assert!(again.err.contains("going on at update"), "{}", again.err);
    // Another run does not go on with this one's state.
    let other = train(&world, &["--method", "eagle1", "--lr", "0.002"]);
    assert_eq!(other.code(), Some(2));
    assert!(other.err.contains("other options"), "{}", other.err);
}

#[test]
fn what_cannot_be_trained_is_told_at_once() {
    let world = world();
    let shallow = train(&world, &[]);
    assert_eq!(shallow.code(), Some(2));
    assert!(shallow.err.contains("too shallow"), "{}", shallow.err);
    let long = train(&world, &["--max-length", "256", "--micro-batch", "128"]);
    assert!(long.err.contains("--micro-batch 128"), "{}", long.err);
    let rate = train(&world, &["--lr", "2"]);
    assert!(rate.err.contains("--lr 2"), "{}", rate.err);
    world.write("talk.jsonl", "nothing\n");
    let empty = train(&world, &["--method", "medusa"]);
    assert_eq!(empty.code(), Some(2));
    assert!(empty.err.contains("fewer than two"), "{}", empty.err);
}
