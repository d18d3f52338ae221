//! The command `eaglet`: parse what was typed, check it, run it.

mod args;
mod commands;
mod context;
mod dialogue;
mod error;
mod page;
mod progress;
mod runtime;
mod store;

use std::process::ExitCode;

use clap::Parser;

use crate::args::Cli;
use crate::context::Context;

fn main() -> ExitCode {
    quieten_drivers();
    let Cli { global, command } = Cli::parse();
    match Context::new(global).and_then(|context| command.run(&context)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            failure.tell();
            failure.exit_code()
        }
    }
}

/// Mesa's choice of a default GPU asks the desktop for its opinion, and complains on
/// standard error where there is none. We choose ourselves.
fn quieten_drivers() {
    if cfg!(target_os = "linux") {
        // SAFETY: no other thread runs yet.
        unsafe { std::env::set_var("NODEVICE_SELECT", "1") };
    }
}
