//! `eaglet chat`: a conversation.

use std::fs;
use std::io::{self, IsTerminal, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use eaglet_core::text::{Message, Role};
use rustyline::error::ReadlineError;
use rustyline::history::FileHistory;
use rustyline::{Config, Editor};

use crate::context::Context;
use crate::error::Failure;
use crate::runtime::{Answer, DecodeArgs, Found, ModelArgs, Runtime, summary};

const HELP: &str = "/reset starts over, /stats shows the last answer's cost, /exit or Ctrl-D ends";

/// Arguments of `eaglet chat`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Arrow keys edit and recall lines; Ctrl-C stops an answer, Ctrl-D ends the chat.
Inside: /reset starts over, /stats shows the last answer's cost, /exit ends.")]
pub struct Args {
    /// What the model is told before the conversation
    #[arg(long, value_name = "TEXT")]
    system: Option<String>,

    #[command(flatten)]
    model: ModelArgs,

    #[command(flatten)]
    decode: DecodeArgs,
}

/// Runs `eaglet chat`.
pub fn run(args: &Args, context: &Context) -> Result<(), Failure> {
    args.decode.check()?;
    let found = Found::new(&args.model, context)?;
    let drafting = args.decode.drafting(&found.path)?;
    let runtime = found.load(context)?;
    runtime.template()?;
    let mut answer = Answer::new(&runtime, &args.decode, &drafting)?;
    let interrupt = interrupt()?;
    let history = context.store.root().join("chat-history");
    let mut editor = editor()?;
    // No history yet, or none that can be read: start with an empty one.
    let _ = editor.load_history(&history);
    context.progress.note(format!("{}: {HELP}", runtime.name));
    let mut messages = opening(args.system.as_deref());
    loop {
        let line = match editor.readline("> ") {
            Ok(line) => line,
            Err(ReadlineError::Interrupted) => continue,
            Err(ReadlineError::Eof) => break,
            Err(ReadlineError::Io(e)) if e.kind() == io::ErrorKind::InvalidData => {
                return Err(Failure::Input("standard input is not UTF-8".into()));
            }
            Err(e) => return Err(Failure::Runtime(format!("cannot read a line: {e}"))),
        };
        match line.trim() {
            "" => continue,
            "/exit" => break,
            "/reset" => messages = opening(args.system.as_deref()),
            "/stats" => context.progress.note(summary(&runtime, &answer)),
            command if command.starts_with('/') => context.progress.note(HELP),
            text => {
                // A history that cannot be kept is no reason to stop talking.
                let _ = editor.add_history_entry(text);
                turn(&runtime, &mut answer, &mut messages, text, &interrupt)?;
            }
        }
    }
    // Only what a person typed is worth recalling; and no failure to keep it is an error.
    if io::stdin().is_terminal() {
        let _ = fs::create_dir_all(context.store.root());
        let _ = editor.save_history(&history);
    }
    Ok(())
}

/// One question and its answer. A question that cannot be answered (too long) is told
/// and taken back.
fn turn(
    runtime: &Runtime,
    answer: &mut Answer<'_>,
    messages: &mut Vec<Message>,
    text: &str,
    interrupt: &AtomicBool,
) -> Result<(), Failure> {
    messages.push(Message::new(Role::User, text));
    let mut out = io::stdout();
    let mut print = |text: &str| {
        let written = write!(out, "{text}").and_then(|()| out.flush());
        written.map_err(Failure::output)
    };
    interrupt.store(false, Ordering::Relaxed);
    let reply = runtime
        .encode_chat(messages)
        .and_then(|prompt| answer.reply(&prompt, interrupt, &mut print));
    match reply {
        // Stopped before a word was said: as if it had not been asked.
        Ok(reply) if reply.ids.is_empty() => drop(messages.pop()),
        Ok(reply) => {
            print("\n")?;
            messages.push(Message::new(Role::Assistant, reply.text));
        }
        Err(failure @ Failure::Input(_)) => {
            messages.pop();
            failure.tell();
        }
        Err(failure) => return Err(failure),
    }
    Ok(())
}

fn opening(system: Option<&str>) -> Vec<Message> {
    let message = system.map(|text| Message::new(Role::System, text));
    message.into_iter().collect()
}

fn editor() -> Result<Editor<(), FileHistory>, Failure> {
    let config = Config::builder().auto_add_history(false).build();
    Editor::with_config(config)
        .map_err(|e| Failure::Runtime(format!("cannot use this terminal: {e}")))
}

/// A flag that Ctrl-C raises, in place of ending the program.
fn interrupt() -> Result<Arc<AtomicBool>, Failure> {
    let flag = Arc::new(AtomicBool::new(false));
    let raised = flag.clone();
    ctrlc::set_handler(move || raised.store(true, Ordering::Relaxed))
        .map_err(|e| Failure::Runtime(format!("cannot watch for Ctrl-C: {e}")))?;
    Ok(flag)
}
