//! `eaglet chat` through a pipe: one line of input a turn.

use eaglet_tests::tiny::Tiny;

use crate::support::{MODEL, Run, World};

fn chat(world: &World, more: &[&str], input: &str) -> Run {
    let args = [&["chat", "--model", MODEL, "-n", "12"], more].concat();
    world.run_with(&args, input)
}

/// The answers, a line each.
fn answers(run: &Run) -> Vec<&str> {
    run.out.lines().collect()
}

/// (Tokens of the prompt, how many of them were cached) of each `/stats`.
fn stats(run: &Run) -> Vec<(usize, usize)> {
    let number = |text: &str| text.parse().unwrap();
    let counts = run.err.lines().filter_map(|line| {
        let (_, rest) = line.split_once("; prompt ")?;
        let (prompt, rest) = rest.split_once(" tokens (")?;
        let (cached, _) = rest.split_once(" cached)")?;
        Some((number(prompt), number(cached)))
    });
    counts.collect()
}

#[test]
fn turns_build_on_each_other_and_on_the_cache() {
    let world = World::with_model();
    let run = chat(&world, &[], "Hello\n/stats\nAnd then?\n/stats\n").ok();
    let answers = answers(&run);
    assert_eq!(answers.len(), 2, "{run:?}");
    let prompts = stats(&run);
    // One token starts a turn and two end it: `<` and `>\n` here.
    let first = "<user\nHello>\n<assistant\n".len();
    assert_eq!(prompts[0], (first, 0), "{run:?}");
    let (second, cached) = prompts[1];
    assert_eq!(
        second,
        first + 12 + ">\n<user\nAnd then?>\n<assistant\n".len()
    );
    // All of the first turn but its last token, which was emitted and never run.
    assert_eq!(cached, first + 11);

    // The same conversation in one prompt: the cache changed nothing.
    let conversation = format!(
        "<|im_start|>user\nHello<|im_end|>\n<|im_start|>assistant\n{}<|im_end|>\n\
         <|im_start|>user\nAnd then?<|im_end|>\n<|im_start|>assistant\n",
        answers[0]
    );
    let report = world.report(&["--raw", &conversation, "-n", "12"]);
    assert_eq!(report["text"], answers[1]);
    world.assert_untouched();
}

#[test]
fn reset_forgets_all_but_the_system_message() {
    let world = World::with_model();
    let system = ["--system", "Be brief."];
    let run = chat(&world, &system, "Hello\nAgain\n/reset\nHello\n/stats\n").ok();
    let answers = answers(&run);
    assert_eq!(answers.len(), 3, "{run:?}");
    assert_eq!(answers[0], answers[2]);
    let alone = world.report(&["--system", "Be brief.", "Hello", "-n", "12"]);
    assert_eq!(alone["text"], answers[0]);
    // The cache of what is asked again is used again: all but the last token.
    let (prompt, cached) = stats(&run)[0];
    assert_eq!(cached, prompt - 1);
}

#[test]
fn blank_lines_and_unknown_commands_are_no_turns() {
    let world = World::with_model();
    let run = chat(&world, &[], "\n   \n/what\n/exit\nHello\n").ok();
    assert_eq!(run.out, "", "nothing was asked before /exit");
    // Once when it starts, once for what it does not know.
    assert_eq!(run.err.matches("/reset starts over").count(), 2, "{run:?}");
    assert!(!run.err.contains("error"), "{run:?}");
}

#[test]
fn an_empty_pipe_is_an_empty_chat() {
    let world = World::with_model();
    assert_eq!(chat(&world, &[], "").ok().out, "");
    assert_eq!(chat(&world, &["-q"], "Hello\n").ok().err, "");
}

#[test]
fn a_question_that_does_not_fit_is_told_and_taken_back() {
    let world = World::with_model();
    let long = "x".repeat(300);
    // An error is told in silence too.
    let run = chat(&world, &["-q"], &format!("{long}\nHello\n")).ok();
    let wanted = "do not fit into the context of 256";
    assert!(
        run.err.starts_with("error:") && run.err.contains(wanted),
        "{run:?}"
    );
    let alone = world.report(&["Hello", "-n", "12"]);
    assert_eq!(answers(&run), [alone["text"].as_str().unwrap()]);
}

#[test]
fn a_model_that_knows_no_conversation_is_refused_at_once() {
    let world = World::new();
    let tiny = Tiny::talking(1);
    world.write(MODEL, tiny.gguf_with_vocabulary());
    let wanted = [MODEL, "no chat template", "generate --raw"];
    chat(&world, &[], "Hello\n").refused(&wanted);
    world.generate(&["Hello"]).refused(&wanted);
    assert_eq!(
        world
            .generate(&["--raw", "Hello", "-n", "3"])
            .ok()
            .out
            .len(),
        4
    );
}

#[test]
fn broken_utf8_ends_it() {
    let world = World::with_model();
    let args = ["chat", "--model", MODEL];
    let run = world.run_with(&args, b"\xff\xfe\n");
    assert_eq!(run.out, "");
    assert!(
        run.err.contains("error: standard input is not UTF-8"),
        "{run:?}"
    );
    assert_eq!(run.code(), Some(2));
}
