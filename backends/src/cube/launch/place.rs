//! Copies inside the device, and zeros. Burn has both, with kernels for layouts and dtypes
//! that never occur here: browsers would download them.

use burn::tensor::{DType, Tensor};
use burn_cubecl::CubeRuntime;
use burn_cubecl::tensor::CubeTensor;

use eaglet_core::error::Result;

use super::{Buffer, whole};
use crate::cube::CubeOps;
use crate::cube::gather::{self, PlaceLaunch};
use crate::cube::tensors::{Kind, empty};

/// Where the words of a buffer go, all in words.
struct To {
    width: usize,
    stride: usize,
    first: usize,
}

impl<K: Kind> CubeOps<K> {
    /// One dispatch for each part.
    pub(in crate::cube) fn run_concat(
        &self,
        parts: &[Tensor<2>],
        axis: usize,
    ) -> Result<Tensor<2>> {
        let sizes = |axis: usize| parts.iter().map(move |part| part.dims()[axis]);
        let (rows, width) = match axis {
            0 => (sizes(0).sum(), sizes(1).max().unwrap_or(0)),
            _ => (sizes(0).max().unwrap_or(0), sizes(1).sum()),
        };
        let y = self.room(rows, width)?;
        let mut first = 0;
        for part in parts {
            let part_width = part.dims()[1];
            let to = To {
                width: part_width,
                stride: width,
                first,
            };
            self.place(&self.buffer(part)?, &y, to);
            first += match axis {
                0 => part.dims()[0] * width,
                _ => part_width,
            };
        }
        Ok(K::wrap(y))
    }

    /// A copy of a buffer that others may hold.
    pub(in crate::cube) fn copied(&self, buffer: &Buffer<K>) -> Result<Buffer<K>> {
        let copy = empty(&self.gpu, buffer.meta.shape().clone(), buffer.dtype)?;
        let words = words(buffer);
        let to = To {
            width: words,
            stride: words,
            first: 0,
        };
        self.place(buffer, &copy, to);
        Ok(copy)
    }

    /// A tensor's values put in the place of another's of its shape; without one, in a new one.
    pub(in crate::cube) fn put(
        &self,
        from: &Tensor<2>,
        to: Option<&Tensor<2>>,
    ) -> Result<Tensor<2>> {
        let from = self.buffer(from)?;
        let Some(to) = to else {
            return self.copied(&from).map(K::wrap);
        };
        let words = words(&from);
        let all = To {
            width: words,
            stride: words,
            first: 0,
        };
        self.place(&from, &self.buffer(to)?, all);
        Ok(to.clone())
    }

    /// A new tensor of zeros, a whole number of words.
    pub(in crate::cube) fn zeros(&self, shape: [usize; 3], dtype: DType) -> Result<Tensor<3>> {
        let y = empty(&self.gpu, shape, dtype)?;
        let count = words(&y);
        let (cubes, dim) = self.gpu.spread(count);
        self.gpu.count_dispatches(1);
        // SAFETY: the buffer has `count` words.
        unsafe {
            gather::clear::launch_unchecked::<K::Runtime>(
                &self.gpu.client,
                cubes,
                dim,
                whole(&y.handle, 4),
                count,
            );
        }
        Ok(K::wrap(y))
    }

    fn place(&self, from: &Buffer<K>, y: &Buffer<K>, to: To) {
        let count = words(from);
        if count == 0 {
            return;
        }
        let (cubes, dim) = self.gpu.spread(count);
        let sizes = PlaceLaunch::new(count, to.width, to.stride, to.first);
        self.gpu.count_dispatches(1);
        // SAFETY: `to` describes rows inside `y`.
        unsafe {
            gather::copy_into::launch_unchecked::<K::Runtime>(
                &self.gpu.client,
                cubes,
                dim,
                whole(&from.handle, 4),
                whole(&y.handle, 4),
                sizes,
            );
        }
    }
}

/// 32-bit words of a buffer's values.
fn words<R: CubeRuntime>(buffer: &CubeTensor<R>) -> usize {
    buffer.meta.shape().num_elements() * buffer.dtype.size() / 4
}
