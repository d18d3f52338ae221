//! Tensors by name: for heads, whose files follow no layout of roles.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use ::safetensors::{Dtype as Number, SafeTensors};

use super::rules::unsupported;
use super::storage::Storage;
use super::{BlockFormat, Dtype, Matrix, TensorView};
use crate::error::{Error, Result};

/// A safetensors file whose tensors are asked for by name; what was never asked for is
/// found out by [`NamedTensors::finish`].
pub struct NamedTensors {
    path: PathBuf,
    tensors: BTreeMap<String, Entry>,
}

struct Entry {
    shape: Vec<usize>,
    number: Number,
    bytes: Vec<u8>,
    used: bool,
}

impl NamedTensors {
    /// Reads a file whole: heads are small.
    ///
    /// # Errors
    /// [`Error::Io`] and [`Error::Format`] with the file and the rule it breaks.
    pub fn open(path: &Path) -> Result<Self> {
        let storage = Storage::open(path)?;
        Self::from_bytes(path, &storage)
    }

    /// The same from bytes in memory; `name` stands for the file in messages.
    ///
    /// # Errors
    /// As [`NamedTensors::open`].
    pub fn from_bytes(name: &Path, bytes: &[u8]) -> Result<Self> {
        let format = |rule: String| Error::Format {
            path: name.into(),
            format: "safetensors",
            rule,
        };
        let file = SafeTensors::deserialize(bytes).map_err(|e| format(e.to_string()))?;
        let entry = |(name, view): (String, ::safetensors::tensor::TensorView<'_>)| {
            let entry = Entry {
                shape: view.shape().to_vec(),
                number: view.dtype(),
                bytes: view.data().to_vec(),
                used: false,
            };
            (name, entry)
        };
        Ok(Self {
            path: name.into(),
            tensors: file.tensors().into_iter().map(entry).collect(),
        })
    }

    /// The file, for messages.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Renames tensors, as different exporters call the same thing differently. `None`
    /// drops one.
    ///
    /// # Errors
    /// Two tensors get one name.
    pub fn rename(&mut self, rule: impl Fn(&str) -> Option<String>) -> Result<()> {
        let mut renamed = BTreeMap::new();
        for (old, entry) in std::mem::take(&mut self.tensors) {
            let Some(name) = rule(&old) else { continue };
            if renamed.insert(name.clone(), entry).is_some() {
                return Err(self.wrong(&name, "one tensor of this meaning", "two"));
            }
        }
        self.tensors = renamed;
        Ok(())
    }

    /// A tensor's shape, if it is there.
    pub fn shape(&self, name: &str) -> Option<&[usize]> {
        self.tensors.get(name).map(|entry| &entry.shape[..])
    }

    /// A matrix `[rows, cols]` in `dtype`.
    ///
    /// # Errors
    /// It is missing, has another shape, or holds values that are not finite.
    pub fn matrix(&mut self, name: &str, shape: [usize; 2], dtype: Dtype) -> Result<Matrix<'_>> {
        self.read(name, &shape, dtype)
    }

    /// A vector of `len` values in f32.
    ///
    /// # Errors
    /// As [`NamedTensors::matrix`].
    pub fn vector(&mut self, name: &str, len: usize) -> Result<Vec<f32>> {
        Ok(self.read(name, &[len], Dtype::F32)?.to_f32())
    }

    fn read(&mut self, name: &str, shape: &[usize], dtype: Dtype) -> Result<Matrix<'_>> {
        self.check(name, shape)?;
        let path = self.path.clone();
        let Some(entry) = self.tensors.get_mut(name) else {
            return Err(Error::MissingTensor {
                path,
                name: name.into(),
            });
        };
        entry.used = true;
        let format = match entry.number {
            Number::F32 => BlockFormat::F32,
            Number::F16 => BlockFormat::F16,
            Number::BF16 => BlockFormat::BF16,
            other => {
                let what = format!("tensor `{name}`: number type {other:?}");
                return Err(unsupported(&path, what, "F32, F16, BF16"));
            }
        };
        let view = TensorView {
            name: name.into(),
            shape: entry.shape.clone(),
            format,
            bytes: (&entry.bytes[..]).into(),
        };
        Matrix::new(&path, view, dtype)
    }

    /// Integers, of 32 or 64 bits.
    ///
    /// # Errors
    /// It is missing, has another length, or holds no integers.
    pub fn integers(&mut self, name: &str, len: usize) -> Result<Vec<i64>> {
        self.check(name, &[len])?;
        let found = self.tensors.get_mut(name).and_then(|entry| {
            entry.used = true;
            let bytes = &entry.bytes;
            match entry.number {
                Number::I64 => Some(integers(bytes, i64::from_le_bytes)),
                Number::I32 => Some(integers(bytes, |b| i32::from_le_bytes(b).into())),
                _ => None,
            }
        });
        found.ok_or_else(|| self.wrong(name, "integers of 32 or 64 bits", "another type"))
    }

    /// Marks a tensor as known though its values are not needed.
    pub fn ignore(&mut self, name: &str) {
        if let Some(entry) = self.tensors.get_mut(name) {
            entry.used = true;
        }
    }

    /// Ends the reading.
    ///
    /// # Errors
    /// A tensor was never asked for: the file is not what it was taken for.
    pub fn finish(self) -> Result<()> {
        match self.tensors.iter().find(|(_, entry)| !entry.used) {
            Some((name, _)) => Err(self.wrong(name, "no such tensor", "one")),
            None => Ok(()),
        }
    }

    fn check(&self, name: &str, shape: &[usize]) -> Result<()> {
        match self.shape(name) {
            None => Err(Error::MissingTensor {
                path: self.path.clone(),
                name: name.into(),
            }),
            Some(found) if found != shape => {
                Err(self.wrong(name, &format!("shape {shape:?}"), &format!("{found:?}")))
            }
            Some(_) => Ok(()),
        }
    }

    fn wrong(&self, name: &str, expected: &str, found: &str) -> Error {
        Error::Tensor {
            path: self.path.clone(),
            name: name.into(),
            expected: expected.into(),
            found: found.into(),
        }
    }
}

fn integers<const N: usize>(bytes: &[u8], read: impl Fn([u8; N]) -> i64) -> Vec<i64> {
    let (chunks, _) = bytes.as_chunks::<N>();
    chunks.iter().map(|chunk| read(*chunk)).collect()
}
