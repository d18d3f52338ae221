//! The one error type of the crate: every variant names the cause and the way out.

use std::path::PathBuf;

/// What can go wrong between a file on disk and a token on screen.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A file or folder could not be read.
    #[error("cannot read {}: {source}", path.display())]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// What the operating system said.
        source: std::io::Error,
    },
    /// A file could not be written.
    #[error("cannot write {}: {source}", path.display())]
    Write {
        /// The file.
        path: PathBuf,
        /// What the operating system said.
        source: std::io::Error,
    },
    /// A file breaks a rule of its own format.
    #[error("{}: not a valid {format} file: {rule}", path.display())]
    Format {
        /// The file.
        path: PathBuf,
        /// `"GGUF"`, `"safetensors"`, `"config.json"`...
        format: &'static str,
        /// The rule that is broken, with the values found.
        rule: String,
    },
    /// A tensor that the model needs is not in the checkpoint.
    #[error("{}: tensor `{name}` is missing", path.display())]
    MissingTensor {
        /// The checkpoint.
        path: PathBuf,
        /// The tensor's name in that checkpoint's own naming.
        name: String,
    },
    /// A tensor is there but is not what the configuration says.
    #[error("{}: tensor `{name}`: expected {expected}, found {found}", path.display())]
    Tensor {
        /// The checkpoint.
        path: PathBuf,
        /// The tensor's name.
        name: String,
        /// What the configuration implies, for example a shape `[576, 1536]`.
        expected: String,
        /// What the file holds.
        found: String,
    },
    /// A valid file that asks for something eaglet does not do.
    #[error("{}: {what} is not supported; supported: {supported}", path.display())]
    Unsupported {
        /// The file.
        path: PathBuf,
        /// What was asked for, by name.
        what: String,
        /// What would work.
        supported: String,
    },
    /// Tokens do not fit into the context.
    #[error("{needed} tokens do not fit into the context of {capacity}: {hint}")]
    Capacity {
        /// Positions needed.
        needed: usize,
        /// Positions there are.
        capacity: usize,
        /// The way out.
        hint: &'static str,
    },
    /// The tokenizer could not be built or refused the text.
    #[error("tokenizer: {0}")]
    Tokenizer(String),
    /// The chat template is malformed or refused the messages.
    #[error("chat template: {0}")]
    Template(String),
    /// A device failed while running. One that is not there is [`Error::Invalid`].
    #[error("device: {0}")]
    Device(String),
    /// A device went away, and all that lay on it. The next one starts from the files.
    #[error("the device was lost: {0}")]
    Lost(String),
    /// A device gives less of something in one piece than is needed.
    #[error("{needed} {what} are needed, and this device gives at most {actual}: {hint}")]
    Limit {
        /// What there is too little of, in the plural: `bytes in one piece`.
        what: &'static str,
        /// How much is needed.
        needed: usize,
        /// How much there is.
        actual: usize,
        /// The way out.
        hint: &'static str,
    },
    /// There is no memory, or no address space, for something.
    #[error("no memory for {0}")]
    Memory(String),
    /// An option has a value that makes no sense, or none on this machine.
    #[error("{0}")]
    Invalid(String),
}

/// [`std::result::Result`] with this crate's [`Error`].
pub type Result<T, E = Error> = std::result::Result<T, E>;
