//! `eaglet.json`: what a model folder is, written before the folder is published.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::error::{IoContext, Result};

const FILE: &str = "eaglet.json";

/// What a folder in the store holds.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Manifest {
    /// The model, as [`ModelRef`](super::ModelRef) prints it.
    pub name: String,
    /// Where it came from, exactly: a package version or a commit.
    pub source: String,
    /// The file to open; none means the folder itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub file: Option<String>,
}

impl Manifest {
    /// The manifest of `folder`, if it has a readable one.
    pub fn read(folder: &Path) -> Option<Self> {
        let text = std::fs::read(folder.join(FILE)).ok()?;
        serde_json::from_slice(&text).ok()
    }

    /// Writes the manifest into `folder`.
    pub fn write(&self, folder: &Path) -> Result<()> {
        let path = folder.join(FILE);
        let text = serde_json::to_vec_pretty(self).map_err(Into::into);
        text.and_then(|text| std::fs::write(&path, text))
            .during("write", &path)
    }

    /// What to open, when the model's folder is `folder`.
    pub fn open_path(&self, folder: &Path) -> PathBuf {
        match &self.file {
            Some(file) => folder.join(file),
            None => folder.into(),
        }
    }
}
