//! `OWNER/NAME[/FILE.gguf][@REVISION]`: a repository of the hub, or one file of it.

use std::fmt;

use super::plan::is_safe;

/// What to fetch from the hub.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HubRef {
    /// `OWNER/NAME`.
    pub repo: String,
    /// One GGUF file; none lets the repository's content decide.
    pub file: Option<String>,
    /// A branch, tag or commit; none means `main`.
    pub revision: Option<String>,
}

impl HubRef {
    /// Understands what follows `hf:`, or says which rule it breaks.
    pub fn parse(text: &str) -> Result<Self, &'static str> {
        let (path, revision) = match text.split_once('@') {
            Some((path, revision)) => (path, Some(revision)),
            None => (text, None),
        };
        let mut parts = path.splitn(3, '/');
        let (Some(owner), Some(name), file) = (parts.next(), parts.next(), parts.next()) else {
            return Err("a repository is OWNER/NAME");
        };
        if !is_safe(owner) || !is_safe(name) {
            return Err("owners and names have letters, digits, `-`, `_` and inner `.` only");
        }
        if revision.is_some_and(|revision| !is_safe(revision)) {
            return Err("a revision is a branch, tag or commit");
        }
        if file.is_some_and(|file| !is_safe(file) || !is_gguf(file)) {
            return Err("the file of a repository is a .gguf file");
        }
        Ok(Self {
            repo: format!("{owner}/{name}"),
            file: file.map(Into::into),
            revision: revision.map(Into::into),
        })
    }
}

/// Whether a file is GGUF by its name.
pub fn is_gguf(file: &str) -> bool {
    file.to_ascii_lowercase().ends_with(".gguf")
}

impl fmt::Display for HubRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.repo)?;
        if let Some(file) = &self.file {
            write!(f, "/{file}")?;
        }
        if let Some(revision) = &self.revision {
            write!(f, "@{revision}")?;
        }
        Ok(())
    }
}
