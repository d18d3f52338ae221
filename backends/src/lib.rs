//! Devices for eaglet, picked at run time.
//!
//! [`open`] turns a [`DeviceSpec`] into a [`Backend`]: a burn device and the fused
//! operations that run on it. This crate knows no model and no token.

pub mod cpu;
mod spec;

use std::sync::Arc;

use eaglet_core::error::{Error, Result};
use eaglet_core::ops::Ops;

pub use spec::DeviceSpec;

/// An opened device.
pub struct Backend {
    /// `cpu`, as it is asked for and reported.
    pub name: String,
    /// What people want to know of it, in one line.
    pub description: String,
    /// Its operations.
    pub ops: Arc<dyn Ops>,
}

/// Opens a device. `threads` is for the CPU; `None` takes all cores.
///
/// # Errors
/// The device is not there, or this build has no support for it.
pub fn open(spec: DeviceSpec, threads: Option<usize>) -> Result<Backend> {
    match spec {
        DeviceSpec::Auto | DeviceSpec::Cpu => {
            let cores = std::thread::available_parallelism().map_or(1, |n| n.get());
            let ops = cpu::CpuOps::new(threads.unwrap_or(cores));
            Ok(Backend {
                name: "cpu".into(),
                description: match ops.threads() {
                    1 => format!("{}, one thread", ops.isa()),
                    threads => format!("{}, {threads} threads", ops.isa()),
                },
                ops: Arc::new(ops),
            })
        }
        DeviceSpec::Cuda(_) | DeviceSpec::Wgpu(_) => Err(Error::Invalid(format!(
            "device {spec} is not available: this build supports the CPU only; use --device cpu"
        ))),
    }
}
