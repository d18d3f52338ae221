//! One file a subcommand: its arguments, and `run`.

mod bench;
mod chat;
mod devices;
mod distill;
mod generate;
mod inspect;
mod list;
mod pull;
#[cfg(feature = "train")]
mod train;

use clap::Subcommand;

use crate::context::Context;
use crate::error::Failure;

/// The subcommands, in the order of `--help`.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Answer one prompt
    Generate(Box<generate::Args>),
    /// Talk with a model
    Chat(Box<chat::Args>),
    /// Write training text for a head: the model's own questions and answers
    Distill(distill::Args),
    /// Train a head for a model
    #[cfg(feature = "train")]
    Train(Box<train::Args>),
    /// Compare methods: speed-up, acceptance, and whether a token differs
    Bench(Box<bench::Args>),
    /// Fetch a model and print where it lies
    Pull(pull::Args),
    /// List the models on this machine
    List(list::Args),
    /// Show a model file's architecture and tensors
    Inspect(inspect::Args),
    /// Show what models can run on here
    Devices(devices::Args),
}

impl Command {
    /// Runs the command.
    pub fn run(self, context: &Context) -> Result<(), Failure> {
        match self {
            Self::Generate(args) => generate::run(&args, context),
            Self::Chat(args) => chat::run(&args, context),
            Self::Distill(args) => distill::run(&args, context),
            #[cfg(feature = "train")]
            Self::Train(args) => train::run(&args, context),
            Self::Bench(args) => bench::run(&args, context),
            Self::Pull(args) => pull::run(&args, context),
            Self::List(args) => list::run(&args, context),
            Self::Inspect(args) => inspect::run(&args, context),
            Self::Devices(args) => devices::run(&args, context),
        }
    }
}
