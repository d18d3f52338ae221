//! Files where there is no file system: named, and read in ranges.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::storage::Storage;
use crate::error::{Error, Result};

/// A file that is read a range at a time: a browser's Blob, or anything like it. It must
/// hold the same bytes for as long as it is used.
pub trait ReadRange: Send + Sync {
    /// Bytes in all.
    fn size(&self) -> usize;

    /// Fills `to` with the bytes from `offset` on; the range lies within the file.
    ///
    /// # Errors
    /// What the system says.
    fn read(&self, offset: usize, to: &mut [u8]) -> io::Result<()>;
}

/// A file that was handed over, and its name.
pub type SourceFile = (String, Arc<dyn ReadRange>);

/// A model's folder: on disk, or files that were handed over.
pub struct Folder {
    path: PathBuf,
    /// By name, where there is no disk.
    files: Option<BTreeMap<String, Arc<dyn ReadRange>>>,
}

impl Folder {
    /// A folder on disk, whether it exists or not.
    pub fn on_disk(path: impl Into<PathBuf>) -> Self {
        Self {
            path: path.into(),
            files: None,
        }
    }

    /// A folder of these files; `name` stands for its path in messages.
    pub fn of(name: impl Into<PathBuf>, files: Vec<SourceFile>) -> Self {
        Self {
            path: name.into(),
            files: Some(files.into_iter().collect()),
        }
    }

    /// Its path, or the name that stands for it.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Whether it holds a file of that name.
    pub fn has(&self, name: &str) -> bool {
        match &self.files {
            Some(files) => files.contains_key(name),
            None => self.path.join(name).exists(),
        }
    }

    /// A small file, whole.
    ///
    /// # Errors
    /// [`Error::Io`] where it cannot be read, or is not there.
    pub fn read(&self, name: &str) -> Result<Vec<u8>> {
        let path = self.path.join(name);
        if self.files.is_some() {
            let storage = self.storage(name)?;
            return Ok(storage.read(&path, 0..storage.len())?.into_owned());
        }
        std::fs::read(&path).map_err(|source| Error::Io { path, source })
    }

    /// The same, or `None` where there is no such file.
    ///
    /// # Errors
    /// It is there and cannot be read.
    pub fn read_optional(&self, name: &str) -> Result<Option<Vec<u8>>> {
        match self.read(name) {
            Ok(bytes) => Ok(Some(bytes)),
            Err(Error::Io { source, .. }) if source.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// A large file's bytes, not yet read.
    pub(super) fn storage(&self, name: &str) -> Result<Storage> {
        let path = self.path.join(name);
        match &self.files {
            None => Storage::open(&path),
            Some(files) => match files.get(name) {
                Some(file) => Ok(Storage::Ranges(file.clone())),
                None => Err(Error::Io {
                    path,
                    source: io::ErrorKind::NotFound.into(),
                }),
            },
        }
    }
}

/// Bytes in memory are a file, too.
impl ReadRange for Vec<u8> {
    fn size(&self) -> usize {
        self.len()
    }

    fn read(&self, offset: usize, to: &mut [u8]) -> io::Result<()> {
        let from = self.get(offset..).and_then(|rest| rest.get(..to.len()));
        to.copy_from_slice(from.ok_or(io::ErrorKind::UnexpectedEof)?);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_in_memory_are_a_folder() -> Result<()> {
        let folder = Folder::of("m", vec![("a.json".into(), Arc::new(b"{}".to_vec()))]);
        assert!(folder.has("a.json") && !folder.has("b.json"));
        assert_eq!(folder.read("a.json")?, b"{}");
        assert_eq!(folder.read_optional("b.json")?, None);
        let missing = folder.read("b.json").err().map(|e| e.to_string());
        let path = Path::new("m").join("b.json");
        let named = format!("cannot read {}: ", path.display());
        assert!(missing.is_some_and(|message| message.starts_with(&named)));
        Ok(())
    }
}
