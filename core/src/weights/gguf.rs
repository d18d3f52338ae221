//! GGUF, the single-file format of llama.cpp: reading metadata and tensors.

mod config;
mod cursor;
mod header;
mod rows;
mod value;
mod writer;

use std::borrow::Cow;
use std::path::{Path, PathBuf};
use std::sync::Arc;

pub(super) use rows::halves_from_pairs;
pub use value::{Array, Value};
pub use writer::GgufWriter;

pub(super) use self::header::Header;
use super::storage::Storage;
use super::{Checkpoint, ReadRange, Role, TensorInfo, TensorView};
use crate::error::{Error, Result};
use crate::model::ModelConfig;

/// Bytes that are tried first for the header of a file that cannot be mapped: the
/// vocabulary is in it, so it has some megabytes.
const FRONT: usize = 4 << 20;

/// An opened GGUF file, version 2 or 3, little-endian.
///
/// The header is parsed and checked when it is opened; every declared size is checked
/// against the file before anything is allocated. Tensors are read where they lie.
pub struct Gguf {
    path: PathBuf,
    storage: Storage,
    header: Header,
}

impl Gguf {
    /// Maps and checks a file. While it is open, it must not be truncated or rewritten.
    ///
    /// # Errors
    ///
    /// [`Error::Io`] where it cannot be read, [`Error::Format`] with the rule that it
    /// breaks, [`Error::Unsupported`] for other versions and tensor types.
    pub fn open(path: &Path) -> Result<Gguf> {
        Gguf::new(path, Storage::open(path)?)
    }

    /// Checks a file that is in memory already; `name` stands for its path in messages.
    ///
    /// # Errors
    ///
    /// As [`Gguf::open`].
    pub fn from_bytes(name: &Path, bytes: Vec<u8>) -> Result<Gguf> {
        Gguf::new(name, Storage::Owned(bytes))
    }

    /// Checks a file that is read in ranges; `name` stands for its path in messages.
    ///
    /// # Errors
    ///
    /// As [`Gguf::open`].
    pub fn from_source(name: &Path, file: Arc<dyn ReadRange>) -> Result<Gguf> {
        Gguf::new(name, Storage::Ranges(file))
    }

    pub(super) fn new(path: &Path, storage: Storage) -> Result<Gguf> {
        let mut wanted = FRONT;
        let header = loop {
            let front = storage.front(path, wanted)?;
            match Header::parse(path, &front, storage.len())? {
                Some(header) => break header,
                None => wanted = front.len().saturating_mul(2),
            }
        };
        Ok(Gguf {
            path: path.into(),
            storage,
            header,
        })
    }

    /// The metadata value of a key such as `tokenizer.ggml.tokens`.
    pub fn metadata(&self, key: &str) -> Option<&Value> {
        self.header.metadata.get(key)
    }

    /// All metadata, in the order of the keys.
    pub fn all_metadata(&self) -> impl Iterator<Item = (&str, &Value)> {
        self.header
            .metadata
            .iter()
            .map(|(key, value)| (key.as_str(), value))
    }

    /// The architecture as the file names it, known to eaglet or not.
    pub fn architecture(&self) -> Option<&str> {
        self.metadata("general.architecture")
            .and_then(Value::as_str)
    }

    /// The file's parts, for readers that know tensors by name.
    pub(super) fn into_parts(self) -> (Storage, Header) {
        (self.storage, self.header)
    }

    /// The rows of a projection in the order that [`Checkpoint`] promises.
    fn reordered(&self, tensor: &TensorInfo, bytes: &[u8]) -> Result<Vec<u8>> {
        let head_dim = self.config()?.head_dim;
        let rows = tensor.shape[0];
        let row_bytes = tensor.bytes / rows;
        // A quantised bias would have blocks across rows; no converter writes one.
        let whole = tensor.shape.len() > 1 || tensor.format.block_len() == 1;
        if !whole || !rows.is_multiple_of(head_dim) {
            return Err(Error::Tensor {
                path: self.path.clone(),
                name: tensor.name.clone(),
                expected: format!("whole rows, a multiple of the head dimension {head_dim}"),
                found: format!("shape {:?} in {}", tensor.shape, tensor.format),
            });
        }
        Ok(halves_from_pairs(bytes, row_bytes, head_dim))
    }

    /// Whether the converter permuted the rows of a role: in the `llama` architecture
    /// only, which is also what it calls Mistral.
    fn is_permuted(&self, role: Role) -> bool {
        self.architecture() == Some("llama")
            && matches!(
                role,
                Role::QueryWeight(_) | Role::KeyWeight(_) | Role::QueryBias(_) | Role::KeyBias(_)
            )
    }
}

impl Checkpoint for Gguf {
    fn path(&self) -> &Path {
        &self.path
    }

    fn config(&self) -> Result<ModelConfig> {
        config::read(self)
    }

    fn tensors(&self) -> Vec<TensorInfo> {
        self.header.tensors.clone()
    }

    fn tensor(&self, role: Role) -> Result<Option<TensorView<'_>>> {
        let Some((tensor, range)) = self.header.tensor(&role.gguf()) else {
            return Ok(None);
        };
        let mut bytes = self.storage.read(&self.path, range)?;
        if self.is_permuted(role) {
            bytes = Cow::Owned(self.reordered(tensor, &bytes)?);
        }
        let TensorInfo {
            name,
            shape,
            format,
            ..
        } = tensor.clone();
        Ok(Some(TensorView {
            name,
            shape,
            format,
            bytes,
        }))
    }

    fn name(&self, role: Role) -> String {
        role.gguf()
    }

    fn release(&self, role: Role) {
        if let Some((_, range)) = self.header.tensor(&role.gguf()) {
            self.storage.release(range);
        }
    }
}

#[cfg(test)]
mod tests;
