//! `cargo xtask test`: everything that must pass before a change lands.

use crate::requirements::{CC, CHROMIUM, CLIPPY, FIREFOX, GRAPHICS, NODE, PIP, RUSTFMT, WASM};
use crate::steps::{self, Step};

/// Cheap steps first. All that compile use the one release profile, so that a small
/// machine compiles the big dependencies once (lints check them without compiling).
static STEPS: &[Step] = &[
    Step {
        name: "format",
        cargo: "fmt --all --check",
        needs: &[&RUSTFMT],
    },
    Step {
        name: "lints",
        cargo: "clippy --release --locked --workspace --all-targets -- -D warnings",
        needs: &[&CC, &CLIPPY],
    },
    Step {
        name: "default model",
        cargo: "run --release --locked --package eaglet -- pull",
        needs: &[&CC, &PIP],
    },
    // What the tests of GPUs will run on, and whether it computes rightly.
    Step {
        name: "devices",
        cargo: "run --release --locked --package eaglet -- devices",
        needs: &[&CC, &GRAPHICS],
    },
    // What the tests compile the kernels for CUDA with, whose device they play.
    Step {
        name: "compiler for CUDA",
        cargo: "xtask cuda-compiler",
        needs: &[&CC, &PIP],
    },
    Step {
        name: "tests",
        cargo: "test --release --locked --workspace",
        needs: &[&CC],
    },
    Step {
        name: "browser package",
        cargo: "xtask web",
        needs: &[&CC, &WASM, &NODE],
    },
    Step {
        name: "browser tests",
        cargo: "xtask web-test node unit package browser",
        needs: &[&CC, &WASM, &NODE, &CHROMIUM],
    },
    Step {
        name: "second browser",
        cargo: "xtask web-test firefox",
        needs: &[&CC, &WASM, &NODE, &FIREFOX, &GRAPHICS],
    },
];

/// Runs the chore.
pub fn run() -> Result<(), String> {
    let strict = std::env::var("CI").is_ok_and(|ci| ci == "true" || ci == "1");
    steps::run(STEPS, strict)
}
