//! `eaglet chat` at a terminal: keys, Ctrl-C and Ctrl-D.

use rexpect::process::WaitStatus;
use rexpect::session::{PtySession, spawn_command};

use crate::support::{MODEL, World};

const PROMPT: &str = "> ";
/// Milliseconds until something expected counts as missing.
const PATIENCE: u64 = 30_000;

fn chat(world: &World, more: &[&str]) -> PtySession {
    let args = [&["chat", "--model", MODEL], more].concat();
    let mut session = spawn_command(world.command(&args), Some(PATIENCE)).unwrap();
    session.exp_string("Ctrl-D ends").unwrap();
    session.exp_string(PROMPT).unwrap();
    session
}

/// Ends the input and asserts that this is a good end.
fn end(mut session: PtySession) {
    session.send_control('d').unwrap();
    session.exp_eof().unwrap();
    let status = session.process().wait().unwrap();
    assert!(matches!(status, WaitStatus::Exited(_, 0)), "{status:?}");
}

#[test]
fn ctrl_c_stops_the_answer_and_not_the_program() {
    let world = World::with_endless_model();
    // Without `>` in its answers, so that the prompt is told from them.
    let mut session = chat(&world, &["--logit-bias", "62=-inf"]);
    for question in ["Hello", "Again"] {
        session.send_line(question).unwrap();
        // An answer has begun once there are more of its tokens than of the echo.
        session.exp_regex("[ -~]{200}").unwrap();
        session.send_control('c').unwrap();
        session.exp_string(PROMPT).unwrap();
    }
    session.send_line("/stats").unwrap();
    session.exp_string("cached)").unwrap();
    session.exp_string(PROMPT).unwrap();
    end(session);
}

#[test]
fn ctrl_c_at_the_prompt_drops_the_line() {
    let world = World::with_model();
    let mut session = chat(&world, &["-n", "5"]);
    session.send("never asked").unwrap();
    session.flush().unwrap();
    session.exp_string("never asked").unwrap();
    session.send_control('c').unwrap();
    session.exp_string(PROMPT).unwrap();
    session.send_line("/stats").unwrap();
    session.exp_string("0 tokens").unwrap();
    session.exp_string(PROMPT).unwrap();
    end(session);
}

#[test]
fn questions_are_recalled_in_the_next_chat() {
    let world = World::with_model();
    let mut session = chat(&world, &["-n", "5"]);
    session.send_line("remember me").unwrap();
    session.exp_string("remember me").unwrap();
    session.exp_string(PROMPT).unwrap();
    end(session);
    let mut session = chat(&world, &["-n", "5"]);
    // The up arrow.
    session.send("\x1b[A").unwrap();
    session.flush().unwrap();
    session.exp_string("remember me").unwrap();
    session.send_control('c').unwrap();
    session.exp_string(PROMPT).unwrap();
    end(session);
}
