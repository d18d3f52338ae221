//! From operations to launches: buffers, grids, and which variant of a kernel.

mod attention;
mod gather;
mod largest;
mod levels;
mod linear;
mod place;
mod ranking;
#[cfg(feature = "cuda")]
mod tensor_cores;

use burn::tensor::{DType, Tensor};
use burn_cubecl::tensor::CubeTensor;
use cubecl::prelude::*;
use cubecl::server::Handle;
use eaglet_core::error::Result;

use super::CubeOps;
use super::tensors::{Kind, empty, packed};

pub use linear::Layer;

type Buffer<K> = CubeTensor<<K as Kind>::Runtime>;

/// All of a buffer of `R`, whatever it holds, as an argument of a kernel.
fn whole<R: Runtime>(handle: &Handle, size: usize) -> BufferArg<R> {
    // SAFETY: the length is the buffer's own.
    unsafe { BufferArg::from_raw_parts(handle.clone(), handle.size() as usize / size) }
}

impl<K: Kind> CubeOps<K> {
    /// The buffer of a tensor, its rows one after another.
    pub(in crate::cube) fn buffer<const D: usize>(&self, tensor: &Tensor<D>) -> Result<Buffer<K>> {
        packed::<K, D>(tensor.clone(), &self.gpu)
    }

    /// A new f32 tensor of undefined values.
    fn room(&self, rows: usize, width: usize) -> Result<Buffer<K>> {
        empty(&self.gpu, [rows, width], DType::F32)
    }

    /// Values from the host, row by row.
    pub(in crate::cube) fn upload_rows(&self, values: &[f32], rows: usize) -> Result<Tensor<2>> {
        let handle = self.gpu.upload(bytemuck::cast_slice(values))?;
        let (client, device) = (self.gpu.client.clone(), self.gpu.device.clone());
        let shape = [rows, values.len() / rows].into();
        let tensor = CubeTensor::new_contiguous(client, device, shape, handle, DType::F32);
        Ok(K::wrap(tensor))
    }

    pub(in crate::cube) async fn run_read(&self, x: Tensor<2>) -> Result<Vec<f32>> {
        let [rows, width] = x.dims();
        let words = self.words(self.buffer(&x)?.handle).await?;
        Ok(words[..rows * width]
            .iter()
            .map(|&word| f32::from_bits(word))
            .collect())
    }

    async fn words(&self, handle: Handle) -> Result<Vec<u32>> {
        let [words] = self.words_of([handle]).await?;
        Ok(words)
    }

    /// The words of several buffers. One readback.
    async fn words_of<const N: usize>(&self, handles: [Handle; N]) -> Result<[Vec<u32>; N]> {
        let all = self.gpu.read(handles).await?;
        Ok(all.map(|bytes| bytemuck::pod_collect_to_vec(&bytes)))
    }
}
