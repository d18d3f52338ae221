//! Reading GGUF's primitives without ever trusting a declared size.

use std::path::Path;

use crate::error::{Error, Result};

/// A position in a file's front. Every read is checked against what is left, so that a
/// hostile size is an error before it is an allocation.
pub(super) struct Cursor<'a> {
    path: &'a Path,
    front: &'a [u8],
    /// Of the whole file.
    length: usize,
    at: usize,
    /// Whether something was asked for that lies in the file and behind the front.
    short: bool,
}

impl<'a> Cursor<'a> {
    pub(super) fn new(path: &'a Path, front: &'a [u8], length: usize) -> Self {
        Cursor {
            path,
            front,
            length,
            at: 0,
            short: false,
        }
    }

    /// Bytes of the whole file.
    pub(super) fn length(&self) -> usize {
        self.length
    }

    /// Whether a read failed only because the front ended before the file does.
    pub(super) fn is_short(&self) -> bool {
        self.short
    }

    /// Bytes read so far.
    pub(super) fn position(&self) -> usize {
        self.at
    }

    /// The next `count` pieces of `size` bytes; `what` names them in the error.
    pub(super) fn take(&mut self, count: u64, size: usize, what: &str) -> Result<&'a [u8]> {
        let left = self.length - self.at;
        let length = usize::try_from(count)
            .ok()
            .and_then(|count| count.checked_mul(size));
        match length.and_then(|length| self.front[self.at..].get(..length)) {
            Some(taken) => {
                self.at += taken.len();
                Ok(taken)
            }
            None => {
                self.short = length.is_some_and(|length| length <= left);
                Err(self.invalid(format!(
                    "truncated: {what} at byte {} needs {count} x {size} bytes, {left} are left",
                    self.at
                )))
            }
        }
    }

    /// The next `N` bytes, for `from_le_bytes`.
    pub(super) fn array<const N: usize>(&mut self, what: &str) -> Result<[u8; N]> {
        let mut array = [0; N];
        array.copy_from_slice(self.take(1, N, what)?);
        Ok(array)
    }

    pub(super) fn u32(&mut self, what: &str) -> Result<u32> {
        Ok(u32::from_le_bytes(self.array(what)?))
    }

    pub(super) fn u64(&mut self, what: &str) -> Result<u64> {
        Ok(u64::from_le_bytes(self.array(what)?))
    }

    /// A `u64` length and as many bytes of UTF-8.
    pub(super) fn string(&mut self, what: &str) -> Result<String> {
        let length = self.u64(what)?;
        let start = self.at;
        match std::str::from_utf8(self.take(length, 1, what)?) {
            Ok(text) => Ok(text.to_owned()),
            Err(error) => Err(self.invalid(format!("{what} at byte {start}: {error}"))),
        }
    }

    /// The count of an array whose elements take `size` bytes each or more.
    pub(super) fn count(&mut self, size: usize, what: &str) -> Result<u64> {
        let count = self.u64(what)?;
        let start = self.at;
        self.take(count, size, what)?;
        self.at = start;
        Ok(count)
    }

    /// An [`Error::Format`] with the rule that is broken.
    pub(super) fn invalid(&self, rule: String) -> Error {
        Error::Format {
            path: self.path.into(),
            format: "GGUF",
            rule,
        }
    }

    /// The file, for other errors.
    pub(super) fn path(&self) -> &'a Path {
        self.path
    }
}
