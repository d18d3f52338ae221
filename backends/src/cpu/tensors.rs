//! Burn tensors as slices, without copying: all of Flex that this crate touches.

use burn::backend::Flex;
use burn::tensor::{Device, Tensor, TensorData};
use burn_flex::FlexTensor;
use bytemuck::Pod;
use eaglet_core::error::{Error, Result};

/// A tensor's storage; a tensor of another device is an error.
pub fn storage<const D: usize>(tensor: Tensor<D>) -> Result<FlexTensor> {
    tensor
        .try_into_primitive::<Flex>()
        .map(|t| {
            if t.is_contiguous() {
                t
            } else {
                t.to_contiguous()
            }
        })
        .map_err(|e| Error::Device(format!("a tensor is not on the CPU: {e:?}")))
}

/// A tensor around storage.
pub fn tensor<const D: usize>(storage: FlexTensor) -> Tensor<D> {
    Tensor::from_primitive::<Flex>(storage)
}

/// The values of a contiguous tensor.
pub fn slice<E: burn::tensor::Element + Pod>(storage: &FlexTensor) -> Result<&[E]> {
    let found = storage.dtype();
    storage
        .as_slice()
        .ok_or_else(|| Error::Device(format!("expected {:?} values, found {found:?}", E::dtype())))
}

/// A new f32 tensor `[rows, values / rows]` that takes over `values`.
pub fn matrix(values: Vec<f32>, rows: usize, device: &Device) -> Tensor<2> {
    let width = values.len() / rows.max(1);
    Tensor::from_data(TensorData::new(values, [rows, width]), device)
}

/// Zeros that the system backs with memory only where they are written: a context is
/// allocated whole and seldom filled. (`Tensor::zeros` copies them to align them.)
///
/// # Errors
/// The system has no address space left for them.
pub fn zeros<E: burn::tensor::Element + Pod>(
    shape: [usize; 3],
    device: &Device,
) -> Result<Tensor<3>> {
    let count = shape.iter().try_fold(1usize, |n, &d| n.checked_mul(d));
    let values = count.and_then(|n| bytemuck::allocation::try_zeroed_vec::<E>(n).ok());
    let values = values.ok_or_else(|| {
        Error::Memory(format!(
            "a cache of {} positions: ask for a smaller context",
            shape[0]
        ))
    })?;
    Ok(Tensor::from_data(
        TensorData::new(values, shape),
        (device, E::dtype()),
    ))
}
