//! What can be typed: the command line, before anything is checked against disk.

use std::path::PathBuf;

use clap::builder::FalseyValueParser;
use clap::{Args, Parser};

use crate::commands::Command;

/// Run language models with lossless speculative decoding.
#[derive(Debug, Parser)]
#[command(
    version,
    propagate_version = true,
    arg_required_else_help = true,
    after_help = "\
Examples:
  eaglet generate \"Why is the sky blue?\"  answer one prompt (fetches the model at first)
  eaglet chat                            talk
  eaglet pull                            fetch the default model (94 MiB)
  eaglet pull hf:Qwen/Qwen3-0.6B         fetch a model from the Hugging Face hub
  eaglet list                            show the models on this machine

Results go to standard output, everything else to standard error.
Exit codes: 0 done, 1 failed while running, 2 bad input or usage."
)]
pub struct Cli {
    /// What every command understands.
    #[command(flatten)]
    pub global: GlobalArgs,
    /// The command.
    #[command(subcommand)]
    pub command: Command,
}

/// Flags that every command understands.
#[derive(Debug, Args)]
#[command(next_help_heading = "Global options")]
pub struct GlobalArgs {
    /// Folder that holds the models [default: `eaglet` in the user's cache folder]
    #[arg(
        long,
        global = true,
        value_name = "DIR",
        env = "EAGLET_HOME",
        hide_env_values = true
    )]
    pub home: Option<PathBuf>,

    /// Never use the network: a model that is not here is an error
    #[arg(
        long,
        global = true,
        env = "EAGLET_OFFLINE",
        hide_env_values = true,
        value_parser = FalseyValueParser::new()
    )]
    pub offline: bool,

    /// Print results and errors only
    #[arg(short, long, global = true)]
    pub quiet: bool,
}
