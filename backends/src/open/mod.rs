//! From the name of a device to a device that works.

#[cfg(feature = "wgpu")]
mod adapter;
#[cfg(all(feature = "wgpu", target_family = "wasm"))]
mod browser;
#[cfg(feature = "cuda")]
mod cuda;
mod kept;
#[cfg(feature = "cube")]
mod self_test;
mod spec;
#[cfg(all(feature = "wgpu", not(target_family = "wasm")))]
mod wgpu;

use std::sync::Arc;

use eaglet_core::error::{Error, Result};
use eaglet_core::ops::Ops;

use crate::cpu::{CpuOps, read_bandwidth};

#[cfg(all(feature = "wgpu", target_family = "wasm"))]
pub use browser::{BrowserGpu, Unproven};
pub use kept::keep_kernels;
#[cfg(feature = "cube")]
pub use self_test::{Kinds, self_test};
#[cfg(all(test, feature = "cuda", target_os = "linux"))]
pub(crate) use self_test::{On, spread};
pub use spec::DeviceSpec;

/// An opened device.
pub struct Backend {
    /// `cpu`, `wgpu:0`..., as it is asked for and reported.
    pub name: String,
    /// What people want to know of it, in one line.
    pub description: String,
    /// Its operations.
    pub ops: Arc<dyn Ops>,
    /// Better devices that were passed over, and why.
    pub skipped: Vec<String>,
    bandwidth: Box<dyn Fn() -> Result<f64>>,
}

impl Backend {
    /// Measures how many bytes a second are read from the device's memory.
    ///
    /// # Errors
    /// The device failed.
    pub fn bandwidth(&self) -> Result<f64> {
        (self.bandwidth)()
    }
}

/// A device of this machine, or why there is none of a kind.
pub struct Listed {
    /// How to ask for it.
    pub spec: DeviceSpec,
    /// Its name, memory and limits.
    pub found: Result<Found>,
}

/// What is known of a device before it is opened.
#[derive(Clone, Debug)]
pub struct Found {
    /// What its maker calls it.
    pub name: String,
    /// Memory, limits and dtypes, in one line.
    pub details: String,
    /// Whether a processor plays the device: never faster than our own kernels there.
    pub software: bool,
    /// Whether it reads the processor's memory, and so may be no faster.
    pub shares: bool,
}

/// Every device of this machine, best first, the CPU last; a kind without a device is
/// listed with the reason.
pub fn list() -> Vec<Listed> {
    let mut all = gpus(false);
    let cpu = open_cpu(None);
    all.push(Listed {
        spec: DeviceSpec::Cpu,
        found: Ok(Found {
            name: "processor".into(),
            details: cpu.description,
            software: false,
            shares: false,
        }),
    });
    all
}

/// Every GPU, best first. With `real`, those that a processor plays may be left out: even
/// to look for them can take a compiler into memory.
#[cfg(all(feature = "cube", not(target_family = "wasm")))]
fn gpus(real: bool) -> Vec<Listed> {
    let mut all = Vec::new();
    #[cfg(feature = "cuda")]
    all.extend(listed(DeviceSpec::Cuda, cuda::list()));
    #[cfg(feature = "wgpu")]
    if !real || wgpu::is_likely() {
        all.extend(listed(DeviceSpec::Wgpu, wgpu::list()));
    }
    #[cfg(not(feature = "wgpu"))]
    let _ = real;
    all
}

#[cfg(not(all(feature = "cube", not(target_family = "wasm"))))]
fn gpus(_: bool) -> Vec<Listed> {
    Vec::new()
}

/// One entry a device, or one for all that there are none.
#[cfg(all(feature = "cube", not(target_family = "wasm")))]
fn listed(
    spec: fn(usize) -> DeviceSpec,
    found: Result<Vec<Found>>,
) -> impl Iterator<Item = Listed> {
    let found = match found {
        Ok(found) => found.into_iter().map(Ok).collect(),
        Err(error) => vec![Err(error)],
    };
    let entry = move |(index, found)| Listed {
        spec: spec(index),
        found,
    };
    found.into_iter().enumerate().map(entry)
}

/// Opens a device. `threads` is for the CPU; `None` takes all cores.
///
/// A GPU proves itself first (see [`self_test`]). [`DeviceSpec::Auto`] takes the first of
/// [`list`] that passes; one that a processor plays is never faster than our own kernels
/// there, so it has to be asked for by name, and one that shares the processor's memory is
/// taken only if it reads it faster.
///
/// # Errors
/// The device is not there, it computes wrongly, or this build has no support for it.
pub fn open(spec: DeviceSpec, threads: Option<usize>) -> Result<Backend> {
    match spec {
        DeviceSpec::Cpu => Ok(open_cpu(threads)),
        DeviceSpec::Auto => Ok(open_best(threads)),
        DeviceSpec::Cuda(index) => open_cuda(index),
        DeviceSpec::Wgpu(index) => open_wgpu(index),
    }
    .map_err(|error| match error {
        Error::Invalid(reason) => Error::Invalid(format!("device {spec}: {reason}")),
        other => other,
    })
}

fn open_best(threads: Option<usize>) -> Backend {
    let mut skipped = Vec::new();
    for Listed { spec, found } in gpus(true) {
        // That there is no device of a kind is nothing to tell.
        let Ok(found) = found else { continue };
        if found.software {
            continue;
        }
        let opened = open(spec, threads).and_then(|backend| {
            if found.shares {
                faster(backend.bandwidth()?, open_cpu(threads).bandwidth()?)?;
            }
            Ok(backend)
        });
        match opened {
            Ok(backend) => return Backend { skipped, ..backend },
            Err(error) => skipped.push(format!("{spec} ({}): {error}", found.name)),
        }
    }
    Backend {
        skipped,
        ..open_cpu(threads)
    }
}

/// Whether a device that reads `bandwidth` bytes a second is worth being taken in place of
/// the processor, which reads `cpu`.
fn faster(bandwidth: f64, cpu: f64) -> Result<()> {
    match bandwidth > cpu {
        true => Ok(()),
        false => Err(Error::Device(format!(
            "it reads {:.1} GB/s and the processor {:.1}",
            bandwidth / 1e9,
            cpu / 1e9
        ))),
    }
}

/// Set, GPUs launch each pass anew.
#[cfg(all(feature = "cube", not(target_family = "wasm")))]
const NO_RECORDINGS: &str = "EAGLET_NO_RECORDINGS";

/// Whether the environment says yes.
#[cfg(all(feature = "cube", not(target_family = "wasm")))]
fn is_set(name: &str) -> bool {
    std::env::var_os(name).is_some_and(|value| value != "0")
}

/// An opened GPU.
#[cfg(all(feature = "cube", not(target_family = "wasm")))]
fn backend<K: crate::cube::Kind>(
    spec: DeviceSpec,
    found: &Found,
    ops: crate::cube::CubeOps<K>,
) -> Backend {
    let ops = Arc::new(match is_set(NO_RECORDINGS) {
        true => ops.without_recordings(),
        false => ops,
    });
    let read = ops.clone();
    Backend {
        name: spec.to_string(),
        description: format!("{}, {}", found.name, found.details),
        ops,
        skipped: Vec::new(),
        bandwidth: Box::new(move || pollster::block_on(read.read_bandwidth())),
    }
}

/// A GPU that passed its test.
#[cfg(all(feature = "cube", not(target_family = "wasm")))]
fn proven(backend: Backend) -> Result<Backend> {
    pollster::block_on(self_test(&*backend.ops, &Kinds::all())).map_err(|fault| {
        Error::Device(format!("{} failed its self-test: {fault}", backend.name))
    })?;
    Ok(backend)
}

/// CubeCL panics where a driver fails at its start: that, too, is a device to pass over.
#[cfg(all(feature = "cube", not(target_family = "wasm")))]
fn contained(open: impl FnOnce() -> Result<Backend>) -> Result<Backend> {
    std::panic::catch_unwind(std::panic::AssertUnwindSafe(open)).unwrap_or_else(|_| {
        let what = "the driver failed while the device was opened; use --device cpu";
        Err(Error::Device(what.into()))
    })
}

fn open_cpu(threads: Option<usize>) -> Backend {
    let cores = std::thread::available_parallelism().map_or(1, |n| n.get());
    let ops = CpuOps::new(threads.unwrap_or(cores));
    let threads = ops.threads();
    Backend {
        name: "cpu".into(),
        description: match threads {
            1 => format!("{}, one thread", ops.isa()),
            threads => format!("{}, {threads} threads", ops.isa()),
        },
        ops: Arc::new(ops),
        skipped: Vec::new(),
        bandwidth: Box::new(move || Ok(read_bandwidth(threads))),
    }
}

#[cfg(feature = "cuda")]
fn open_cuda(index: usize) -> Result<Backend> {
    let open = |cautious| contained(|| cuda::open(index, cautious).and_then(proven));
    // A device that only its tensor cores or its graphs fail is a device.
    open(false).or_else(|fault| match open(true) {
        Ok(backend) => Ok(Backend {
            skipped: vec![format!("its tensor cores and graphs: {fault}")],
            ..backend
        }),
        Err(_) => Err(fault),
    })
}

#[cfg(all(feature = "wgpu", not(target_family = "wasm")))]
fn open_wgpu(index: usize) -> Result<Backend> {
    contained(|| wgpu::open(index).and_then(proven))
}

#[cfg(not(feature = "cuda"))]
fn open_cuda(_: usize) -> Result<Backend> {
    Err(not_built())
}

#[cfg(not(all(feature = "wgpu", not(target_family = "wasm"))))]
fn open_wgpu(_: usize) -> Result<Backend> {
    Err(not_built())
}

#[cfg(not(all(feature = "cuda", feature = "wgpu", not(target_family = "wasm"))))]
fn not_built() -> Error {
    Error::Invalid("this program was built without it; use --device cpu".into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_device_that_reads_no_faster_is_passed_over_with_both_figures() {
        faster(2.1e10, 2e10).unwrap();
        let slower = faster(2e10, 2e10).unwrap_err().to_string();
        assert!(
            slower.contains("20.0 GB/s and the processor 20.0"),
            "{slower}"
        );
        assert!(faster(f64::NAN, 2e10).is_err());
    }
}
