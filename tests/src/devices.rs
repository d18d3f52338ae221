//! The GPUs of this machine, real ones and those that a processor plays.

use std::sync::{Arc, OnceLock};

use eaglet_backends::{DeviceSpec, Listed};
use eaglet_core::ops::Ops;

/// A GPU that passed its self-test.
#[derive(Clone)]
pub struct Gpu {
    /// As it is asked for.
    pub name: String,
    /// Whether a processor plays it.
    pub software: bool,
    pub ops: Arc<dyn Ops>,
}

/// Every GPU, opened once a process. What is not there is told, with the reason; what is
/// there and does not open is a failure, and so is having none in CI.
pub fn gpus() -> &'static [Gpu] {
    static GPUS: OnceLock<Vec<Gpu>> = OnceLock::new();
    GPUS.get_or_init(|| {
        let open = |Listed { spec, found }| {
            let (DeviceSpec::Cuda(_) | DeviceSpec::Wgpu(_)) = spec else {
                return None;
            };
            let found = found
                .inspect_err(|reason| println!("skipped: {spec}: {reason}"))
                .ok()?;
            let backend = eaglet_backends::open(spec, None).unwrap();
            println!("{}: {}", backend.name, backend.description);
            Some(Gpu {
                name: backend.name,
                software: found.software,
                ops: backend.ops,
            })
        };
        let found: Vec<Gpu> = eaglet_backends::list()
            .into_iter()
            .filter_map(open)
            .collect();
        let ci = std::env::var_os("CI").is_some();
        assert!(!ci || !found.is_empty(), "no GPU, not even a software one");
        found
    })
}
