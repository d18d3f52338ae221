//! Prompts and commands that cannot be answered.

use crate::support::{MODEL, World};

#[test]
fn prompts_that_do_not_fit_the_context() {
    let world = World::with_model();
    let wanted = [
        "22 tokens do not fit into the context of 16",
        "shorten the prompt",
    ];
    world.generate(&["--ctx", "16", "Hi"]).refused(&wanted);
    // The last position must be left for an answer.
    let raw = |text: &str| world.generate(&["--raw", "--ctx", "16", text]);
    raw(&"x".repeat(16)).refused(&["17 tokens do not fit"]);
    raw(&"x".repeat(15)).ok();
    // More context than the model was trained for is not to be had.
    let long = "x".repeat(300);
    let args = ["--raw", "--ctx", "100000", &long];
    world.generate(&args).refused(&["the context of 256"]);
    world.assert_untouched();
}

#[test]
fn standard_input_must_be_utf8() {
    let world = World::with_model();
    let args = ["generate", "--model", MODEL];
    for bytes in [&b"Hi \xff there"[..], b"caf\xe9", b"cut \xf0\x9f\x99"] {
        world
            .run_with(&args, bytes)
            .refused(&["standard input is not UTF-8"]);
    }
    world.run_with(&args, b"Hi \xff").refused(&["byte 3"]);
    world.assert_untouched();
}

#[test]
fn an_empty_prompt_is_no_prompt() {
    let world = World::with_model();
    for input in ["", "\n", "\r\n"] {
        let run = world.run_with(&["generate", "--model", MODEL], input);
        run.refused(&["the prompt is empty"]);
    }
    world.generate(&[""]).refused(&["the prompt is empty"]);
    world
        .generate(&["--raw", ""])
        .refused(&["the prompt is empty"]);
}

#[test]
fn options_that_contradict_each_other() {
    let world = World::with_model();
    let args = ["--raw", "--system", "Be brief.", "Hi"];
    world.generate(&args).refused(&["--raw", "--system"]);
    world.generate(&["one", "two"]).refused(&["two"]);
    world
        .generate(&["--seed", "1", "--seed", "2", "Hi"])
        .refused(&["--seed"]);
}

#[test]
fn bad_input_is_told_before_a_model_is_looked_for() {
    // No model is here, and none may be fetched: that would be the other error.
    let world = World::new();
    for (option, value, wanted) in [
        ("--top-p", "2", "top-p"),
        ("--stop", "", "stop string"),
        ("--device", "cuda:99", "cuda:99"),
    ] {
        world
            .run(&["generate", "Hi", option, value])
            .refused(&[wanted]);
    }
    world
        .run(&["generate", ""])
        .refused(&["the prompt is empty"]);
    world.run(&["generate", "Hi"]).refused(&["offline mode"]);
    world.run(&["inspect"]).refused(&["eaglet pull"]);
    world.assert_untouched();
}

#[cfg(target_os = "linux")]
#[test]
fn a_full_disk_behind_standard_output_is_a_failure() {
    let world = World::with_model();
    let full = std::fs::File::options()
        .write(true)
        .open("/dev/full")
        .unwrap();
    for more in [&["Hi"][..], &["Hi", "--json"]] {
        let args = [&["generate", "-q", "-n", "3", "--model", MODEL], more].concat();
        let mut command = world.command(&args);
        let output = command.stdout(full.try_clone().unwrap()).output().unwrap();
        assert_eq!(output.status.code(), Some(1), "{output:?}");
        let message = String::from_utf8(output.stderr).unwrap();
        assert!(
            message.contains("cannot write to standard output"),
            "{message}"
        );
    }
}
