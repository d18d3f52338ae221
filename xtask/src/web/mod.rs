//! `cargo xtask web`: the browser package, from Rust to `wasm/dist`.
//!
//! Rust to wasm, wasm-bindgen, wasm-opt, then the TypeScript around it; and a gate on the
//! size of what a page downloads.

#[cfg(test)]
mod module;
mod order;
mod size;
mod snip;
mod toolchain;
mod tools;

use std::path::Path;
use std::process::Command;
use std::time::Instant;

use crate::steps;
pub use toolchain::Toolchain;

/// The target that browsers run.
const TARGET: &str = "wasm32-unknown-unknown";

/// The modules of the package and their features: for the processor, and for the GPU as
/// well. A page downloads one of them.
const MODULES: [(&str, &[&str]); 2] = [("eaglet_wasm", &[]), ("eaglet_webgpu", &["webgpu"])];

/// Runs the chore.
pub fn run() -> Result<(), String> {
    let root = steps::root();
    let target = steps::target_dir().join("web");
    let toolchain = Toolchain::find().ok_or("no Rust here compiles to wasm: cargo xtask help")?;
    let tools = tools::Tools::provide(&target.join("tools"))?;

    let built = target.join(TARGET).join("web/eaglet_wasm.wasm");
    let dist = root.join("wasm/dist");
    let out = dist.join("wasm");
    for (name, features) in MODULES {
        toolchain.build(&target, features)?;
        bind(&tools, &built, &out, name)?;
        shrink(&tools, &out.join(format!("{name}_bg.wasm")))?;
    }
    package(root)?;
    size::gate(&dist, &MODULES.map(|(name, _)| name))
}

/// JavaScript's side of a module, which keeps its names.
fn bind(tools: &tools::Tools, built: &Path, out: &Path, name: &str) -> Result<(), String> {
    let mut bind = Command::new(&tools.bindgen);
    bind.args(["--target", "web", "--out-name", name, "--out-dir"]);
    finish(bind.arg(out).arg(built))
}

/// What every browser of the last years has; with all that wasm-opt knows, it would write
/// what none reads yet.
const FEATURES: [&str; 7] = [
    "--enable-simd",
    "--enable-bulk-memory",
    "--enable-nontrapping-float-to-int",
    "--enable-sign-ext",
    "--enable-mutable-globals",
    "--enable-reference-types",
    "--enable-multivalue",
];

/// Makes a module smaller to download. Higher levels of wasm-opt take minutes and make it larger
/// under gzip, also those that make it smaller without, and the kernels no faster.
fn shrink(tools: &tools::Tools, module: &Path) -> Result<(), String> {
    let (snipped, count) = snip::snip(&read(module)?)?;
    write(module, &snipped)?;
    println!("\n--- {count} functions that nobody calls have no body now");
    let mut opt = Command::new("node");
    opt.arg(&tools.opt).arg("-O1").args(FEATURES);
    opt.arg("--output").arg(module).arg(module);
    finish(&mut opt)?;
    write(module, &order::order(&read(module)?)?)
}

fn read(file: &Path) -> Result<Vec<u8>, String> {
    std::fs::read(file).map_err(|e| format!("{}: {e}", file.display()))
}

fn write(file: &Path, bytes: &[u8]) -> Result<(), String> {
    std::fs::write(file, bytes).map_err(|e| format!("{}: {e}", file.display()))
}

/// The TypeScript package, into the same folder.
fn package(root: &Path) -> Result<(), String> {
    let js = root.join("wasm/js");
    finish(Command::new("npm").arg("ci").current_dir(&js))?;
    finish(Command::new("npm").args(["run", "build"]).current_dir(&js))
}

/// Writes what is to be decoded, and runs the package's tests: those folders of
/// `wasm/tests`, or all.
pub fn test(kinds: &[&str]) -> Result<(), String> {
    let root = steps::root();
    // With the whole workspace: alone, it would have other features and compile burn anew.
    let mut build = Command::new("cargo");
    build.args(["build", "--release", "--locked", "--workspace"]);
    finish(build.args(["--example", "web_fixtures"]).current_dir(root))?;
    let fixtures = steps::target_dir().join("release/examples/web_fixtures");
    finish(Command::new(fixtures).current_dir(root))?;
    let mut npm = Command::new("npm");
    npm.args(["test", "--"]).args(kinds);
    finish(npm.current_dir(root.join("wasm/js")))
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
