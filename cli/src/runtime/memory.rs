//! What the system tells of memory (Linux).

use std::fs;

/// The most bytes that this process has held.
pub fn peak() -> Option<u64> {
    entry("/proc/self/status", "VmHWM:")
}

/// Bytes that can be had without pushing other programs out.
pub fn available() -> Option<u64> {
    entry("/proc/meminfo", "MemAvailable:")
}

/// An entry of one of the kernel's lists, which count in kibibytes.
fn entry(file: &str, name: &str) -> Option<u64> {
    let list = fs::read_to_string(file).ok()?;
    let line = list.lines().find_map(|line| line.strip_prefix(name))?;
    let kibibytes: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kibibytes * 1024)
}
