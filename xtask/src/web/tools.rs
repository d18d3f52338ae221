//! wasm-bindgen and wasm-opt, kept beside what they make.

use std::path::{Path, PathBuf};
use std::process::Command;

use super::finish;
use crate::steps;

/// The release of binaryen whose wasm-opt is used.
const BINARYEN: &str = "132.0.0";

/// Where the tools are.
pub struct Tools {
    /// The program `wasm-bindgen`.
    pub bindgen: PathBuf,
    /// The script `wasm-opt`, for node.
    pub opt: PathBuf,
}

impl Tools {
    /// Finds them in a folder, and installs what is missing.
    pub fn provide(folder: &Path) -> Result<Self, String> {
        let version = locked("wasm-bindgen")?;
        let bindgen = folder.join(format!("wasm-bindgen-{version}"));
        let program = bindgen.join("bin/wasm-bindgen");
        if !program.exists() {
            // The generated code must be read by the version that wrote it.
            let version = format!("wasm-bindgen-cli@{version}");
            let mut install = Command::new("cargo");
            install.args(["install", "--root"]).arg(bindgen);
            finish(install.arg(version))?;
        }
        let binaryen = folder.join(format!("binaryen-{BINARYEN}"));
        let opt = binaryen.join("node_modules/binaryen/bin/wasm-opt");
        if !opt.exists() {
            let mut install = Command::new("npm");
            install.args(["install", "--no-save", "--prefix"]);
            finish(install.arg(binaryen).arg(format!("binaryen@{BINARYEN}")))?;
        }
        Ok(Self {
            bindgen: program,
            opt,
        })
    }
}

/// The version of a package that the lock file names.
fn locked(package: &str) -> Result<String, String> {
    let lock = std::fs::read_to_string(steps::root().join("Cargo.lock"));
    let lock = lock.map_err(|e| format!("Cargo.lock: {e}"))?;
    version(&lock, package).ok_or_else(|| format!("Cargo.lock names no {package}"))
}

fn version(lock: &str, package: &str) -> Option<String> {
    let name = format!("name = \"{package}\"");
    let mut lines = lock.lines().skip_while(|line| *line != name);
    let version = lines.nth(1)?.strip_prefix("version = \"")?;
    Some(version.strip_suffix('"')?.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_locked_version_is_read() {
        let lock = "[[package]]\nname = \"a-b\"\nversion = \"1.0\"\n\n\
                    [[package]]\nname = \"a\"\nversion = \"2.0\"\n";
        assert_eq!(version(lock, "a").as_deref(), Some("2.0"));
        assert_eq!(version(lock, "b"), None);
        assert!(locked("wasm-bindgen").is_ok());
    }
}
