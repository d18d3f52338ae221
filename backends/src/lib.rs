//! Devices for eaglet, picked at run time.
//!
//! [`open`] turns a [`DeviceSpec`] into a [`Backend`]: a burn device and the fused
//! operations that run on it. This crate knows no model and no token.

pub mod cpu;
#[cfg(feature = "cube")]
pub mod cube;
mod open;

pub use open::{Backend, DeviceSpec, Found, Listed, keep_kernels, list, open};
#[cfg(all(feature = "wgpu", target_family = "wasm"))]
pub use open::{BrowserGpu, Unproven};
#[cfg(feature = "cube")]
pub use open::{Kinds, self_test};
