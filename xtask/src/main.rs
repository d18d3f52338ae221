//! The project's chores. `cargo xtask help` lists them.

mod bench;
mod cuda_compiler;
mod gpu_report;
mod requirements;
mod steps;
mod test;
mod web;

use std::process::ExitCode;

const HELP: &str = "\
The project's chores.

Usage: cargo xtask <CHORE>

Chores:
  test             Everything that must pass: format, lints, the default model, all tests
  bench [PYTHON]   This machine's figures; with a Python that has xllamacpp, beside llama.cpp
  cuda-compiler    NVIDIA's compiler of kernels, so that they are compiled without a GPU
  web              The browser package: wasm/dist
  web-test [KIND]...
                   Its tests, which are node, unit, package, browser (Chromium) and firefox
                   [default: all]; needs the package
  gpu-report [KIND] [PYTHON]
                   The figures of a GPU, cuda or wgpu, for docs/performance.md [default: cuda];
                   with a Python that has torch, beside PyTorch
  help             This text

With CI=true a missing part of the machine is a failure; otherwise the steps that
need it are skipped, with the reason.";

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    let outcome = match args[..] {
        ["test"] => test::run(),
        ["bench"] => bench::run(None),
        ["bench", python] => bench::run(Some(python)),
        ["cuda-compiler"] => cuda_compiler::run(),
        ["web"] => web::run(),
        ["web-test", ref kinds @ ..] => web::test(kinds),
        ["has-wasm"] => match web::Toolchain::find() {
            Some(_) => Ok(()),
            None => Err("no Rust here compiles to wasm".into()),
        },
        ["gpu-report"] => gpu_report::run("cuda", None),
        ["gpu-report", kind] => gpu_report::run(kind, None),
        ["gpu-report", kind, python] => gpu_report::run(kind, Some(python)),
        ["help" | "--help" | "-h"] => {
            println!("{HELP}");
            Ok(())
        }
        _ => {
            eprintln!("{HELP}");
            return ExitCode::from(2);
        }
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("xtask: {error}");
            ExitCode::FAILURE
        }
    }
}
