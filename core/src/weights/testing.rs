//! Making checkpoints for tests.

use super::gguf::write_string;
use super::{BlockFormat, Value};

/// Writes GGUF version 3: the inverse of [`Gguf`](super::Gguf).
///
/// It checks nothing, so that tests can also write files that break the rules.
#[derive(Default)]
pub struct GgufWriter {
    metadata: Vec<(String, Value)>,
    tensors: Vec<Tensor>,
}

struct Tensor {
    name: String,
    shape: Vec<usize>,
    format: BlockFormat,
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
    pub fn tensor(
        mut self,
        name: &str,
        shape: &[usize],
        format: BlockFormat,
        bytes: Vec<u8>,
    ) -> Self {
        self.tensors.push(Tensor {
            name: name.into(),
            shape: shape.into(),
            format,
            bytes,
        });
        self
    }

    /// The file.
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
            out.extend(format.gguf_id().to_le_bytes());
            out.extend((data.len() as u64).to_le_bytes());
            data.extend(bytes);
            data.resize(data.len().next_multiple_of(alignment), 0);
        }
        out.resize(out.len().next_multiple_of(alignment), 0);
        out.extend(data);
        out
    }
}
