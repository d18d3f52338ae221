//! What a file holds, in two numbers: how many bytes, and their SHA-256.

use std::fmt;
use std::fs::File;
use std::io::{self, Write};
use std::path::Path;

use sha2::{Digest, Sha256};

use super::error::{IoContext, Result};

/// Size and hash of some bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Content {
    /// How many.
    pub bytes: u64,
    /// SHA-256 in lower-case hexadecimal; empty when it was not announced.
    pub sha256: String,
}

impl Content {
    /// Reads the file at `path`.
    pub fn of_file(path: &Path) -> Result<Self> {
        let mut file = File::open(path).during("open", path)?;
        let mut sink = Hashing::new(io::sink());
        io::copy(&mut file, &mut sink).during("read", path)?;
        Ok(sink.finish())
    }

    /// Whether `found` is what this announces.
    pub fn allows(&self, found: &Self) -> bool {
        self.bytes == found.bytes && (self.sha256.is_empty() || self.sha256 == found.sha256)
    }
}

impl fmt::Display for Content {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} bytes", self.bytes)?;
        if !self.sha256.is_empty() {
            write!(f, " with SHA-256 {}", self.sha256)?;
        }
        Ok(())
    }
}

/// A writer that looks at what passes through it.
pub struct Hashing<W> {
    inner: W,
    hash: Sha256,
    bytes: u64,
}

impl<W: Write> Hashing<W> {
    /// Passes everything on to `inner`.
    pub fn new(inner: W) -> Self {
        Self {
            inner,
            hash: Sha256::new(),
            bytes: 0,
        }
    }

    /// What has passed.
    pub fn finish(self) -> Content {
        let hash = self.hash.finalize();
        Content {
            bytes: self.bytes,
            sha256: hash.iter().map(|byte| format!("{byte:02x}")).collect(),
        }
    }
}

impl<W: Write> Write for Hashing<W> {
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        let written = self.inner.write(buf)?;
        self.hash.update(&buf[..written]);
        self.bytes += written as u64;
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.inner.flush()
    }
}
