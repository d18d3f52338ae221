//! A checkpoint file's bytes: mapped from disk, handed over, or read in ranges.

use std::borrow::Cow;
use std::fs::File;
use std::ops::Range;
use std::path::Path;
use std::sync::Arc;

use memmap2::Mmap;

use super::ReadRange;
use crate::error::{Error, Result};

/// Bytes that stay as they are.
pub(super) enum Storage {
    /// A read-only map: pages come in as they are touched.
    Map(Mmap),
    /// Bytes in memory (tests, heads that are part of the program).
    Owned(Vec<u8>),
    /// A file without a file system (browsers): each read is a copy that its reader drops.
    Ranges(Arc<dyn ReadRange>),
}

impl Storage {
    /// Maps a file. [`Error::Io`] where it cannot be opened or mapped.
    pub(super) fn open(path: &Path) -> Result<Storage> {
        let map = |file: File| {
            // SAFETY: the map is read-only and private to this value. That nobody
            // truncates or rewrites a model while it is in use is a condition that no
            // program can enforce; it is documented at the readers' `open`.
            unsafe { Mmap::map(&file) }
        };
        match File::open(path).and_then(map) {
            Ok(map) => Ok(Storage::Map(map)),
            Err(source) => Err(Error::Io {
                path: path.into(),
                source,
            }),
        }
    }

    /// Bytes in all.
    pub(super) fn len(&self) -> usize {
        match self {
            Storage::Map(map) => map.len(),
            Storage::Owned(bytes) => bytes.len(),
            Storage::Ranges(file) => file.size(),
        }
    }

    /// The bytes of `range`, which lies within the file; borrowed where they are in memory
    /// or mapped. `path` is for messages.
    ///
    /// [`Error::Io`] where they cannot be read, [`Error::Memory`] where there is no room.
    pub(super) fn read(&self, path: &Path, range: Range<usize>) -> Result<Cow<'_, [u8]>> {
        let file = match self {
            Storage::Map(map) => return Ok(Cow::Borrowed(&map[range])),
            Storage::Owned(bytes) => return Ok(Cow::Borrowed(&bytes[range])),
            Storage::Ranges(file) => file,
        };
        let mut bytes = Vec::new();
        if bytes.try_reserve_exact(range.len()).is_err() {
            let (path, length) = (path.display(), range.len());
            return Err(Error::Memory(format!("{length} bytes of {path}")));
        }
        bytes.resize(range.len(), 0);
        match file.read(range.start, &mut bytes) {
            Ok(()) => Ok(Cow::Owned(bytes)),
            Err(source) => Err(Error::Io {
                path: path.into(),
                source,
            }),
        }
    }

    /// The front of the file, `wanted` bytes or all there are; more where more costs
    /// nothing.
    pub(super) fn front(&self, path: &Path, wanted: usize) -> Result<Cow<'_, [u8]>> {
        let end = match self {
            Storage::Ranges(_) => self.len().min(wanted),
            _ => self.len(),
        };
        self.read(path, 0..end)
    }

    /// Tells the system that the whole pages of `range` will not be read again soon.
    pub(super) fn release(&self, range: Range<usize>) {
        #[cfg(unix)]
        if let Storage::Map(map) = self {
            /// A multiple of every page size in use. Maps start at page boundaries.
            const PAGE: usize = 1 << 16;
            let (start, end) = (range.start.next_multiple_of(PAGE), range.end / PAGE * PAGE);
            if start < end && end <= map.len() {
                // SAFETY: the map is read-only and backed by a file, so dropped pages come
                // back with the same content when they are touched again.
                let advised = unsafe {
                    map.unchecked_advise_range(
                        memmap2::UncheckedAdvice::DontNeed,
                        start,
                        end - start,
                    )
                };
                // Advice only: where it is refused, the pages merely stay.
                drop(advised);
            }
        }
        #[cfg(not(unix))]
        let _ = range;
    }
}

#[cfg(all(test, unix))]
mod tests {
    use super::*;

    #[test]
    fn released_pages_come_back() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let bytes: Vec<u8> = (0..300_000u32).map(|i| (i % 251) as u8).collect();
        std::fs::write(file.path(), &bytes).unwrap();
        let storage = Storage::open(file.path()).unwrap();
        let all = || storage.front(file.path(), 1).unwrap();
        assert_eq!(all(), &bytes[..]);
        storage.release(10..299_000);
        storage.release(10..20);
        assert_eq!(all(), &bytes[..]);
    }

    #[test]
    fn an_empty_file_is_no_bytes_and_a_missing_one_an_error() {
        let file = tempfile::NamedTempFile::new().unwrap();
        assert_eq!(Storage::open(file.path()).unwrap().len(), 0);
        let message = Storage::open(Path::new("nowhere.gguf"))
            .err()
            .unwrap()
            .to_string();
        assert!(
            message.starts_with("cannot read nowhere.gguf: "),
            "{message}"
        );
    }

    #[test]
    fn ranges_are_read_one_at_a_time() {
        let storage = Storage::Ranges(Arc::new(b"abcdef".to_vec()));
        let path = Path::new("m");
        assert_eq!(storage.len(), 6);
        assert_eq!(storage.read(path, 1..3).unwrap(), &b"bc"[..]);
        assert_eq!(storage.front(path, 2).unwrap(), &b"ab"[..]);
        assert_eq!(storage.front(path, 20).unwrap(), &b"abcdef"[..]);
    }
}
