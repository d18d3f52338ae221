//! `cargo xtask web`: the browser package, from Rust to `wasm/dist`.
//!
//! Rust to wasm, wasm-bindgen, wasm-opt, then the TypeScript around it; and a gate on the
//! size of what a page downloads.

mod size;
mod toolchain;
mod tools;

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Instant;

use crate::steps;
pub use toolchain::Toolchain;

/// The target that browsers run.
const TARGET: &str = "wasm32-unknown-unknown";

/// Runs the chore.
pub fn run() -> Result<(), String> {
    let root = steps::root();
    let target = steps::target_dir().join("web");
    let toolchain = Toolchain::find().ok_or("no Rust here compiles to wasm: cargo xtask help")?;
    let tools = tools::Tools::provide(&target.join("tools"))?;

    toolchain.build(&target)?;
    let built = target.join(TARGET).join("web/eaglet_wasm.wasm");
    let dist = root.join("wasm/dist");
    let out = dist.join("wasm");
    bind(&tools, &built, &out)?;
    optimise(&tools, &out.join("eaglet_wasm_bg.wasm"))?;
    package(root)?;
    size::gate(&dist)
}

/// JavaScript's side of the module.
fn bind(tools: &tools::Tools, built: &Path, out: &Path) -> Result<(), String> {
    let mut bind = Command::new(&tools.bindgen);
    bind.args(["--target", "web", "--remove-name-section", "--out-dir"]);
    finish(bind.arg(out).arg(built))
}

/// Smaller, and a little faster.
fn optimise(tools: &tools::Tools, module: &Path) -> Result<(), String> {
    let mut opt = Command::new("node");
    opt.arg(&tools.opt).args(["-O3", "--all-features"]);
    opt.arg("--output").arg(module).arg(module);
    finish(&mut opt)
}

/// The TypeScript package, into the same folder.
fn package(root: &Path) -> Result<(), String> {
    let js = root.join("wasm/js");
    finish(Command::new("npm").arg("ci").current_dir(&js))?;
    finish(Command::new("npm").args(["run", "build"]).current_dir(&js))
}

/// Runs the tests in Node, and those of the package in a browser. What they decode is
/// written by the example `web_fixtures`.
pub fn test() -> Result<(), String> {
    let root = steps::root();
    let tests = root.join("wasm/tests/node");
    let files = std::fs::read_dir(&tests).map_err(|e| format!("{}: {e}", tests.display()))?;
    let is_test = |path: &PathBuf| path.to_string_lossy().ends_with(".test.mjs");
    let files = files.filter_map(|entry| Some(entry.ok()?.path()));
    finish(
        Command::new("node")
            .arg("--test")
            .args(files.filter(is_test)),
    )?;
    let mut npm = Command::new("npm");
    finish(npm.arg("test").current_dir(root.join("wasm/js")))
}

/// Runs a command, told with its time.
fn finish(command: &mut Command) -> Result<(), String> {
    println!("\n--- {command:?}");
    let start = Instant::now();
    let status = command.status().map_err(|e| format!("{command:?}: {e}"))?;
    match status.success() {
        true => {
            println!("--- {:.1} s", start.elapsed().as_secs_f64());
            Ok(())
        }
        false => Err(format!("failed: {command:?}")),
    }
}
