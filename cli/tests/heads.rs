//! EAGLE heads and draft models from the command line.

use eaglet_tests::heads::{Kind, TinyHead};

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
