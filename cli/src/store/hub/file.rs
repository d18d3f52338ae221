//! One file of a repository: fetched, checked, linked into a model folder.

use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use hf_hub::CacheRepo;
use hf_hub::api::sync::{Api, ApiError, ApiRepo, Metadata};
use indicatif::ProgressBar;

use super::super::content::Content;
use super::super::error::{Error, IoContext, Result};
use super::reference::HubRef;
use super::{failed, refused};
use crate::progress::Progress;

const SHA256_DIGITS: usize = 64;

/// The files of one commit.
pub struct Files<'a> {
    /// What was asked for, for messages.
    pub want: &'a HubRef,
    /// The hub.
    pub api: Api,
    /// The repository at one commit.
    pub repo: ApiRepo,
    /// Where `hf-hub` keeps that commit.
    pub cache: CacheRepo,
    /// Where to show how far it is.
    pub progress: Progress,
}

impl Files<'_> {
    /// Fetches the file `name`, whose name is known to be safe, into the folder `into`.
    pub fn fetch(&self, name: &str, into: &Path) -> Result<()> {
        let target = into.join(name);
        if target.exists() {
            return Ok(());
        }
        // Seen through the links, so that the model outlives the cache.
        let file = self.cached(name)?;
        let file = file.canonicalize().during("open", &file)?;
        if let Some(parent) = target.parent() {
            fs::create_dir_all(parent).during("create", parent)?;
        }
        // Some file systems have no hard links.
        fs::hard_link(&file, &target)
            .or_else(|_| fs::copy(&file, &target).map(drop))
            .during("write", &target)
    }

    /// The file `name` in the cache of `hf-hub`, downloaded if need be, and whole.
    fn cached(&self, name: &str) -> Result<PathBuf> {
        let metadata = self.api.metadata(&self.repo.url(name));
        let metadata = metadata.map_err(|e| self.failed(name, e))?;
        // `hf-hub` makes file names of both.
        for header in [metadata.etag(), metadata.commit_hash()] {
            if header.is_empty()
                || !header
                    .chars()
                    .all(|c| c.is_ascii_alphanumeric() || c == '-')
            {
                let cause = format!("{name} came with the malformed header {header:?}");
                return Err(refused(self.want, cause));
            }
        }
        let expected = announced(&metadata);
        if let Some(file) = self.cache.get(name)
            && expected.allows(&Content::of_file(&file)?)
        {
            return Ok(file);
        }
        let blob = self.cache.blob_path(metadata.etag());
        // `hf-hub` asks for the bytes after those it has; a part that has them all
        // would make it ask for nothing, which servers refuse.
        let part = blob.with_extension("part");
        if fs::metadata(&part).is_ok_and(|part| part.len() >= expected.bytes) {
            fs::remove_file(&part).during("remove", &part)?;
        }
        let bar = Bar {
            progress: self.progress,
            bar: None,
        };
        let file = self.repo.download_with_progress(name, bar);
        let file = file.map_err(|e| self.failed(name, e))?;

        // The server may not have gone on where it was asked to.
        let found = Content::of_file(&file)?;
        if expected.allows(&found) {
            return Ok(file);
        }
        // The link first: `hf-hub` cannot replace one that leads nowhere.
        fs::remove_file(&file).during("remove", &file)?;
        let _ = fs::remove_file(&blob);
        Err(Error::Damaged {
            what: format!("{name} of hf:{}", self.want.repo),
            expected,
            found,
        })
    }

    fn failed(&self, name: &str, error: ApiError) -> Error {
        match error {
            // `hf-hub` names no path; the disk is that of the cache.
            ApiError::IoError(source) if is_disk(&source) => Error::Io {
                action: "write",
                path: self.cache.blob_path(""),
                source,
            },
            error => failed(self.want, format!("{name}: {error}")),
        }
    }
}

/// What the hub says that the file is. Large files are known by their SHA-256, small
/// ones by another hash.
fn announced(metadata: &Metadata) -> Content {
    let etag = metadata.etag();
    let is_sha256 = etag.len() == SHA256_DIGITS && etag.bytes().all(|b| b.is_ascii_hexdigit());
    Content {
        bytes: metadata.size() as u64,
        sha256: if is_sha256 {
            etag.to_ascii_lowercase()
        } else {
            String::new()
        },
    }
}

fn is_disk(error: &std::io::Error) -> bool {
    matches!(
        error.kind(),
        ErrorKind::StorageFull
            | ErrorKind::QuotaExceeded
            | ErrorKind::PermissionDenied
            | ErrorKind::ReadOnlyFilesystem
    )
}

/// Shows a download of `hf-hub`, which starts one bar more than once.
struct Bar {
    progress: Progress,
    bar: Option<ProgressBar>,
}

impl hf_hub::api::Progress for Bar {
    fn init(&mut self, size: usize, filename: &str) {
        let task = || format!("Fetching {filename}");
        self.bar
            .get_or_insert_with(|| self.progress.bar(task(), size as u64))
            .set_position(0);
    }

    fn update(&mut self, size: usize) {
        if let Some(bar) = &self.bar {
            bar.inc(size as u64);
        }
    }

    fn finish(&mut self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}
