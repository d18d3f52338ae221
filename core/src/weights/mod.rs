//! Checkpoints on disk: what tensors a file holds, in which block format, and how a
//! model finds them by role whatever the file calls them.
//!
//! Nothing here knows a device: a [`TensorView`] borrows bytes from a memory map (or holds
//! those it was read from, where there are no maps), and
//! [`Matrix`] is the small set of layouts that devices pack.

mod atomic;
mod block;
mod dequantize;
mod dtype;
mod encode;
mod file;
mod gguf;
mod matrix;
mod named;
mod names;
mod random;
mod rules;
mod safetensors;
mod source;
mod storage;

use std::borrow::Cow;
use std::path::Path;

pub use atomic::write_atomically;
pub use block::BlockFormat;
pub use dequantize::dequantize;
pub use dtype::Dtype;
pub use file::ModelFile;
pub use gguf::{Array, Gguf, GgufWriter, Value};
pub use matrix::Matrix;
pub use named::{NamedTensor, NamedTensors};
pub use names::Role;
pub use random::RandomWeights;
pub(crate) use rules::{is_positive, scaling};
pub(crate) use safetensors::Rope;
pub use safetensors::{SafetensorsFolder, SafetensorsWriter};
pub use source::{Folder, ReadRange, SourceFile};

use crate::error::Result;
use crate::model::ModelConfig;

/// One tensor of a checkpoint, borrowed from its file.
#[derive(Clone, Debug)]
pub struct TensorView<'a> {
    /// The name in the file.
    pub name: String,
    /// Row-major shape, outermost first: a linear layer is `[out, in]`.
    pub shape: Vec<usize>,
    /// How `bytes` encode the values.
    pub format: BlockFormat,
    /// The encoded values, `format.bytes_for(elements)` of them. Owned only where the
    /// rows had to be reordered (see [`Role::QueryWeight`]), are made up
    /// ([`RandomWeights`]), or were read from a file that cannot be mapped ([`ReadRange`]).
    pub bytes: Cow<'a, [u8]>,
}

/// An opened model: configuration, tensors, and what the tokenizer and template need.
///
/// The tensors come out as Hugging Face lays them out: linear weights `[out, in]`, and
/// rotary dimensions as two halves, never interleaved. Readers convert (GGUF's `llama`
/// architecture permutes the rows of Q and K; [`Gguf`] undoes it, once, here).
pub trait Checkpoint: Send + Sync {
    /// The file or folder, for messages.
    fn path(&self) -> &Path;
    /// The architecture and its numbers, checked for sense.
    fn config(&self) -> Result<ModelConfig>;
    /// Every tensor name in the file, in file order, with shape and format.
    fn tensors(&self) -> Vec<TensorInfo>;
    /// The tensor for a role, or `None` where the file has none of that name.
    fn tensor(&self, role: Role) -> Result<Option<TensorView<'_>>>;
    /// The name that this checkpoint gives a role, for messages.
    fn name(&self, role: Role) -> String;
    /// Tells the system that a tensor's pages will not be needed again soon, so that
    /// packing a model does not hold the file in memory twice.
    fn release(&self, role: Role);
}

/// What a checkpoint says of one tensor, without its values.
#[derive(Clone, Debug)]
pub struct TensorInfo {
    /// The name in the file.
    pub name: String,
    /// Row-major shape, outermost first.
    pub shape: Vec<usize>,
    /// How the values are encoded.
    pub format: BlockFormat,
    /// Encoded size in bytes.
    pub bytes: usize,
}
