//! A Rust that compiles to wasm.

use std::path::{Path, PathBuf};
use std::process::Command;

use super::{TARGET, finish};
use crate::steps;

/// Debian's Rust and the source of its standard library, which it does not compile for
/// browsers (packages rustc-web, cargo-web, rust-web-src).
const DEBIAN: &str = "/usr";

/// Panics do not say in which line they are, and what is derived to print values for debugging
/// prints names alone: both are a tenth of a module. Compilers that are released know these
/// settings, and hide them.
const FLAGS: &str =
    r#"target.wasm32-unknown-unknown.rustflags=["-Zlocation-detail=none","-Zfmt-debug=shallow"]"#;

/// What compiles.
pub struct Toolchain {
    cargo: PathBuf,
    rustc: PathBuf,
    /// The standard library is compiled along, for want of a compiled one.
    build_std: bool,
}

impl Toolchain {
    /// The Rust in use, where it has the target; else Debian's.
    pub fn find() -> Option<Self> {
        let print = ["--print", "sysroot"];
        let sysroot = Command::new("rustc").args(print).output().ok();
        let sysroot = sysroot.and_then(|output| String::from_utf8(output.stdout).ok());
        let own = sysroot.map(|root| Path::new(root.trim()).join("lib/rustlib").join(TARGET));
        if own.is_some_and(|target| target.join("lib").is_dir()) {
            return Some(Self {
                cargo: "cargo".into(),
                rustc: "rustc".into(),
                build_std: false,
            });
        }
        let debian = Path::new(DEBIAN);
        let (cargo, rustc) = (debian.join("bin/cargo"), debian.join("bin/rustc"));
        let source = debian.join("lib/rustlib/src/rust/library/std");
        let there = cargo.exists() && rustc.exists() && source.exists();
        there.then_some(Self {
            cargo,
            rustc,
            build_std: true,
        })
    }

    /// Compiles the bindings; the module lies in `target/TARGET/web`.
    pub fn build(&self, target: &Path, features: &[&str]) -> Result<(), String> {
        let mut build = Command::new(&self.cargo);
        build
            .args(["build", "--locked", "--profile", "web", "--lib"])
            .args(["--package", "eaglet-wasm", "--target", TARGET])
            .args(["--features", &features.join(",")])
            // Beside those in .cargo.
            .args(["--config", FLAGS])
            .current_dir(steps::root())
            .env("RUSTC", &self.rustc)
            .env("RUSTC_BOOTSTRAP", "1")
            // They would take the place of those in .cargo, and SIMD with them.
            .env_remove("RUSTFLAGS")
            .env("CARGO_TARGET_DIR", target);
        if self.build_std {
            build
                .arg("-Zbuild-std=std,panic_abort")
                .env("CARGO_TARGET_WASM32_UNKNOWN_UNKNOWN_LINKER", "wasm-ld")
                // Set by the rustup that started this program; not for Debian's Rust.
                .env_remove("RUSTUP_TOOLCHAIN");
        }
        finish(&mut build)
    }
}
