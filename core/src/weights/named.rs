//! Tensors by name: for heads, whose files follow no layout of roles.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use ::safetensors::Dtype as Number;

use super::gguf::halves_from_pairs;
use super::rules::unsupported;
use super::safetensors::Shard;
use super::storage::Storage;
use super::{BlockFormat, Dtype, Gguf, Matrix, ReadRange, TensorView, Value};
use crate::error::{Error, Result};

/// A safetensors or GGUF file whose tensors are asked for by name; what was never asked
/// for is found out by [`NamedTensors::finish`].
pub struct NamedTensors {
    path: PathBuf,
    storage: Storage,
    /// Of a GGUF file.
    metadata: Option<BTreeMap<String, Value>>,
    tensors: BTreeMap<String, Entry>,
}

/// What a file says of one tensor, without its values.
#[derive(Clone, Debug)]
pub struct NamedTensor<'a> {
    /// The name, in the file or after [`NamedTensors::rename`].
    pub name: &'a str,
    /// Row-major shape, outermost first.
    pub shape: &'a [usize],
    /// How the values are encoded: `F16`, `Q8_0`, `I64`..
    pub format: String,
    /// Encoded size in bytes.
    pub bytes: usize,
}

struct Entry {
    shape: Vec<usize>,
    encoding: Encoding,
    range: Range<usize>,
    /// The head dimension, where rows lie in rotary pairs and not in halves.
    paired: Option<usize>,
    used: bool,
}

#[derive(Clone, Copy)]
enum Encoding {
    Values(BlockFormat),
    /// Whole numbers of 4 or 8 bytes.
    Integers(usize),
    /// What only safetensors files have: tables of truth values.
    Other(Number),
}

impl NamedTensors {
    /// Maps a file, of whichever of the two formats its first bytes show. While it is
    /// open, it must not be truncated or rewritten.
    ///
    /// # Errors
    /// [`Error::Io`] and [`Error::Format`] with the file and the rule it breaks.
    pub fn open(path: &Path) -> Result<Self> {
        Self::new(path, Storage::open(path)?)
    }

    /// The same from bytes in memory; `name` stands for the file in messages.
    ///
    /// # Errors
    /// As [`NamedTensors::open`].
    pub fn from_bytes(name: &Path, bytes: &[u8]) -> Result<Self> {
        Self::new(name, Storage::Owned(bytes.to_vec()))
    }

    /// The same from a file that is read in ranges; `name` stands for it in messages.
    ///
    /// # Errors
    /// As [`NamedTensors::open`].
    pub fn from_source(name: &Path, file: Arc<dyn ReadRange>) -> Result<Self> {
        Self::new(name, Storage::Ranges(file))
    }

    fn new(path: &Path, storage: Storage) -> Result<Self> {
        let gguf = storage.front(path, 4)?.starts_with(b"GGUF");
        match gguf {
            true => Self::gguf(path, storage),
            false => Self::safetensors(path, storage),
        }
    }

    fn gguf(path: &Path, storage: Storage) -> Result<Self> {
        let (storage, header) = Gguf::new(path, storage)?.into_parts();
        let values = header.tensors.iter().filter_map(|tensor| {
            let (tensor, range) = header.tensor(&tensor.name)?;
            let encoding = Encoding::Values(tensor.format);
            Some((tensor.name.clone(), tensor.shape.clone(), encoding, range))
        });
        let integers = header.integers.iter().map(|tensor| {
            let encoding = Encoding::Integers(tensor.width);
            let (name, shape) = (tensor.name.clone(), tensor.shape.clone());
            (name, shape, encoding, tensor.range.clone())
        });
        let tensors = values.chain(integers).map(Entry::named).collect();
        Ok(Self {
            path: path.into(),
            storage,
            metadata: Some(header.metadata),
            tensors,
        })
    }

    fn safetensors(path: &Path, storage: Storage) -> Result<Self> {
        let shard = Shard {
            path: path.into(),
            storage,
        };
        let (header, start) = shard.header()?;
        let tensors = header.tensors().into_iter().map(|(name, info)| {
            let encoding = match info.dtype {
                Number::F32 => Encoding::Values(BlockFormat::F32),
                Number::F16 => Encoding::Values(BlockFormat::F16),
                Number::BF16 => Encoding::Values(BlockFormat::BF16),
                Number::I32 => Encoding::Integers(4),
                Number::I64 => Encoding::Integers(8),
                other => Encoding::Other(other),
            };
            let (begin, end) = info.data_offsets;
            let range = start + begin..start + end;
            Entry::named((name, info.shape.clone(), encoding, range))
        });
        let tensors = tensors.collect();
        Ok(Self {
            path: path.into(),
            storage: shard.storage,
            metadata: None,
            tensors,
        })
    }

    /// The file, for messages.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The format of the file, for messages.
    pub fn format(&self) -> &'static str {
        match self.metadata {
            Some(_) => "GGUF",
            None => "safetensors",
        }
    }

    /// What a GGUF file says of itself under a key; `None` without one, and for
    /// safetensors, whose configuration lies beside it.
    pub fn metadata(&self, key: &str) -> Option<&Value> {
        self.metadata.as_ref()?.get(key)
    }

    /// The architecture that a GGUF file names.
    pub fn architecture(&self) -> Option<&str> {
        self.metadata("general.architecture")
            .and_then(Value::as_str)
    }

    /// Every tensor, by rising name.
    pub fn tensors(&self) -> impl Iterator<Item = NamedTensor<'_>> {
        self.tensors.iter().map(|(name, entry)| NamedTensor {
            name,
            shape: &entry.shape,
            format: entry.encoding.name(),
            bytes: entry.range.len(),
        })
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

    /// Says that a tensor's rows lie as llama.cpp's rotation wants them, neighbours in
    /// pairs, heads of `dim` rows: they are read in Hugging Face's order, in halves.
    pub fn is_paired(&mut self, name: &str, dim: usize) {
        if let Some(entry) = self.tensors.get_mut(name) {
            entry.paired = Some(dim);
        }
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
        self.ignore(name);
        let Some(entry) = self.tensors.get(name) else {
            return Err(self.missing(name));
        };
        let Encoding::Values(format) = entry.encoding else {
            let what = format!("tensor `{name}`: number type {}", entry.encoding.name());
            return Err(unsupported(&self.path, what, "F32, F16, BF16"));
        };
        let bytes = self.storage.read(&self.path, entry.range.clone())?;
        // Rows of a quantised vector would be parts of a block; no converter writes one.
        let whole = shape.len() > 1 || format.block_len() == 1;
        let bytes = match entry.paired {
            Some(dim) if whole && shape[0].is_multiple_of(dim) => {
                Cow::Owned(halves_from_pairs(&bytes, bytes.len() / shape[0], dim))
            }
            Some(dim) => {
                let expected = format!("whole rows, a multiple of the head dimension {dim}");
                return Err(self.wrong(name, &expected, &format!("{shape:?} in {format}")));
            }
            None => bytes,
        };
        let view = TensorView {
            name: name.into(),
            shape: entry.shape.clone(),
            format,
            bytes,
        };
        Matrix::new(&self.path, view, dtype)
    }

    /// Integers, of 32 or 64 bits.
    ///
    /// # Errors
    /// It is missing, has another length, or holds no integers.
    pub fn integers(&mut self, name: &str, len: usize) -> Result<Vec<i64>> {
        self.check(name, &[len])?;
        self.ignore(name);
        let Some(entry) = self.tensors.get(name) else {
            return Err(self.missing(name));
        };
        let bytes = self.storage.read(&self.path, entry.range.clone())?;
        match entry.encoding {
            Encoding::Integers(8) => Ok(integers(&bytes, i64::from_le_bytes)),
            Encoding::Integers(4) => Ok(integers(&bytes, |b| i32::from_le_bytes(b).into())),
            _ => Err(self.wrong(name, "integers of 32 or 64 bits", "another type")),
        }
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
            None => Err(self.missing(name)),
            Some(found) if found != shape => {
                Err(self.wrong(name, &format!("shape {shape:?}"), &format!("{found:?}")))
            }
            Some(_) => Ok(()),
        }
    }

    /// An [`Error::MissingTensor`] of this file.
    pub fn missing(&self, name: &str) -> Error {
        Error::MissingTensor {
            path: self.path.clone(),
            name: name.into(),
        }
    }

    /// An [`Error::Tensor`] of this file.
    pub fn wrong(&self, name: &str, expected: &str, found: &str) -> Error {
        Error::Tensor {
            path: self.path.clone(),
            name: name.into(),
            expected: expected.into(),
            found: found.into(),
        }
    }
}

impl Entry {
    fn named(
        (name, shape, encoding, range): (String, Vec<usize>, Encoding, Range<usize>),
    ) -> (String, Self) {
        let entry = Self {
            shape,
            encoding,
            range,
            paired: None,
            used: false,
        };
        (name, entry)
    }
}

impl Encoding {
    fn name(self) -> String {
        match self {
            Self::Values(format) => format.to_string(),
            Self::Integers(bytes) => format!("I{}", 8 * bytes),
            Self::Other(number) => format!("{number:?}"),
        }
    }
}

fn integers<const N: usize>(bytes: &[u8], read: impl Fn([u8; N]) -> i64) -> Vec<i64> {
    let (chunks, _) = bytes.as_chunks::<N>();
    chunks.iter().map(|chunk| read(*chunk)).collect()
}
