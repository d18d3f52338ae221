//! `eaglet train`: a head for a model, from the model's own words.

mod card;
mod course;
mod data;
mod report;
mod run;

use std::path::PathBuf;

use clap::builder::RangedU64ValueParser;

use crate::context::Context;
use crate::error::Failure;
use crate::runtime::ModelArgs;

/// Arguments of `eaglet train`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
The data are conversations in ShareGPT's form, best written by the model itself (`eaglet
distill`). The last of them are held out: the head that is kept is the one whose drafts the
model accepts most often there, whatever the loss says.

The folder gets the head (config.json and model.safetensors, in the layout that vLLM and
SGLang read; EAGLE heads also in 8 bits as head.gguf), a model card (README.md), a report
with plots (report.html), and the state of the run (state.safetensors): started again with
the same options, the command goes on.

Examples:
  eaglet distill -o talk.jsonl --conversations 4000 --turns 2
  eaglet train --data talk.jsonl -o heads/mine --traces /tmp/traces
  eaglet generate --method eagle3 --draft heads/mine \"Why is the sky blue?\"")]
pub struct Args {
    /// Conversations in ShareGPT's form, JSON lines; repeatable
    #[arg(long, value_name = "FILE", required = true)]
    data: Vec<PathBuf>,

    /// The folder of the head
    #[arg(short, long, value_name = "DIR")]
    output: PathBuf,

    /// The kind of head
    #[arg(long, value_enum, default_value = "eagle3")]
    method: Kind,

    /// Go on from this head (a folder, GGUF or safetensors file) instead of the model's own
    /// last layer
    #[arg(long, value_name = "HEAD")]
    init: Option<PathBuf>,

    /// How often every conversation is shown
    #[arg(long, value_name = "N", default_value_t = 2)]
    epochs: usize,

    /// The highest learning rate
    #[arg(long, value_name = "RATE", default_value_t = 1e-3)]
    lr: f64,

    /// How gradients become steps
    #[arg(long, value_enum, default_value = "muon")]
    optimizer: Optimizer,

    /// Tokens ahead that are learnt: steps of training-time test (eagle3), heads (medusa)
    #[arg(long, value_name = "N", default_value_t = 4, value_parser = RangedU64ValueParser::<usize>::new().range(1..=16))]
    ahead: usize,

    /// Tokens that an EAGLE-3 head can draft: the most frequent ones [default: 8192, or
    /// those that the head of --init drafts]
    #[arg(long, value_name = "N")]
    draft_vocab: Option<usize>,

    /// Tokens of a conversation at most; longer ones are cut
    #[arg(long, value_name = "N", default_value_t = 512)]
    max_length: usize,

    /// Tokens of one pass forward and backward, which have to fit in memory
    #[arg(long, value_name = "N", default_value_t = 1024)]
    micro_batch: usize,

    /// Passes whose gradients make one update; on the CPU as many run side by side as
    /// there are threads
    #[arg(long, value_name = "N", default_value_t = 2)]
    accumulate: usize,

    /// Keep what the model makes of the data in this folder: the first epoch fills it, all
    /// later ones and other heads need not run the model again
    #[arg(long, value_name = "DIR")]
    traces: Option<PathBuf>,

    /// Updates between two measurements of accepted drafts and two saved states
    #[arg(long, value_name = "N", default_value_t = 100)]
    measure_every: usize,

    /// Conversations that are held out for it
    #[arg(long, value_name = "N", default_value_t = 24)]
    held_out: usize,

    /// Use this share of the conversations, for learning curves
    #[arg(long, value_name = "SHARE", default_value_t = 1.0)]
    share: f64,

    /// Same seed, same head
    #[arg(long, default_value_t = 0)]
    seed: u64,

    #[command(flatten)]
    model: ModelArgs,
}

/// Kinds of heads.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum Kind {
    /// Fused features, trained on its own outputs; the best
    Eagle3,
    /// Continues the last feature; also what eagle2 drafts with
    Eagle1,
    /// One small block for each token ahead
    Medusa,
}

impl Kind {
    /// The method's name, as in `--method`.
    fn name(self) -> &'static str {
        match self {
            Self::Eagle3 => "eagle3",
            Self::Eagle1 => "eagle1",
            Self::Medusa => "medusa",
        }
    }
}

/// How gradients become steps.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum Optimizer {
    /// Muon for the matrices inside the head, AdamW for the rest: learns more from the
    /// same tokens
    Muon,
    /// AdamW for every weight
    Adamw,
}

/// Runs `eaglet train`.
pub fn run(args: &Args, context: &Context) -> Result<(), Failure> {
    if !(args.lr > 0.0 && args.lr < 1.0) {
        return Err(Failure::Input(format!(
            "--lr {} is not between 0 and 1",
            args.lr
        )));
    }
    if !(args.share > 0.0 && args.share <= 1.0) {
        return Err(Failure::Input(format!(
            "--share {} is not above 0 and at most 1",
            args.share
        )));
    }
    if args.max_length > args.micro_batch {
        return Err(Failure::Input(format!(
            "--max-length {} does not fit into --micro-batch {}",
            args.max_length, args.micro_batch
        )));
    }
    run::run(args, context)
}
