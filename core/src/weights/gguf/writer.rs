//! GGUF, version 3: writing metadata and tensors.

use std::path::Path;

use super::header::GGML_I64;
use super::rows::pairs_from_halves;
use super::value::{Value, write_string};
use crate::error::{Error, Result};
use crate::weights::encode::encode_tensor;
use crate::weights::{BlockFormat, Dtype, write_atomically};

/// A GGUF file in the making: the inverse of [`Gguf`](super::Gguf).
///
/// What [`GgufWriter::metadata`] and [`GgufWriter::tensor`] are given is written as it
/// is, sense or nonsense, so that tests can also make files that break the rules;
/// [`GgufWriter::values`] checks.
#[derive(Default)]
pub struct GgufWriter {
    metadata: Vec<(String, Value)>,
    tensors: Vec<Tensor>,
}

struct Tensor {
    name: String,
    shape: Vec<usize>,
    /// ggml's number of the format.
    format: u32,
    bytes: Vec<u8>,
}

impl GgufWriter {
    /// A file with no metadata and no tensors.
    pub fn new() -> Self {
        GgufWriter::default()
    }

    /// Adds a metadata value. A `general.alignment` is honoured.
    pub fn metadata(mut self, key: &str, value: Value) -> Self {
        self.metadata.push((key.into(), value));
        self
    }

    /// Adds a tensor: its shape outermost first, its values as encoded bytes.
    ///
    /// Q and K of the `llama` architecture are written as given: the reader will take
    /// their rows for permuted.
    pub fn tensor(self, name: &str, shape: &[usize], format: BlockFormat, bytes: Vec<u8>) -> Self {
        self.raw(name, shape, format.gguf_id(), bytes)
    }

    /// Adds a tensor of values, row-major, its shape outermost first; in q8 and q4 each
    /// row must be whole blocks of 32.
    ///
    /// # Errors
    /// The values do not fill the shape, or `dtype` cannot hold them.
    pub fn values(self, name: &str, shape: &[usize], dtype: Dtype, values: &[f32]) -> Result<Self> {
        let bytes = encode_tensor(name, shape, dtype, values)?;
        Ok(self.tensor(name, shape, dtype.layout(), bytes))
    }

    /// The same for queries or keys, whose rows, heads of `dim` of them, change from
    /// Hugging Face's order to that of llama.cpp's rotation: from halves to pairs.
    ///
    /// # Errors
    /// As [`GgufWriter::values`]; and the rows are not whole heads.
    pub fn paired_values(
        self,
        name: &str,
        shape: &[usize],
        dtype: Dtype,
        values: &[f32],
        dim: usize,
    ) -> Result<Self> {
        let rows = shape.first().copied().unwrap_or(0);
        if dim < 2 || rows == 0 || !rows.is_multiple_of(dim) {
            return Err(Error::Invalid(format!(
                "tensor `{name}`: {rows} rows are not whole heads of {dim}"
            )));
        }
        let paired = pairs_from_halves(values, values.len() / rows, dim);
        self.values(name, shape, dtype, &paired)
    }

    /// Adds a vector of whole numbers, 64 bits each.
    pub fn integers(self, name: &str, values: &[i64]) -> Self {
        let bytes = values.iter().flat_map(|v| v.to_le_bytes()).collect();
        self.raw(name, &[values.len()], GGML_I64, bytes)
    }

    fn raw(mut self, name: &str, shape: &[usize], format: u32, bytes: Vec<u8>) -> Self {
        self.tensors.push(Tensor {
            name: name.into(),
            shape: shape.into(),
            format,
            bytes,
        });
        self
    }

    /// Writes the file, whole or not at all.
    ///
    /// # Errors
    /// [`Error::Write`](crate::Error::Write) where the system refuses.
    pub fn save(self, path: &Path) -> Result<()> {
        write_atomically(path, &self.finish())
    }

    /// The file's bytes.
    pub fn finish(self) -> Vec<u8> {
        let alignment = self
            .metadata
            .iter()
            .find(|(key, _)| key == "general.alignment");
        let alignment = alignment
            .and_then(|(_, value)| value.as_u64())
            .unwrap_or(32)
            .max(1) as usize;

        let mut out = b"GGUF".to_vec();
        out.extend(3u32.to_le_bytes());
        out.extend((self.tensors.len() as u64).to_le_bytes());
        out.extend((self.metadata.len() as u64).to_le_bytes());
        for (key, value) in &self.metadata {
            write_string(&mut out, key);
            value.write(&mut out);
        }
        let mut data = Vec::new();
        for Tensor {
            name,
            shape,
            format,
            bytes,
        } in &self.tensors
        {
            write_string(&mut out, name);
            out.extend((shape.len() as u32).to_le_bytes());
            for dim in shape.iter().rev() {
                out.extend((*dim as u64).to_le_bytes());
            }
            out.extend(format.to_le_bytes());
            out.extend((data.len() as u64).to_le_bytes());
            data.extend(bytes);
            data.resize(data.len().next_multiple_of(alignment), 0);
        }
        out.resize(out.len().next_multiple_of(alignment), 0);
        out.extend(data);
        out
    }
}
