//! What goes wrong, with a code that programs can tell apart.

use eaglet_core::Error;

/// An error on its way to JavaScript.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// `invalid`, `unsupported`, `file`, `capacity`, `device`, `lost`,
    /// `limit`, `no_webgpu` or `memory`.
    pub code: &'static str,
    /// The cause, and the way out.
    pub message: String,
    /// Numbers that belong to the code, by name.
    pub numbers: Vec<(&'static str, usize)>,
}

impl Failure {
    /// An error without numbers.
    pub fn new(code: &'static str, message: impl Into<String>) -> Self {
        Self {
            code,
            message: message.into(),
            numbers: Vec::new(),
        }
    }

    /// A request that makes no sense.
    pub fn invalid(message: impl Into<String>) -> Self {
        Self::new("invalid", message)
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        let message = error.to_string();
        let code = match error {
            Error::Capacity {
                needed, capacity, ..
            } => {
                return Self {
                    code: "capacity",
                    message,
                    numbers: vec![("needed", needed), ("capacity", capacity)],
                };
            }
            Error::Limit { needed, actual, .. } => {
                return Self {
                    code: "limit",
                    message,
                    numbers: vec![("needed", needed), ("actual", actual)],
                };
            }
            Error::Io { .. }
            | Error::Format { .. }
            | Error::MissingTensor { .. }
            | Error::Tensor { .. }
            | Error::Tokenizer(_) => "file",
            Error::Unsupported { .. } => "unsupported",
            Error::Device(_) => "device",
            Error::Lost(_) => "lost",
            Error::Memory(_) => "memory",
            _ => "invalid",
        };
        Self::new(code, message)
    }
}
