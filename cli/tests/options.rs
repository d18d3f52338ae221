//! The decoding options: what they change, what they must not, and bad values.

use serde_json::Value;

use crate::support::{MODEL, World};

/// What two reports must agree on to be the same answer.
fn answer(report: &Value) -> (&Value, &Value, &Value) {
    (&report["text"], &report["ids"], &report["finish_reason"])
}

#[test]
fn the_seed_decides_and_nothing_else() {
    let world = World::with_model();
    let at = |seed, temperature| {
        let args = ["Hi", "-n", "30", "-t", temperature, "--seed", seed];
        world.report(&args)
    };
    let first = at("1", "1");
    assert_eq!(answer(&first), answer(&at("1", "1")));
    assert_ne!(first["text"], at("2", "1")["text"]);
    // Greedy decoding draws nothing.
    assert_eq!(at("1", "0")["text"], at("2", "0")["text"]);
}

#[test]
fn methods_and_threads_give_the_same_answer() {
    let world = World::with_model();
    let mut drafted = 0;
    for temperature in ["0", "0.6"] {
        let with = |more: &[&str]| {
            let args = ["abcabcabcabc", "-n", "60", "-t", temperature, "--seed", "3"];
            world.report_free(&[&args, more].concat())
        };
        let plain = with(&["--method", "plain"]);
        assert_eq!(plain["method"], "plain");
        assert_eq!(plain["stats"]["tau"], 1.0);
        assert_eq!(plain["stats"]["drafted_tokens"], 0);
        for more in [
            &["--method", "ngram"][..],
            &["--draft-tokens", "1"],
            &["--draft-tokens", "0"],
            &["--threads", "1"],
            &["--threads", "3"],
            &["--device", "cpu"],
        ] {
            let other = with(more);
            assert_eq!(answer(&other), answer(&plain), "{more:?}");
            drafted += other["stats"]["drafted_tokens"].as_u64().unwrap();
        }
    }
    assert!(drafted > 0, "no round had a draft to verify");
}

#[test]
fn filters_that_leave_one_token_are_greedy() {
    let world = World::with_model();
    let greedy = world.report(&["Hi", "-n", "20"]);
    for filter in [["--top-k", "1"], ["--top-p", "1e-6"], ["--min-p", "1"]] {
        let args = [&["Hi", "-n", "20", "-t", "1"], &filter[..]].concat();
        assert_eq!(answer(&world.report(&args)), answer(&greedy), "{filter:?}");
    }
}

#[test]
fn a_stop_string_ends_the_text_before_it() {
    let world = World::with_model();
    let whole = world.report(&["Hi", "-n", "40"]);
    let text = whole["text"].as_str().unwrap();
    assert_eq!(whole["finish_reason"], "length");
    // Three tokens, the last two of which complete it.
    let stop = &text[20..23];
    let cut = &text[..text.find(stop).unwrap()];
    let args = ["Hi", "-n", "40", "--stop", "never said", "--stop", stop];
    let stopped = world.report(&args);
    assert_eq!(stopped["text"], cut);
    assert_eq!(stopped["finish_reason"], "stop");
    assert_eq!(stopped["ids"].as_array().unwrap().len(), cut.len() + 3);
    // A stream must not show the beginning of a stop string either.
    assert_eq!(world.generate(&args).ok().out, format!("{cut}\n"));
}

#[test]
fn a_bias_forces_and_bans_tokens() {
    let world = World::with_model();
    let with = |biases: &[&str]| {
        let biases = biases.iter().flat_map(|bias| ["--logit-bias", bias]);
        let args: Vec<&str> = ["Hi", "-n", "5"].into_iter().chain(biases).collect();
        world.report(&args)
    };
    assert_eq!(with(&["65=1000"])["text"], "AAAAA");
    assert_eq!(with(&["65=1000", "66=2000"])["text"], "BBBBB");
    assert_eq!(with(&["65=1000", "65=-inf", "67=900"])["text"], "CCCCC");
    // The end of a turn is a token like others, and no text.
    let ended = with(&["258=1000"]);
    assert_eq!(
        (&ended["text"], &ended["finish_reason"]),
        (&"".into(), &"stop".into())
    );
    assert_eq!(ended["ids"], serde_json::json!([258]));
}

#[test]
fn penalties_make_room_for_other_tokens() {
    let world = World::with_model();
    let forced = ["Hi", "-n", "6", "--logit-bias", "65=50"];
    assert_eq!(world.report(&forced)["text"], "AAAAAA");
    for penalty in [
        ["--presence-penalty", "100"],
        ["--frequency-penalty", "100"],
        ["--repetition-penalty", "100"],
    ] {
        let report = world.report(&[&forced[..], &penalty].concat());
        let text = report["text"].as_str().unwrap();
        assert_eq!(text.matches('A').count(), 1, "{penalty:?}: {text}");
    }
}

#[test]
fn the_context_bounds_an_answer() {
    let world = World::with_model();
    let report = world.report(&["--raw", "0123456789", "--ctx", "16"]);
    assert_eq!(report["stats"]["generated_tokens"], 6);
    assert_eq!(report["finish_reason"], "length");
}

#[test]
fn bad_values_are_refused_with_the_rule() {
    let world = World::with_model();
    for (option, value, wanted) in [
        ("--temperature", "-1", "temperature must be 0 or more"),
        ("--temperature", "nan", "temperature"),
        ("--temperature", "warm", "--temperature"),
        ("--top-p", "0", "top-p must be above 0"),
        ("--top-p", "-0.5", "top-p must be above 0"),
        ("--top-p", "1.5", "top-p"),
        ("--top-k", "-1", "'-1'"),
        ("--min-p", "-0.1", "min-p must be between 0 and 1"),
        ("--min-p", "2", "min-p must be between 0 and 1"),
        ("--repetition-penalty", "0", "repetition penalty"),
        ("--repetition-penalty", "-1", "repetition penalty"),
        ("--presence-penalty", "inf", "penalties must be finite"),
        ("--frequency-penalty", "nan", "penalties must be finite"),
        ("--logit-bias", "x", "ID=BIAS"),
        ("--logit-bias", "65", "ID=BIAS"),
        ("--logit-bias", "65=heavy", "ID=BIAS"),
        ("--logit-bias", "a=2", "ID=BIAS"),
        ("--logit-bias", "65=nan", "logit bias"),
        ("--logit-bias", "65=inf", "logit bias"),
        ("--logit-bias", "259=1", "259"),
        ("--seed", "-1", "'-1'"),
        ("--max-tokens", "0", "from 1 on"),
        ("--threads", "0", "from 1 on"),
        ("--ctx", "0", "from 1 on"),
        ("--draft-tokens", "1000000000000", "64"),
        ("--stop", "", "stop string is empty"),
        ("--dtype", "q5", "f32, f16, q8, q4"),
        ("--device", "gpu9", "unknown device `gpu9`"),
        ("--device", "cuda:99", "device cuda:99: "),
        ("--device", "wgpu:99", "device wgpu:99: "),
        ("--method", "foo", "plain"),
        ("--verify", "foo", "exact, rejection, typical"),
    ] {
        for command in ["generate", "chat"] {
            let args = [command, "--model", MODEL, option, value];
            world.run_with(&args, "Hi").refused(&[wanted]);
        }
    }
    world.assert_untouched();
}
