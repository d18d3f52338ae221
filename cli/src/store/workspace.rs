//! The right to change a store, and how unfinished things become finished ones.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::path::{Path, PathBuf};

use tempfile::TempDir;

use super::error::{IoContext, Result};
use super::manifest::Manifest;
use crate::progress::Progress;

/// An exclusive hold on a store. The system lets go of it when the process ends,
/// however it ends, so whatever a new holder finds in `tmp` is abandoned.
#[derive(Debug)]
pub struct Workspace {
    _lock: File,
    tmp: PathBuf,
}

impl Workspace {
    /// Takes the lock of the store at `root`, waiting for another holder, and removes
    /// what interrupted runs left behind.
    pub fn lock(root: &Path, progress: Progress) -> Result<Self> {
        fs::create_dir_all(root).during("create", root)?;
        let path = root.join("lock");
        let lock = OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(false)
            .open(&path)
            .during("open", &path)?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                progress.note("waiting for another eaglet that is fetching a model");
                lock.lock().during("lock", &path)?;
            }
            Err(TryLockError::Error(e)) => Err(e).during("lock", &path)?,
        }
        let tmp = root.join("tmp");
        match fs::remove_dir_all(&tmp) {
            Err(e) if e.kind() != std::io::ErrorKind::NotFound => Err(e).during("empty", &tmp)?,
            _ => fs::create_dir_all(&tmp).during("create", &tmp)?,
        }
        Ok(Self { _lock: lock, tmp })
    }

    /// A new empty folder, on the file system of the store; removed when dropped.
    pub fn folder(&self) -> Result<TempDir> {
        TempDir::new_in(&self.tmp).during("create a folder in", &self.tmp)
    }

    /// Makes `staged` the model folder `target`, all at once. An older `target` is
    /// replaced.
    pub fn publish(&self, staged: TempDir, manifest: &Manifest, target: &Path) -> Result<()> {
        manifest.write(staged.path())?;
        sync(staged.path())?;
        let parent = target.parent().unwrap_or(target);
        fs::create_dir_all(parent).during("create", parent)?;
        // A folder cannot be renamed over a full one: move the old one aside. A crash
        // between the two renames loses the old model, which can be fetched again.
        let aside = self.folder()?;
        if target.exists() {
            fs::rename(target, aside.path().join("old")).during("replace", target)?;
        }
        fs::rename(staged.path(), target).during("create", target)?;
        // Nothing is left at the old path for its guard to remove.
        let _ = staged.keep();
        sync_folder(parent)
    }
}

/// Flushes every file under `folder`, then the folders, to the disk: a rename must
/// not become visible before the bytes that it vouches for.
fn sync(folder: &Path) -> Result<()> {
    for entry in fs::read_dir(folder).during("list", folder)? {
        let path = entry.during("list", folder)?.path();
        if path.is_dir() {
            sync(&path)?;
        } else {
            // Windows flushes only what is open for writing.
            let file = OpenOptions::new().write(true).open(&path);
            file.and_then(|file| file.sync_all())
                .during("sync", &path)?;
        }
    }
    sync_folder(folder)
}

/// Flushes the names in `folder`; a matter of Unix alone.
fn sync_folder(folder: &Path) -> Result<()> {
    if cfg!(unix) {
        let file = File::open(folder).during("open", folder)?;
        file.sync_all().during("sync", folder)?;
    }
    Ok(())
}

/// The bytes of all files under `folder`, as far as they can be seen: files may come
/// and go while it looks.
pub fn size_of(folder: &Path) -> u64 {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    let sizes = entries.map(|entry| match entry.metadata() {
        Ok(meta) if meta.is_dir() => size_of(&entry.path()),
        Ok(meta) => meta.len(),
        Err(_) => 0,
    });
    sizes.sum()
}
