//! The GPU of the browser.

use super::Working;
use crate::Failure;

/// What has a GPU prove itself.
#[cfg(all(feature = "webgpu", target_family = "wasm"))]
pub use eaglet_backends::Unproven as Proof;

/// There is none in this module.
#[cfg(not(all(feature = "webgpu", target_family = "wasm")))]
pub enum Proof {}

#[cfg(not(all(feature = "webgpu", target_family = "wasm")))]
impl Proof {
    /// Cannot be called.
    ///
    /// # Errors
    /// None.
    pub async fn prove(&self) -> eaglet_core::error::Result<()> {
        match *self {}
    }
}

/// Opens the GPU, which has yet to prove itself. One that a processor plays is opened only
/// where `software` permits it.
///
/// # Errors
/// `no_webgpu` where there is none, `limit` where it is too small.
#[cfg(all(feature = "webgpu", target_family = "wasm"))]
pub async fn open(software: bool) -> Result<Working, Failure> {
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
        Ok(gpu) => Ok(Working {
            description,
            ops: gpu.ops.clone(),
            proof: Some(gpu),
        }),
        Err(Error::Invalid(lacking)) => Err(none(lacking)),
        Err(other) => Err(other.into()),
    }
}

/// There is none in this module: the package loads it where the browser offers no GPU to try.
///
/// # Errors
/// Always.
#[cfg(not(all(feature = "webgpu", target_family = "wasm")))]
pub async fn open(software: bool) -> Result<Working, Failure> {
    let message = match software {
        true => "this browser offers no WebGPU: take the device `wasm` or `auto`",
        false => "this browser offers no WebGPU on a real GPU",
    };
    Err(Failure::new("no_webgpu", message))
}
