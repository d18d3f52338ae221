//! Heads and draft models from the command line.

use eaglet_core::weights::{Dtype, SafetensorsWriter};
use eaglet_tests::heads::{INNER, Kind, TinyHead};
use eaglet_tests::medusa::TinyMedusa;
use eaglet_tests::text;
use eaglet_tests::tiny::HIDDEN;

use crate::support::{MODEL, World};

fn eagle(world: &World, folder: &str, kind: Kind) {
    let file = TinyHead::random(kind, 1).file(str::to_owned, false);
    world.write(&format!("{folder}/model.safetensors"), file);
    let config = TinyHead::config().to_string();
    world.write(&format!("{folder}/config.json"), config);
}

fn medusa(world: &World, folder: &str) {
    let file = TinyMedusa::random(&[1; 3], &[0, 2], text::VOCAB, 1).file();
    world.write(&format!("{folder}/medusa_lm_head.safetensors"), file);
    world.write(&format!("{folder}/config.json"), "{}");
}

/// A world with a model and, not beside it, heads of each kind: `heads/1`, `heads/3` and
/// `heads/medusa`.
fn world() -> World {
    let world = World::with_model();
    eagle(&world, "heads/1", Kind::Eagle1);
    eagle(&world, "heads/3", Kind::Eagle3);
    medusa(&world, "heads/medusa");
    world
}

#[test]
fn every_method_drafts_and_changes_nothing() {
    let world = world();
    for temperature in ["0", "0.8"] {
        let prompt = ["Hello", "-n", "50", "-t", temperature, "--seed", "4"];
        let plain = world.report(&[&prompt[..], &["--method", "plain"]].concat());
        for (method, more) in [
            ("eagle1", &["--draft", "heads/1"][..]),
            ("eagle1", &["--draft", "heads/1", "--tree", "static"]),
            ("eagle1", &["--draft", "heads/1", "--draft-tokens", "7"]),
            ("eagle2", &["--draft", "heads/1"]),
            ("eagle2", &["--draft", "heads/1", "--tree", "59,6,10"]),
            ("eagle3", &["--draft", "heads/3"]),
            ("eagle3", &["--draft", "heads/3", "--tree", "static"]),
            ("eagle3", &["--draft", "heads/3", "--ngrams", "on"]),
            ("medusa", &["--draft", "heads/medusa"]),
            ("medusa", &["--draft", "heads/medusa", "--tree", "static"]),
            ("medusa", &["--draft", "heads/medusa", "--tree", "9,2,4"]),
            (
                "medusa",
                &[
                    "--draft",
                    "heads/medusa/medusa_lm_head.safetensors",
                    "--tree",
                    "vicuna_33b_stage2",
                    "--ngrams",
                    "on",
                ],
            ),
            ("lookahead", &[]),
            ("lookahead", &["--lookahead", "3,4,2"]),
            ("small-model", &["--draft", MODEL]),
        ] {
            let found = [&prompt[..], &["--method", method], more].concat();
            let found = world.report_free(&found);
            assert_eq!(
                found["ids"], plain["ids"],
                "{method} {more:?} {temperature}"
            );
            assert_eq!(found["method"], method);
            assert!(found["stats"]["drafted_tokens"].as_u64() > Some(0));
        }
    }
}

#[test]
fn other_rules_are_greedy_at_0_and_repeat_themselves_above() {
    let world = world();
    for rule in ["rejection", "typical"] {
        for (method, draft) in [
            ("eagle1", "heads/1"),
            ("eagle2", "heads/1"),
            ("medusa", "heads/medusa"),
            ("small-model", MODEL),
        ] {
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
fn a_fixed_tree_is_verified_whole() {
    let world = world();
    for (tree, nodes) in [("static", 25), ("12,3,6", 12), ("59,6,10", 59)] {
        let args = ["--draft", "heads/1", "--tree", tree, "-n", "40", "Hi"];
        let report = world.report(&[&["--method", "eagle2"], &args[..]].concat());
        let number = |name: &str| report["stats"][name].as_u64().unwrap();
        let (rounds, drafted) = (number("rounds"), number("drafted_tokens"));
        assert!(drafted <= rounds * nodes, "{tree}");
        // The last rounds have no room for all levels.
        assert!(drafted >= (rounds - 7) * nodes, "{tree}: {drafted}");
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
        ("eagle2", "heads/1/model.safetensors"),
        ("eagle3", "three.gguf"),
        ("eagle3", "folder"),
        ("eagle3", "heads/3/model.safetensors"),
    ] {
        let head = ["--method", method, "--draft", draft];
        let found = world.report_free(&[&prompt[..], &head].concat());
        assert_eq!(found["ids"], plain["ids"], "{draft}");
        assert!(
            found["stats"]["drafted_tokens"].as_u64() > Some(0),
            "{draft}"
        );
    }
}

#[test]
fn a_head_beside_the_model_is_found() {
    let world = World::with_model();
    let ran = |args: &[&str]| {
        let report = world.report(&[&["-n", "20", "Hi"], args].concat());
        report["method"].clone()
    };
    assert_eq!(ran(&[]), "ngram");
    // From the last choice to the first.
    medusa(&world, "medusa");
    assert_eq!(ran(&[]), "medusa");
    eagle(&world, "tiny.eagle1", Kind::Eagle1);
    assert_eq!(ran(&[]), "eagle2");
    assert_eq!(ran(&["--method", "eagle1"]), "eagle1");
    assert_eq!(ran(&["--method", "medusa"]), "medusa");
    eagle(&world, "eagle3", Kind::Eagle3);
    assert_eq!(ran(&[]), "eagle3");
    assert_eq!(ran(&["--method", "eagle3"]), "eagle3");
    let said = world.generate(&["-n", "5", "Hi"]).ok();
    assert!(said.err.contains(" with eagle3 (tau "), "{said:?}");
    // A file's own head comes before its folder's: here it is a broken one.
    world.write("tiny.eagle3/config.json", "{}");
    world
        .generate(&["Hi"])
        .refused(&["tiny.eagle3", "model.safetensors"]);
    assert_eq!(ran(&["--method", "plain"]), "plain");
}

#[test]
fn a_head_that_does_not_fit_is_told_at_once() {
    let world = world();
    let head = ["Hi", "-n", "4", "--method", "eagle3", "--draft", "heads/3"];
    let run = world.generate(&head).ok();
    assert!(
        run.err
            .contains("warning: heads/3: the head agrees with the model on "),
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
            "heads/1",
            "EAGLE-1 and EAGLE-2",
            "sees the last hidden state",
        ),
        ("heads/3", "EAGLE-3", "of which it drafts 40"),
        (
            "heads/3/model.safetensors",
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
    let eagle3 = world.run(&["inspect", "--json", "heads/3"]).ok().json();
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
    world.write("heads/old/pytorch_model.bin", "PK");
    world.write("heads/old-medusa/medusa_lm_head.pt", "PK");
    for (args, causes) in [
        (
            &["--method", "eagle3"][..],
            &["no folder `eagle3`", "--draft PATH"][..],
        ),
        (&["--method", "medusa"], &["no folder `medusa`"]),
        (&["--method", "small-model"], &["--draft PATH"]),
        (
            &["--method", "ngram", "--draft", "heads/3"],
            &["ngram needs none"],
        ),
        (
            &["--method", "lookahead", "--draft", "heads/3"],
            &["lookahead needs none"],
        ),
        (&["--draft", "heads/3"], &["needs the --method"]),
        (&["--method", "eagle3", "--draft", "nowhere"], &["nowhere"]),
        (&["--method", "medusa", "--draft", "nowhere"], &["nowhere"]),
        (
            &["--method", "eagle3", "--draft", "heads/1"],
            &["another method"],
        ),
        (
            &["--method", "eagle1", "--draft", "heads/3"],
            &["another method"],
        ),
        (
            &["--method", "medusa", "--draft", "heads/1"],
            &["another method"],
        ),
        (
            &["--method", "medusa", "--draft", "heads/old-medusa"],
            &["medusa_lm_head.pt", "torch.load"],
        ),
        (
            &["--method", "eagle2", "--draft", "heads/old"],
            &["pytorch_model.bin", "torch.load"],
        ),
    ] {
        world
            .generate(&[&["Hi"][..], args].concat())
            .refused(causes);
    }
}

#[test]
fn flags_that_contradict_one_another_are_refused_before_anything_is_loaded() {
    let world = World::new();
    for (args, cause) in [
        (&["--tree", "static"][..], "auto has no such trees"),
        (&["--method", "ngram", "--tree", "9,3,3"], "ngram has no"),
        (&["--method", "eagle1", "--tree", "9,3,3"], "eagle2's"),
        (
            &["--method", "eagle3", "--tree", "zephyr_stage2"],
            "medusa's, not eagle3's",
        ),
        (
            &[
                "--method",
                "eagle3",
                "--tree",
                "static",
                "--draft-tokens",
                "9",
            ],
            "drop --draft-tokens",
        ),
        (
            &["--method", "lookahead", "--draft-tokens", "9"],
            "drop --draft-tokens",
        ),
        (&["--lookahead", "5,7,7"], "--method lookahead"),
        (&["--method", "plain", "--ngrams", "on"], "plain has none"),
        (&["--method", "eagle3", "--tree", "9,3"], "N,DEPTH,TOP_K"),
        (&["--method", "eagle3", "--tree", "0,3,3"], "N,DEPTH,TOP_K"),
        (&["--method", "eagle3", "--tree", "bushy"], "zephyr_stage2"),
        (
            &["--method", "lookahead", "--lookahead", "5,7"],
            "three numbers",
        ),
        (&["--method", "lookahead", "--lookahead", "1,7,7"], "1,7,7"),
        (&["--method", "lookahead", "--lookahead", "9,60,60"], "256"),
    ] {
        // The default model is not here either: nobody looked for it.
        world
            .run(&[&["generate", "Hi"][..], args].concat())
            .refused(&[cause]);
    }
    world.assert_untouched();
}
