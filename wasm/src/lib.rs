//! Bindings of eaglet for browsers: translation, and nothing that blocks.
//!
//! [`Engine`] and [`Answer`] are what a page needs in Rust's terms, and compile anywhere;
//! `bindings` wraps them for JavaScript. Requests and replies are JSON: one crossing of
//! the border a round, and shapes that TypeScript names.

mod answer;
#[cfg(target_family = "wasm")]
mod bindings;
mod device;
mod drafting;
mod engine;
mod error;
mod info;
mod options;
mod request;
#[cfg(target_family = "wasm")]
mod source;

#[cfg(test)]
mod tests;

pub use answer::{Answer, Likely, Listen, Odds, Step, Token};
pub use device::{Candidate, Device};
pub use drafting::{Method, TrainedHead};
pub use engine::Engine;
pub use error::Failure;
pub use info::{Info, Usage};
pub use options::{DeviceChoice, Options};
pub use request::Request;
