//! `eaglet distill`: training text for heads, written by the model itself.

mod filter;
mod journal;
mod plan;
mod run;
mod talk;

use std::path::PathBuf;

use eaglet_core::engine::{Session, SessionOptions};
use eaglet_core::weights::{Checkpoint, ModelFile};

use self::filter::Asked;
use self::journal::Journal;
use self::plan::Plan;
use self::run::Writing;
use self::talk::Language;
use crate::context::Context;
use crate::dialogue::read_questions;
use crate::error::Failure;
use crate::runtime::{ModelArgs, Runtime};

/// Arguments of `eaglet distill`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
A head learns to predict one model, so it learns from that model's own words. Without
--prompts the model is given only the opening of a user's turn, writes the question itself
and then answers it: any chat model can get a head without a data set.

The file can be given to `eaglet train`. Started again with the same options, the command
goes on where it was stopped.

Examples:
  eaglet distill -o invented.jsonl --conversations 4000 --turns 2
  eaglet distill -o answers.jsonl --prompts questions.jsonl --temperatures 0,0.7
  eaglet distill -o q3.jsonl --model Qwen3-0.6B-Q8_0.gguf --conversations 1000 --batch 16")]
pub struct Args {
    /// The JSON lines to write, in ShareGPT's form; appended to if it is there
    #[arg(short, long, value_name = "FILE")]
    output: PathBuf,

    /// What to ask: lines of {"turns": [..]}, of {"conversations": [..]}, or of text
    #[arg(long, value_name = "FILE")]
    prompts: Option<PathBuf>,

    /// Conversations to hold, those that are dropped included [default: one a prompt]
    #[arg(long, value_name = "N", required_unless_present = "prompts")]
    conversations: Option<usize>,

    /// Turns of the user at most
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u8).range(1..=16))]
    turns: u8,

    /// Temperatures of the answers, each for its share of the conversations
    #[arg(long, value_name = "T,..", value_delimiter = ',', default_values_t = [0.0, 0.0, 0.7, 1.0])]
    temperatures: Vec<f32>,

    /// Tokens of an answer at most
    #[arg(short = 'n', long, value_name = "N", default_value_t = 512)]
    max_tokens: usize,

    /// Conversations held at a time
    #[arg(long, value_name = "B", default_value_t = 8, value_parser = clap::value_parser!(u8).range(1..=64))]
    batch: u8,

    /// Same seed, same conversations
    #[arg(long, default_value_t = 0)]
    seed: u64,

    #[command(flatten)]
    model: ModelArgs,
}

/// Positions of a conversation unless `--ctx` says otherwise: heads are trained on no
/// more, and every sequence of the batch has room for all of them.
const CONTEXT: usize = 2048;

/// Runs `eaglet distill`.
pub fn run(args: &Args, context: &Context) -> Result<(), Failure> {
    if let Some(t) = args
        .temperatures
        .iter()
        .find(|t| !(0.0..=100.0).contains(*t))
    {
        return Err(Failure::Input(format!("--temperatures: {t} is not one")));
    }
    let questions = args.prompts.as_deref().map(read_questions).transpose()?;
    let count = args.conversations.or(questions.as_ref().map(Vec::len));
    let plan = Plan {
        questions,
        temperatures: args.temperatures.clone(),
        turns: args.turns.into(),
        seed: args.seed,
    };
    let (journal, held) = Journal::open(&args.output)?;
    let mut model = args.model.clone();
    let found = context.model(&model.model)?;
    let longest = ModelFile::open(&found)?.config()?.context;
    model.ctx = model.ctx.or(Some(longest.min(CONTEXT)));
    let runtime = Runtime::load(&model, context)?;
    let mut asked = Asked::default();
    for question in held.iter().filter_map(|c| c.conversations.first()) {
        let _ = asked.ask(&question.value);
    }
    let done = held.into_iter().map(|c| c.id).collect();
    let options = SessionOptions {
        sequences: args.batch.into(),
        nodes: 0,
    };
    let mut session = Session::new(runtime.target.clone(), options)?;
    let mut writing = Writing {
        language: Language {
            tokenizer: &runtime.text.tokenizer,
            template: runtime.template()?,
        },
        plan: &plan,
        conversations: 0..count.unwrap_or_default(),
        done,
        max_tokens: args.max_tokens,
        asked,
        journal,
    };
    let told = writing.run(&mut session, args.batch.into(), context.progress)?;
    context
        .progress
        .note(format!("{told} in {}", args.output.display()));
    Ok(())
}
