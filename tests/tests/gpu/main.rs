//! What is promised on every GPU of the machine: operations, models, losslessness. Where
//! there is none, `gpus` says so. What they cost is told by `gpu_cost`, a process of its own:
//! it counts what a device is asked for.

#![allow(missing_docs, clippy::unwrap_used)]

mod default_model;
mod draws;
mod lossless;
mod models;
mod operations;
mod recordings;
mod refusals;
mod training;
mod unseen;
