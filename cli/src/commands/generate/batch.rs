//! `eaglet generate --prompts`: a file of prompts, answered several at a time.

use std::io::{self, Write};
use std::path::Path;
use std::time::Instant;

use eaglet_core::Error;
use eaglet_core::engine::Stats;
use eaglet_core::text::{Message, Role};
use serde::Serialize;

use super::Args;
use crate::context::Context;
use crate::dialogue::{Questions, read_questions};
use crate::error::Failure;
use crate::progress::Steps;
use crate::runtime::pool::{self, Desk, Ended, Request};
use crate::runtime::{Found, Reader, Runtime};

/// The JSON line of one prompt. Its names are a contract.
#[derive(Serialize)]
struct Line<'a> {
    id: &'a str,
    category: Option<&'a str>,
    turns: &'a [Turn],
    /// Why the turns end early, if they do.
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<&'a str>,
    stats: &'a Numbers,
}

#[derive(Serialize)]
struct Turn {
    prompt: String,
    text: String,
    tokens: usize,
    finish_reason: &'static str,
}

/// Of all turns of a line together. Sequences that share a round each count all of it.
#[derive(Default, Serialize)]
struct Numbers {
    prompt_tokens: usize,
    generated_tokens: usize,
    rounds: usize,
    #[serde(skip)]
    decoded: usize,
    tau: f64,
    prefill_s: f64,
    decode_s: f64,
    decode_tok_s: f64,
}

/// Answers every prompt of `file`; a line goes to standard output when it is done.
pub fn run(args: &Args, file: &Path, context: &Context) -> Result<(), Failure> {
    let questions = read_questions(file)?;
    let found = Found::new(&args.model, context)?;
    let drafting = args.decode.drafting(&found.path)?;
    let runtime = found.load(context)?;
    runtime.template()?;
    let batch = usize::from(args.batch).min(questions.len());
    let mut session = runtime.session(&args.decode, &drafting, batch)?;
    let mut desk = Prompts {
        runtime: &runtime,
        args,
        steps: context.progress.steps("answering", questions.len()),
        waiting: questions.into_iter(),
        failed: 0,
        done: 0,
        tokens: 0,
        start: Instant::now(),
    };
    pool::work(&mut session, batch, &mut desk)?;
    desk.steps.finish();
    context.progress.note(format!(
        "{} prompts, {} tokens, {:.1} tokens/s with all that belongs to it",
        desk.done,
        desk.tokens,
        desk.rate(),
    ));
    match desk.failed {
        0 => Ok(()),
        failed => Err(Failure::Runtime(format!(
            "{failed} of {} prompts could not be answered whole: see \"error\" in their lines",
            desk.done
        ))),
    }
}

/// A prompt that is being answered.
struct Task<'a> {
    questions: Questions,
    messages: Vec<Message>,
    /// Of the turn at hand.
    reader: Option<Reader<'a>>,
    /// What went wrong while reading; it ends the answer.
    failure: Option<Failure>,
    turns: Vec<Turn>,
    stats: Numbers,
}

impl Task<'_> {
    /// Takes in how the turn at hand was answered.
    fn take_in(&mut self, reader: Reader<'_>, ended: &Ended<'_>) {
        let reply = reader.finish(Some(ended.finish));
        self.messages
            .push(Message::new(Role::Assistant, &reply.text));
        self.turns.push(Turn {
            prompt: self.questions.turns[self.turns.len()].clone(),
            text: reply.text,
            tokens: reply.ids.len(),
            finish_reason: ended.finish.as_str(),
        });
        self.stats.add(ended.stats);
    }
}

impl Numbers {
    fn add(&mut self, stats: &Stats) {
        self.prompt_tokens += stats.prompt_tokens;
        self.generated_tokens += stats.generated_tokens;
        self.rounds += stats.rounds;
        self.prefill_s += stats.prefill.as_secs_f64();
        self.decode_s += stats.decode.as_secs_f64();
        // The first token of each turn is not from a round.
        self.decoded += stats.generated_tokens - 1;
        self.tau = self.decoded as f64 / self.rounds.max(1) as f64;
        self.decode_tok_s = self.decoded as f64 / self.decode_s.max(1e-9);
    }
}

struct Prompts<'a> {
    runtime: &'a Runtime,
    args: &'a Args,
    steps: Steps,
    waiting: std::vec::IntoIter<Questions>,
    failed: usize,
    done: usize,
    tokens: usize,
    start: Instant,
}

impl Prompts<'_> {
    fn rate(&self) -> f64 {
        self.tokens as f64 / self.start.elapsed().as_secs_f64().max(1e-9)
    }

    /// Writes a task's line.
    fn print(&mut self, task: &Task<'_>, error: Option<&str>) -> Result<(), Failure> {
        self.failed += usize::from(error.is_some());
        self.done += 1;
        let line = Line {
            id: &task.questions.id,
            category: task.questions.category.as_deref(),
            turns: &task.turns,
            error,
            stats: &task.stats,
        };
        let json = serde_json::to_string(&line).map_err(|e| Failure::Runtime(e.to_string()))?;
        let mut out = io::stdout().lock();
        let written = writeln!(out, "{json}").and_then(|()| out.flush());
        self.steps.step();
        written.map_err(Failure::output)
    }
}

impl<'a> Desk for Prompts<'a> {
    type Task = Task<'a>;

    fn take(&mut self) -> Option<Task<'a>> {
        let system = self.args.system.as_deref();
        let opening = system.map(|text| Message::new(Role::System, text));
        Some(Task {
            questions: self.waiting.next()?,
            messages: opening.into_iter().collect(),
            reader: None,
            failure: None,
            turns: Vec::new(),
            stats: Numbers::default(),
        })
    }

    fn advance(
        &mut self,
        task: &mut Task<'a>,
        before: Option<Ended<'_>>,
    ) -> Result<Option<Request>, Failure> {
        if let Some(failure) = task.failure.take() {
            return Err(failure);
        }
        if let (Some(ended), Some(reader)) = (before, task.reader.take()) {
            task.take_in(reader, &ended);
        }
        let Some(asked) = task.questions.turns.get(task.turns.len()) else {
            self.print(task, None)?;
            return Ok(None);
        };
        task.messages.push(Message::new(Role::User, asked));
        task.reader = Some(Reader::new(&self.runtime.text, &self.args.decode.stop)?);
        let ids = self.runtime.encode_chat(&task.messages)?;
        Ok(Some(Request { ids, options: None }))
    }

    fn emitted(&mut self, task: &mut Task<'a>, token: u32) -> bool {
        self.tokens += 1;
        let Some(reader) = &mut task.reader else {
            return true;
        };
        task.failure = reader.read(token).err();
        reader.is_stopped() || task.failure.is_some()
    }

    /// One prompt that is too long does not take the others along.
    fn refused(&mut self, task: &mut Task<'a>, error: Error) -> Result<(), Failure> {
        match error {
            Error::Capacity { .. } => self.print(task, Some(&error.to_string())),
            error => Err(error.into()),
        }
    }

    fn tell(&mut self) {
        let rate = self.rate();
        self.steps.tell(|| format!("{rate:.0} tokens/s"));
    }
}
