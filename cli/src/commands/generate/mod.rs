//! `eaglet generate`: one prompt, one answer; or a file of prompts, several at a time.

mod batch;

use std::io::{self, IsTerminal, Read, Write};
use std::path::PathBuf;
use std::sync::atomic::AtomicBool;

use eaglet_core::text::{Message, Role};

use crate::context::Context;
use crate::error::Failure;
use crate::runtime::{Answer, DecodeArgs, Found, ModelArgs, Report, summary};

/// Arguments of `eaglet generate`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  eaglet generate \"Why is the sky blue?\"
  eaglet generate --temperature 0.7 --seed 1 \"Write a haiku about rivers.\"
  eaglet generate --raw \"Once upon a time\" -n 50     complete text, no chat template
  cat notes.txt | eaglet generate --system \"Summarise.\"
  eaglet generate --prompts questions.jsonl --batch 8 > answers.jsonl
  eaglet generate --json --method plain \"Hi\" | jq .stats.decode_tok_s")]
pub struct Args {
    /// The prompt; without it, standard input is read
    prompt: Option<String>,

    /// What the model is told before the prompt
    #[arg(long, value_name = "TEXT", conflicts_with = "raw")]
    system: Option<String>,

    /// Continue the prompt as plain text, without the chat template
    #[arg(long)]
    raw: bool,

    /// Print one JSON object with text, ids and statistics, and nothing else
    #[arg(long)]
    json: bool,

    /// Answer every prompt of a file, all turns of a line in order: lines of
    /// {"turns": [..]}, of {"conversations": [..]}, or of text. A JSON line for each goes
    /// to standard output when it is done
    #[arg(long, value_name = "FILE", conflicts_with_all = ["prompt", "json", "raw"])]
    prompts: Option<PathBuf>,

    /// Prompts of the file that are answered at a time, in one pass of the model
    #[arg(
        long,
        value_name = "B",
        default_value_t = 4,
        requires = "prompts",
        conflicts_with = "prompt",
        value_parser = clap::value_parser!(u8).range(1..=64)
    )]
    batch: u8,

    #[command(flatten)]
    model: ModelArgs,

    #[command(flatten)]
    decode: DecodeArgs,
}

/// Runs `eaglet generate`.
pub fn run(args: &Args, context: &Context) -> Result<(), Failure> {
    // Bad input is told before anything is fetched or loaded.
    args.decode.check()?;
    if let Some(file) = &args.prompts {
        return batch::run(args, file, context);
    }
    let text = args.prompt.clone().map_or_else(standard_input, Ok)?;
    if text.is_empty() {
        return Err(Failure::Input("the prompt is empty".into()));
    }
    let found = Found::new(&args.model, context)?;
    let drafting = args.decode.drafting(&found.path)?;
    let runtime = found.load(context)?;
    let prompt = match args.raw {
        true => runtime.encode_raw(&text)?,
        false => runtime.encode_chat(&messages(args.system.as_deref(), &text))?,
    };
    let mut answer = Answer::new(&runtime, &args.decode, &drafting)?;
    let mut out = io::stdout();
    let mut print = |text: &str| match args.json {
        true => Ok(()),
        false => write!(out, "{text}")
            .and_then(|()| out.flush())
            .map_err(Failure::output),
    };
    let reply = answer.reply(&prompt, &AtomicBool::new(false), &mut print)?;
    if args.json {
        let report = Report::new(&runtime, &args.decode, &prompt, &reply, &answer);
        let json = serde_json::to_string_pretty(&report);
        let json = json.map_err(|e| Failure::Runtime(e.to_string()))?;
        return writeln!(out, "{json}").map_err(Failure::output);
    }
    writeln!(out).map_err(Failure::output)?;
    context.progress.note(summary(&runtime, &answer));
    Ok(())
}

/// The conversation of one prompt.
fn messages(system: Option<&str>, prompt: &str) -> Vec<Message> {
    let system = system.map(|text| Message::new(Role::System, text));
    system
        .into_iter()
        .chain([Message::new(Role::User, prompt)])
        .collect()
}

/// The prompt from standard input, which must be UTF-8.
fn standard_input() -> Result<String, Failure> {
    if io::stdin().is_terminal() {
        return Err(Failure::Input(
            "no prompt: give it as an argument or on standard input, as in \
             `eaglet generate \"Why is the sky blue?\"`"
                .into(),
        ));
    }
    let mut bytes = Vec::new();
    let read = io::stdin().read_to_end(&mut bytes);
    read.map_err(|e| Failure::Runtime(format!("cannot read standard input: {e}")))?;
    let text = String::from_utf8(bytes).map_err(|e| {
        let at = e.utf8_error().valid_up_to();
        Failure::Input(format!(
            "standard input is not UTF-8: byte {at} begins no character"
        ))
    })?;
    Ok(text.trim_end_matches(['\r', '\n']).to_owned())
}
