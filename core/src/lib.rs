//! Lossless EAGLE speculative decoding over burn tensors.
//!
//! A [`model::Transformer`] is loaded from a [`weights::ModelFile`] onto a device's
//! [`ops::Ops`]; an [`engine::Session`] decodes with it in *rounds*: a
//! [`draft::Drafter`] proposes a [`tree::Tree`] of tokens, one forward pass of the model
//! verifies all of them, [`verify`] walks the tree along the model's own draws, and the
//! [`cache`] commits the accepted path. Plain decoding is the same loop with a drafter
//! that proposes nothing, and emits exactly the same tokens.
//!
//! Shapes are written `[rows, hidden]`. This crate names no backend: devices come from
//! `eaglet-backends`.

pub mod cache;
pub mod draft;
pub mod engine;
pub mod error;
pub mod model;
pub mod ops;
pub mod sample;
pub mod text;
#[cfg(feature = "train")]
pub mod train;
pub mod tree;
pub mod verify;
pub mod weights;

pub use error::{Error, Result};
