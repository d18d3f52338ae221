//! EAGLE heads and draft models from the command line.

use eaglet_core::weights::{Dtype, SafetensorsWriter};
use eaglet_tests::heads::{INNER, Kind, TinyHead};
use eaglet_tests::tiny::HIDDEN;

use crate::support::{MODEL, World};

/// A world with a model and a head of each kind in the folders `eagle1` and `eagle3`.
fn world() -> World {
    let world = World::with_model();
    for (folder, kind) in [("eagle1", Kind::Eagle1), ("eagle3", Kind::Eagle3)] {
        let file = TinyHead::random(kind, 1).file(str::to_owned, false);
        world.write(&format!("{folder}/model.safetensors"), file);
        let config = TinyHead::config().to_string();
        world.write(&format!("{folder}/config.json"), config);
    }
    world
}

#[test]
fn a_head_drafts_and_changes_nothing() {
    let world = world();
    for temperature in ["0", "0.8"] {
        let prompt = ["Hello", "-n", "50", "-t", temperature, "--seed", "4"];
        let plain = world.report(&[&prompt[..], &["--method", "plain"]].concat());
        for (method, draft) in [
            ("eagle2", "eagle1"),
            ("eagle3", "eagle3"),
            ("small-model", MODEL),
        ] {
            let head = ["--method", method, "--draft", draft];
            let found = world.report(&[&prompt[..], &head].concat());
            assert_eq!(found["ids"], plain["ids"], "{method} {temperature}");
            assert_eq!(found["method"], method);
            assert!(found["stats"]["drafted_tokens"].as_u64() > Some(0));
        }
    }
}

#[test]
fn other_rules_are_greedy_at_0_and_repeat_themselves_above() {
    let world = world();
    for rule in ["rejection", "typical"] {
        for (method, draft) in [("eagle2", "eagle1"), ("small-model", MODEL)] {
            let with = |temperature| {
                let prompt = ["Hello", "-n", "50", "-t", temperature, "--seed", "4"];
                let head = ["--method", method, "--draft", draft, "--verify", rule];
                let found = world.report(&[&prompt[..], &head].concat());
                assert_eq!(found["verify"], rule);
                (
                    found["ids"].clone(),
                    found["stats"]["drafted_tokens"].as_u64(),
                )
            };
            let plain = |temperature| {
                let prompt = ["Hello", "-n", "50", "-t", temperature, "--seed", "4"];
                world.report(&[&prompt[..], &["--method", "plain"]].concat())["ids"].clone()
            };
            assert_eq!(with("0").0, plain("0"), "{rule} {method}");
            let warm = with("0.9");
            assert_ne!(warm.0, plain("0.9"), "{rule} {method}");
            // The same again: nothing depends on the clock.
            assert_eq!(with("0.9"), warm, "{rule} {method}");
        }
    }
}

#[test]
fn a_head_may_lie_in_a_folder_or_in_one_file() {
    let world = world();
    let eagle1 = TinyHead::random(Kind::Eagle1, 1).head_file();
    let eagle3 = TinyHead::random(Kind::Eagle3, 1).head_file();
    world.write("one.gguf", eagle1.gguf().unwrap());
    world.write("three.gguf", eagle3.gguf().unwrap());
    world.write("folder/three.gguf", eagle3.gguf().unwrap());
    let prompt = ["Hello", "-n", "40"];
    let plain = world.report(&[&prompt[..], &["--method", "plain"]].concat());
    for (method, draft) in [
        ("eagle2", "one.gguf"),
        ("eagle2", "eagle1/model.safetensors"),
        ("eagle3", "three.gguf"),
        ("eagle3", "folder"),
        ("eagle3", "eagle3/model.safetensors"),
    ] {
        let head = ["--method", method, "--draft", draft];
        let found = world.report(&[&prompt[..], &head].concat());
        assert_eq!(found["ids"], plain["ids"], "{draft}");
        assert!(
            found["stats"]["drafted_tokens"].as_u64() > Some(0),
            "{draft}"
        );
    }
}

#[test]
fn a_head_that_does_not_fit_is_told_at_once() {
    let world = world();
    let head = ["Hi", "-n", "4", "--method", "eagle3", "--draft", "eagle3"];
    let run = world.generate(&head).ok();
    assert!(
        run.err
            .contains("warning: eagle3: the head agrees with the model on "),
        "{run:?}"
    );
    assert!(run.err.contains("not trained"), "{run:?}");
    let plain = world.generate(&["Hi", "-n", "4", "--method", "plain"]).ok();
    assert_eq!(run.out, plain.out);
    assert!(!plain.err.contains("warning"));
}

#[test]
fn pytorchs_heads_are_refused_with_the_way_to_convert_them() {
    let world = world();
    world.write("torch/config.json", TinyHead::config().to_string());
    world.write("torch/pytorch_model.bin", b"\x80\x02");
    for draft in ["torch", "torch/pytorch_model.bin"] {
        let said = [
            "pytorch_model.bin",
            "safetensors.torch.save_file(",
            "model.safetensors",
        ];
        let head = ["Hi", "--method", "eagle2", "--draft", draft];
        world.generate(&head).refused(&said);
        world.run(&["inspect", draft]).refused(&said);
    }
}

#[test]
fn inspect_shows_heads() {
    let world = world();
    let file = TinyHead::random(Kind::Eagle3, 1).head_file();
    world.write("three.gguf", file.gguf().unwrap());
    for (path, kind, shown) in [
        (
            "eagle1",
            "EAGLE-1 and EAGLE-2",
            "sees the last hidden state",
        ),
        ("eagle3", "EAGLE-3", "of which it drafts 40"),
        (
            "eagle3/model.safetensors",
            "EAGLE-3",
            "sees the inputs of layers [0, 1, 2]",
        ),
        (
            "three.gguf",
            "EAGLE-3",
            "sees the inputs of layers [0, 1, 2]",
        ),
    ] {
        let object = world.run(&["inspect", "--json", path]).ok().json();
        assert_eq!(object["head"], kind, "{path}");
        assert_eq!(object["target_hidden"], HIDDEN);
        assert_eq!(
            (&object["heads"], &object["kv_heads"]),
            (&4.into(), &2.into())
        );
        assert_eq!(object["intermediate"], INNER);
        assert!(object["parameters"].as_u64() > Some(10_000));
        assert!(object["bytes"].as_u64() > Some(10_000));
        let table = world.run(&["inspect", path]).ok().out;
        assert!(
            table.starts_with(&format!("{kind} head: hidden 64")),
            "{table}"
        );
        assert!(table.contains(shown), "{path}: {table}");
        assert!(table.contains("fc.weight"), "{table}");
    }
    let eagle3 = world.run(&["inspect", "--json", "eagle3"]).ok().json();
    assert_eq!(
        (&eagle3["draft_vocab"], &eagle3["taps"]),
        (&40.into(), &serde_json::json!([0, 1, 2]))
    );
    assert_eq!(eagle3["features"], serde_json::json!(["lm_head"]));

    let medusa = SafetensorsWriter::new()
        .values("0.0.linear.weight", &[2, 2], Dtype::F16, &[0.0; 4])
        .and_then(|w| w.values("0.0.linear.bias", &[2], Dtype::F16, &[0.0; 2]))
        .and_then(|w| w.values("0.1.weight", &[5, 2], Dtype::F16, &[0.0; 10]));
    world.write(
        "medusa/medusa_lm_head.safetensors",
        medusa.unwrap().finish().unwrap(),
    );
    world.write("medusa/config.json", "{}");
    let medusa = world.run(&["inspect", "medusa"]).ok().out;
    assert!(medusa.starts_with("Medusa head: hidden 2\nfor a target of hidden 2, vocabulary 5"));
}

#[test]
fn a_head_that_is_missing_or_of_another_method_is_refused() {
    let world = world();
    for (args, cause) in [
        (&["--method", "eagle3"][..], "--draft PATH"),
        (
            &["--method", "ngram", "--draft", "eagle3"],
            "ngram needs none",
        ),
        (&["--method", "eagle3", "--draft", "nowhere"], "nowhere"),
        (
            &["--method", "eagle3", "--draft", "eagle1"],
            "another method",
        ),
        (
            &["--method", "eagle2", "--draft", "eagle3"],
            "another method",
        ),
    ] {
        world
            .generate(&[&["Hi"][..], args].concat())
            .refused(&[cause]);
    }
}
