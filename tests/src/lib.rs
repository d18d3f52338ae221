//! What the suites share: deterministic numbers, small models, drafters made for tests.
//!
//! Test bodies live in `tests/`, one file a theme; nothing there names a burn backend.

#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used)]

pub mod decode;
pub mod default_model;
pub mod devices;
pub mod drafters;
pub mod heads;
pub mod imitation;
pub mod levels;
pub mod medusa;
pub mod naive;
pub mod numbers;
pub mod recording;
pub mod statistics;
pub mod text;
pub mod tiny;
