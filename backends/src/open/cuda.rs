//! NVIDIA GPUs.
//!
//! The driver and the compiler of kernels are looked for before burn is asked for a
//! device: without them its own thread panics.

use cubecl::cuda::CudaDevice;
use cudarc::driver::result;
use cudarc::driver::sys::{self, CUdevice_attribute};
use eaglet_core::error::{Error, Result};

use super::{Backend, DeviceSpec, Found, backend};
use crate::cube::{CubeOps, Cuda, Fault};

/// The oldest compute capability that kernels are written for: half-precision arithmetic
/// and copies that do not wait.
const OLDEST: (i32, i32) = (8, 0);
/// The first whose workgroups form clusters.
const CLUSTERED: (i32, i32) = (9, 0);

/// Every device, in the driver's order.
pub fn list() -> Result<Vec<Found>> {
    (0..count()?).map(found).collect()
}

/// Set, nothing runs on tensor cores: layers and attention add in another order there.
const NO_TENSOR_CORES: &str = "EAGLET_NO_TENSOR_CORES";

/// Opens a device, by its place in [`list`]; if `cautious`, without what is NVIDIA's own:
/// tensor cores and graphs.
pub fn open(index: usize, cautious: bool) -> Result<Backend> {
    let count = count()?;
    if index >= count {
        return Err(Error::Invalid(format!(
            "this machine has {count} of its kind, counted from 0; see `eaglet devices`"
        )));
    }
    let mut found = found(index)?;
    let (major, minor) = capability(handle(index)?)?;
    if (major, minor) < OLDEST {
        return Err(Error::Invalid(format!(
            "{} has compute capability {major}.{minor}, and {}.{} is needed; use --device wgpu",
            found.name, OLDEST.0, OLDEST.1
        )));
    }
    // SAFETY: loading NVIDIA's library has no effect beyond its being loaded.
    if !unsafe { cudarc::nvrtc::sys::is_culib_present() } {
        return Err(Error::Invalid(
            "NVIDIA's compiler of kernels (libnvrtc, of the CUDA toolkit) is not installed; \
             use --device wgpu"
                .into(),
        ));
    }
    // Kernels include it, and CubeCL gives up in a thread of its own where it is not.
    let headers = cubecl::cuda::install::cuda_path().map(|path| path.join("include/cuda_fp16.h"));
    if !headers.is_some_and(|header| header.exists()) {
        return Err(Error::Invalid(
            "the headers of the CUDA toolkit are not installed (CUDA_PATH names its folder); \
             use --device wgpu"
                .into(),
        ));
    }
    let mut ops = CubeOps::<Cuda>::new(CudaDevice::new(index), false, Fault::default());
    if cautious {
        ops = ops.without_recordings();
    } else if !super::is_set(NO_TENSOR_CORES) {
        ops = ops.with_tensor_cores((major, minor) >= CLUSTERED);
        found.details += ", tensor cores";
    }
    Ok(backend(DeviceSpec::Cuda(index), &found, ops))
}

/// How many devices the driver knows.
fn count() -> Result<usize> {
    // SAFETY: as above.
    if !unsafe { sys::is_culib_present() } {
        return Err(Error::Invalid(
            "no NVIDIA driver is installed; use --device cpu or wgpu".into(),
        ));
    }
    result::init().map_err(failed)?;
    let count = result::device::get_count().map_err(failed)?;
    match usize::try_from(count) {
        Ok(count) if count > 0 => Ok(count),
        _ => Err(Error::Invalid(
            "the NVIDIA driver knows no device; use --device cpu or wgpu".into(),
        )),
    }
}

fn found(index: usize) -> Result<Found> {
    let device = handle(index)?;
    let (major, minor) = capability(device)?;
    // SAFETY: the handle is the driver's own.
    let memory = unsafe { result::device::total_mem(device) }.map_err(failed)?;
    Ok(Found {
        name: result::device::get_name(device).map_err(failed)?,
        details: format!(
            "compute capability {major}.{minor}, f32 and f16, {} MiB",
            memory >> 20
        ),
        software: false,
        // SAFETY: the handle is the driver's own.
        shares: unsafe {
            result::device::get_attribute(
                device,
                CUdevice_attribute::CU_DEVICE_ATTRIBUTE_INTEGRATED,
            )
        }
        .map_err(failed)?
            != 0,
    })
}

fn handle(index: usize) -> Result<sys::CUdevice> {
    let index = i32::try_from(index).unwrap_or(i32::MAX);
    result::device::get(index).map_err(failed)
}

fn capability(device: sys::CUdevice) -> Result<(i32, i32)> {
    let of = |attribute| {
        // SAFETY: the handle is the driver's own.
        unsafe { result::device::get_attribute(device, attribute) }.map_err(failed)
    };
    Ok((
        of(CUdevice_attribute::CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR)?,
        of(CUdevice_attribute::CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MINOR)?,
    ))
}

fn failed(error: result::DriverError) -> Error {
    Error::Device(format!("the NVIDIA driver: {error}"))
}
