//! The command `eaglet`: parse what was typed, check it, run it.

mod args;
mod commands;
mod context;
mod error;
mod progress;
mod runtime;
mod store;

use std::io::Write;
use std::process::ExitCode;

use clap::Parser;

use crate::args::Cli;
use crate::context::Context;
use crate::error::Failure;

fn main() -> ExitCode {
    let Cli { global, command } = Cli::parse();
    match Context::new(global).and_then(|context| command.run(&context)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            if !matches!(failure, Failure::ClosedPipe) {
                // `anstream` drops the colours off a terminal; a closed standard
                // error leaves the exit code to speak.
                let _ = writeln!(anstream::stderr(), "\x1b[1;31merror:\x1b[0m {failure}");
            }
            failure.exit_code()
        }
    }
}
