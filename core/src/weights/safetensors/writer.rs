//! Writing safetensors files.

use std::path::Path;

use ::safetensors::Dtype as Number;
use ::safetensors::tensor::TensorView;

use crate::error::{Error, Result};
use crate::weights::encode::encode_tensor;
use crate::weights::{Dtype, write_atomically};

/// A safetensors file in the making.
#[derive(Default)]
pub struct SafetensorsWriter {
    tensors: Vec<(String, Number, Vec<usize>, Vec<u8>)>,
}

impl SafetensorsWriter {
    /// A file with no tensors.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a tensor of values, row-major, as f32 or f16.
    ///
    /// # Errors
    /// The values do not fill the shape, `dtype` cannot hold them, or it is one that
    /// safetensors files have no number for.
    pub fn values(
        mut self,
        name: &str,
        shape: &[usize],
        dtype: Dtype,
        values: &[f32],
    ) -> Result<Self> {
        let number = match dtype {
            Dtype::F32 => Number::F32,
            Dtype::F16 => Number::F16,
            Dtype::Q8 | Dtype::Q4 => {
                return Err(Error::Invalid(format!(
                    "safetensors files hold f32 or f16, not {dtype}; GGUF holds it"
                )));
            }
        };
        let bytes = encode_tensor(name, shape, dtype, values)?;
        self.tensors
            .push((name.into(), number, shape.into(), bytes));
        Ok(self)
    }

    /// Adds a vector of whole numbers, 64 bits each.
    pub fn integers(mut self, name: &str, values: &[i64]) -> Self {
        let bytes = values.iter().flat_map(|v| v.to_le_bytes()).collect();
        let shape = vec![values.len()];
        self.tensors.push((name.into(), Number::I64, shape, bytes));
        self
    }

    /// Adds a vector of flags, a byte each.
    pub fn flags(mut self, name: &str, values: &[bool]) -> Self {
        let bytes = values.iter().map(|&value| value.into()).collect();
        let shape = vec![values.len()];
        self.tensors.push((name.into(), Number::BOOL, shape, bytes));
        self
    }

    /// Writes the file, whole or not at all.
    ///
    /// # Errors
    /// [`Error::Write`] where the system refuses; and those of
    /// [`SafetensorsWriter::finish`].
    pub fn save(self, path: &Path) -> Result<()> {
        write_atomically(path, &self.finish()?)
    }

    /// The file's bytes.
    ///
    /// # Errors
    /// [`Error::Invalid`] where the format cannot express the tensors.
    pub fn finish(self) -> Result<Vec<u8>> {
        let refused = |e: ::safetensors::SafeTensorError| Error::Invalid(e.to_string());
        let views = self.tensors.iter().map(|(name, number, shape, bytes)| {
            let view = TensorView::new(*number, shape.clone(), bytes).map_err(refused)?;
            Ok((name.as_str(), view))
        });
        let views: Vec<_> = views.collect::<Result<_>>()?;
        ::safetensors::serialize(views, None).map_err(refused)
    }
}
