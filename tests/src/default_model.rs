//! The default model, where it has been pulled.

use std::path::PathBuf;
use std::process::Command;

/// Where `eaglet pull` put the default model; asks the binary that was built beside the
/// tests. Without it a test is skipped and says so, except in CI, where it fails.
pub fn path() -> Option<PathBuf> {
    let beside = std::env::current_exe().unwrap();
    let binary = beside.parent().unwrap().parent().unwrap().join("eaglet");
    let pulled = Command::new(&binary).args(["--offline", "pull"]).output();
    match pulled {
        Ok(output) if output.status.success() => {
            Some(String::from_utf8(output.stdout).unwrap().trim().into())
        }
        _ => {
            let reason = "the default model is not here: run `cargo run --release -- pull`";
            assert!(std::env::var_os("CI").is_none(), "{reason}");
            eprintln!("skipped: {reason}");
            None
        }
    }
}
