//! How a run of `eaglet` fails: one message and one exit code.

use std::fmt;
use std::io::{self, Write};
use std::process::ExitCode;

use crate::store;

/// Why a command stopped early.
#[derive(Debug)]
pub enum Failure {
    /// Something outside the program failed, as a device or a network does: the
    /// same command may work another time. Exit code 1.
    Runtime(String),
    /// What was asked for cannot work until the input, the options or the machine
    /// change. Exit code 2, which clap also uses for usage errors.
    Input(String),
    /// Nobody reads standard output any more (`eaglet list | head -1`): there is
    /// no one left to serve and nothing went wrong. Exit code 0.
    ClosedPipe,
}

impl Failure {
    /// A failed write to standard output.
    pub fn output(error: io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::BrokenPipe => Self::ClosedPipe,
            _ => Self::Runtime(format!("cannot write to standard output: {error}")),
        }
    }

    /// Tells the person, on standard error.
    pub fn tell(&self) {
        if !matches!(self, Self::ClosedPipe) {
            // `anstream` drops the colours off a terminal; a closed standard error
            // leaves the exit code to speak.
            let _ = writeln!(anstream::stderr(), "\x1b[1;31merror:\x1b[0m {self}");
        }
    }

    /// What the process returns to its caller.
    pub fn exit_code(&self) -> ExitCode {
        match self {
            Self::Runtime(_) => ExitCode::from(1),
            Self::Input(_) => ExitCode::from(2),
            Self::ClosedPipe => ExitCode::SUCCESS,
        }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Runtime(message) | Self::Input(message) => f.write_str(message),
            Self::ClosedPipe => f.write_str("standard output was closed"),
        }
    }
}

impl std::error::Error for Failure {}

impl From<store::Error> for Failure {
    fn from(error: store::Error) -> Self {
        if error.may_pass() {
            Self::Runtime(error.to_string())
        } else {
            Self::Input(error.to_string())
        }
    }
}

impl From<eaglet_core::Error> for Failure {
    fn from(error: eaglet_core::Error) -> Self {
        match error {
            eaglet_core::Error::Device(_)
            | eaglet_core::Error::Lost(_)
            | eaglet_core::Error::Limit { .. } => Self::Runtime(error.to_string()),
            _ => Self::Input(error.to_string()),
        }
    }
}
