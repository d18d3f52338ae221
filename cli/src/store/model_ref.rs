//! What a person may type where a model is wanted.

use std::fmt;
use std::path::{Path, PathBuf};

use super::catalogue::{self, DEFAULT_MODEL, Entry};
use super::error::{Error, Result};
use super::hub::HubRef;

/// A model that can be found or fetched.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ModelRef {
    /// A GGUF file or a model folder, outside the store's care.
    Path(PathBuf),
    /// A model with a short name.
    Catalogue(&'static Entry),
    /// A repository of the Hugging Face hub, or one file of it.
    Hub(HubRef),
}

impl ModelRef {
    /// Understands `text`: nothing (the default model), a name from the catalogue,
    /// `hf:OWNER/NAME[/FILE.gguf][@REVISION]`, or an existing path, in this order. A
    /// file that is called as a catalogue entry is reached as `./NAME`.
    pub fn parse(text: &str) -> Result<Self> {
        let name = if text.is_empty() { DEFAULT_MODEL } else { text };
        if let Some(entry) = catalogue::find(name) {
            return Ok(Self::Catalogue(entry));
        }
        let unknown = |reason| Error::Unknown {
            given: text.into(),
            reason,
        };
        if let Some(repo) = text.strip_prefix("hf:") {
            return HubRef::parse(repo).map(Self::Hub).map_err(unknown);
        }
        if Path::new(text).exists() {
            return Ok(Self::Path(text.into()));
        }
        Err(unknown(
            if text.contains(['/', '\\']) || text.ends_with(".gguf") {
                "no such file or folder"
            } else {
                "no file, folder or catalogue entry has this name"
            },
        ))
    }

    /// The name of its folder in the store. Two references may share one (`a/b` and
    /// `a--b`); the manifest inside tells whose it is.
    pub(super) fn folder_name(&self) -> String {
        self.to_string().replace(['/', ':'], "--")
    }
}

impl fmt::Display for ModelRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Path(path) => path.display().fmt(f),
            Self::Catalogue(entry) => f.write_str(entry.name),
            Self::Hub(repo) => write!(f, "hf:{repo}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_form_is_understood() {
        let smollm = ModelRef::parse(DEFAULT_MODEL).unwrap();
        assert!(matches!(smollm, ModelRef::Catalogue(_)));
        assert_eq!(ModelRef::parse("").unwrap(), smollm);
        assert_eq!(ModelRef::parse("SmolLM2-135M-Instruct").unwrap(), smollm);
        assert_eq!(ModelRef::parse(".").unwrap(), ModelRef::Path(".".into()));

        for text in [
            "hf:o/n",
            "hf:o/n@v1",
            "hf:o/n/q4/a.gguf",
            "hf:o/n/a.gguf@v1",
        ] {
            assert_eq!(ModelRef::parse(text).unwrap().to_string(), text);
        }
    }

    #[test]
    fn a_refusal_lists_what_would_work() {
        for text in ["nope", "./nope.gguf", "hf:", "hf:one", "hf:o/../x", "\0"] {
            let message = ModelRef::parse(text).unwrap_err().to_string();
            assert!(message.contains(DEFAULT_MODEL), "{message}");
            assert!(message.contains("hf:OWNER/NAME"), "{message}");
        }
    }

    #[test]
    fn folder_names_are_single_and_harmless() {
        let model = ModelRef::parse("hf:o/n/q4/a.gguf@refs/pr/1").unwrap();
        assert_eq!(model.folder_name(), "hf--o--n--q4--a.gguf@refs--pr--1");
    }
}
