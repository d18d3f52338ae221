//! One safetensors file: a `u64` header length, the header in JSON, the tensors' data.

use std::ops::Range;
use std::path::PathBuf;

use ::safetensors::Dtype;
use ::safetensors::tensor::Metadata;

use crate::error::{Error, Result};
use crate::weights::rules::unsupported;
use crate::weights::storage::Storage;
use crate::weights::{BlockFormat, TensorInfo};

/// A file and its bytes.
pub(in crate::weights) struct Shard {
    pub(in crate::weights) path: PathBuf,
    pub(in crate::weights) storage: Storage,
}

/// A tensor and where it lies.
pub(super) struct Located {
    pub(super) info: TensorInfo,
    /// Index of the shard.
    pub(super) shard: usize,
    /// Its bytes in that shard.
    pub(super) range: Range<usize>,
}

impl Shard {
    /// The tensors of the file, the shard at `index`, in file order; every range lies
    /// within the file.
    ///
    /// [`Error::Format`] for a broken header, [`Error::Unsupported`] for number types that
    /// are not read here.
    pub(super) fn tensors(&self, index: usize) -> Result<Vec<Located>> {
        let (metadata, start) = self.header()?;
        let mut tensors = Vec::new();
        for name in metadata.offset_keys() {
            let Some(tensor) = metadata.info(&name) else {
                continue;
            };
            let format = match tensor.dtype {
                Dtype::F32 => BlockFormat::F32,
                Dtype::F16 => BlockFormat::F16,
                Dtype::BF16 => BlockFormat::BF16,
                other => {
                    let what = format!("tensor `{name}`: number type {other:?}");
                    return Err(unsupported(&self.path, what, "F32, F16, BF16"));
                }
            };
            let (begin, end) = tensor.data_offsets;
            let (shape, bytes) = (tensor.shape.clone(), end - begin);
            tensors.push(Located {
                info: TensorInfo {
                    name,
                    shape,
                    format,
                    bytes,
                },
                shard: index,
                range: start + begin..start + end,
            });
        }
        Ok(tensors)
    }

    /// The header, and where the data start. Parsing it checks that the tensors lie side by
    /// side and are as long as their shapes say; here, that they end where the file does.
    pub(in crate::weights) fn header(&self) -> Result<(Metadata, usize)> {
        const LENGTH: usize = size_of::<u64>();
        let truncated = |what: &str| self.invalid(format!("truncated within {what}"));
        let front = self.storage.front(&self.path, LENGTH)?;
        let length = front
            .first_chunk()
            .ok_or_else(|| truncated("the length of the header"))?;
        let length = u64::from_le_bytes(*length);
        let start = usize::try_from(length)
            .ok()
            .and_then(|length| length.checked_add(LENGTH))
            .filter(|&start| start <= self.storage.len())
            .ok_or_else(|| truncated(&format!("a header of {length} bytes")))?;
        let header = self.storage.read(&self.path, LENGTH..start)?;
        let metadata: Metadata =
            serde_json::from_slice(&header).map_err(|error| self.invalid(error.to_string()))?;
        let (expected, found) = (metadata.data_len(), self.storage.len() - start);
        if expected != found {
            let rule = format!("the tensors need {expected} bytes, found {found}");
            return Err(self.invalid(rule));
        }
        Ok((metadata, start))
    }

    /// An [`Error::Format`] with the rule that this file breaks.
    pub(super) fn invalid(&self, rule: String) -> Error {
        Error::Format {
            path: self.path.clone(),
            format: "safetensors",
            rule,
        }
    }
}
