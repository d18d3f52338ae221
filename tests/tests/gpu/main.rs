//! What is promised on every GPU of the machine: operations, models, losslessness, and
//! what they cost. Where there is none, `gpus` says so.

#![allow(missing_docs, clippy::unwrap_used)]

mod cost;
mod default_model;
mod lossless;
mod models;
mod operations;
mod refusals;
