//! The GPU of the browser.

use std::sync::Arc;

use eaglet_core::ops::Ops;

use crate::Failure;

/// Opens the GPU: what it is, and its operations. It has proved itself by then. One that a
/// processor plays is opened only where `software` permits it.
///
/// # Errors
/// `no_webgpu` where there is none, `limit` where it is too small, `device` where it
/// computes wrongly.
#[cfg(all(feature = "webgpu", target_family = "wasm"))]
pub async fn open(software: bool) -> Result<(String, Arc<dyn Ops>), Failure> {
    use eaglet_backends::BrowserGpu;
    use eaglet_core::Error;

    let none = |message: String| Failure::new("no_webgpu", message);
    let Some(gpu) = BrowserGpu::find().await else {
        let message = "this browser offers no WebGPU: take the device `wasm` or `auto`";
        return Err(none(message.into()));
    };
    let description = format!("{}, {}", gpu.found.name, gpu.found.details);
    if gpu.found.software && !software {
        let message = format!("its WebGPU is played by the processor ({description})");
        return Err(none(message));
    }
    match gpu.open().await {
        Ok(ops) => Ok((description, Arc::new(ops))),
        Err(Error::Invalid(lacking)) => Err(none(lacking)),
        Err(other) => Err(other.into()),
    }
}

/// There is none in this module: the package loads it where the browser offers no GPU to try.
///
/// # Errors
/// Always.
#[cfg(not(all(feature = "webgpu", target_family = "wasm")))]
pub async fn open(software: bool) -> Result<(String, Arc<dyn Ops>), Failure> {
    let message = match software {
        true => "this browser offers no WebGPU: take the device `wasm` or `auto`",
        false => "this browser offers no WebGPU on a real GPU",
    };
    Err(Failure::new("no_webgpu", message))
}
