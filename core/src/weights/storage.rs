//! A checkpoint file's bytes: mapped from disk, or handed over.

use std::fs::File;
use std::ops::{Deref, Range};
use std::path::Path;

use memmap2::Mmap;

use crate::error::{Error, Result};

/// Bytes that stay put; dereferences to a slice.
pub(super) enum Storage {
    /// A read-only map: pages come in as they are touched.
    Map(Mmap),
    /// Bytes in memory, where there are no files (browsers, tests).
    Owned(Vec<u8>),
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

impl Deref for Storage {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        match self {
            Storage::Map(map) => map,
            Storage::Owned(bytes) => bytes,
        }
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
        assert_eq!(storage[..], bytes[..]);
        storage.release(10..299_000);
        storage.release(10..20);
        assert_eq!(storage[..], bytes[..]);
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
}
