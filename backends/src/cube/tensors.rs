//! Burn tensors as CubeCL buffers, without copying: all of burn's GPU backends that this
//! crate touches.

use burn::tensor::{DType, Device, Shape, Tensor};
use burn_cubecl::CubeRuntime;
use burn_cubecl::tensor::CubeTensor;
use cubecl::prelude::BufferArg;
#[cfg(feature = "cuda")]
use cubecl::{prelude::Runtime, server::ComputeServer};
use eaglet_core::error::{Error, Result};

use super::gpu::Gpu;
#[cfg(feature = "cuda")]
use super::tensor_cores::Program;

/// One of burn's backends over CubeCL: what its tensors are made of.
pub trait Kind: Send + Sync + 'static {
    /// Compiles and runs kernels.
    type Runtime: CubeRuntime;

    /// The device as tensors name it.
    fn device(device: &RuntimeDevice<Self>) -> Device
    where
        Self: Sized;

    /// The buffer of a tensor; a tensor of another device is an error.
    fn unwrap<const D: usize>(tensor: Tensor<D>) -> Result<CubeTensor<Self::Runtime>>;

    /// A tensor around a buffer.
    fn wrap<const D: usize>(tensor: CubeTensor<Self::Runtime>) -> Tensor<D>;

    /// A kernel for tensor cores, of devices that have them.
    #[cfg(feature = "cuda")]
    fn tensor_cores(program: Program) -> Option<Kernel<Self>>
    where
        Self: Sized;
}

/// What is compiled, and launched, of a kernel.
#[cfg(feature = "cuda")]
pub type Kernel<K> = <<<K as Kind>::Runtime as Runtime>::Server as ComputeServer>::Kernel;

macro_rules! kind {
    ($(#[$doc:meta])* $name:ident, $backend:ty, $runtime:ty, $cores:expr) => {
        $(#[$doc])*
        #[derive(Debug)]
        pub struct $name;

        impl Kind for $name {
            type Runtime = $runtime;

            fn device(device: &RuntimeDevice<Self>) -> Device {
                device.clone().into()
            }

            fn unwrap<const D: usize>(tensor: Tensor<D>) -> Result<CubeTensor<$runtime>> {
                let tensor = tensor.try_into_primitive::<$backend>();
                tensor.map_err(|e| Error::Device(format!("a tensor is of another device: {e:?}")))
            }

            fn wrap<const D: usize>(tensor: CubeTensor<$runtime>) -> Tensor<D> {
                Tensor::from_primitive::<$backend>(tensor)
            }

            #[cfg(feature = "cuda")]
            fn tensor_cores(program: Program) -> Option<Kernel<Self>> {
                let cores: fn(Program) -> Option<Kernel<Self>> = $cores;
                cores(program)
            }
        }
    };
}

#[cfg(feature = "wgpu")]
kind!(
    /// Burn's wgpu backend.
    Wgpu,
    burn::backend::Wgpu,
    cubecl::wgpu::WgpuRuntime,
    |_| None
);

#[cfg(feature = "cuda")]
kind!(
    /// Burn's CUDA backend.
    Cuda,
    burn::backend::Cuda,
    cubecl::cuda::CudaRuntime,
    |program| Some(Box::new(program))
);

/// Burn's name of a device of this kind.
pub type RuntimeDevice<K> = <<K as Kind>::Runtime as CubeRuntime>::CubeDevice;

/// A tensor's buffer with its rows one after another.
pub fn packed<K: Kind, const D: usize>(
    tensor: Tensor<D>,
    gpu: &Gpu<K::Runtime>,
) -> Result<CubeTensor<K::Runtime>> {
    let tensor = K::unwrap(tensor)?;
    if tensor.is_contiguous() {
        return Ok(tensor);
    }
    apart(tensor, gpu)
}

/// Rows that lie apart, brought together: burn aligns them on some devices.
#[cfg(not(target_family = "wasm"))]
fn apart<R: CubeRuntime>(tensor: CubeTensor<R>, gpu: &Gpu<R>) -> Result<CubeTensor<R>> {
    gpu.count_dispatches(1);
    Ok(burn_cubecl::kernel::into_contiguous(tensor))
}

/// WebGPU's rows never do, and burn's kernels for it would be downloaded by every page.
#[cfg(target_family = "wasm")]
fn apart<R: CubeRuntime>(_: CubeTensor<R>, _: &Gpu<R>) -> Result<CubeTensor<R>> {
    Err(Error::Device("the rows of a tensor lie apart".into()))
}

/// A new tensor of undefined values.
pub fn empty<R: CubeRuntime>(
    gpu: &Gpu<R>,
    shape: impl Into<Shape>,
    dtype: DType,
) -> Result<CubeTensor<R>> {
    let shape = shape.into();
    let handle = gpu.reserve(shape.num_elements() * dtype.size())?;
    let (client, device) = (gpu.client.clone(), gpu.device.clone());
    Ok(CubeTensor::new_contiguous(
        client, device, shape, handle, dtype,
    ))
}

/// All of a tensor's buffer as an argument of a kernel.
pub fn arg<R: CubeRuntime>(tensor: &CubeTensor<R>) -> BufferArg<R> {
    let length = tensor.handle.size() as usize / tensor.dtype.size();
    // SAFETY: the length is the buffer's own.
    unsafe { BufferArg::from_raw_parts(tensor.handle.clone(), length) }
}
