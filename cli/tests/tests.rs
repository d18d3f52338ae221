//! The command `eaglet` as a person or a script meets it: the real binary, on a model
//! small enough for milliseconds. One module a theme.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "tests")]

mod batch;
mod bench;
mod chat;
mod costs;
mod damaged_files;
mod distill;
mod generate;
mod heads;
mod model_folders;
mod options;
mod refused_input;
mod smollm;
#[cfg(unix)]
mod store_commands;
mod support;
#[cfg(unix)]
mod terminal;
mod train;
mod views;
