//! `cargo xtask gpu-report`: what docs/performance.md wants to know of a GPU, in one go.

use std::process::Command;

use crate::steps::{self, Step};

/// The steps for one kind of device. Made-up weights have the shapes of LLaMA2-7B: what
/// is measured is bound by memory, and the values do not matter.
macro_rules! report {
    ($device:literal) => {
        &[
            Step {
                name: "default model",
                cargo: "run --release --locked --package eaglet -- pull",
                needs: &[],
            },
            // Before anything else compiles kernels for the device.
            Step {
                name: "first token, cold",
                cargo: concat!(
                    "run --release --locked --package eaglet -- generate --json -n 64 --device ",
                    $device,
                    " Hello"
                ),
                needs: &[],
            },
            Step {
                name: "first token, again",
                cargo: concat!(
                    "run --release --locked --package eaglet -- generate --json -n 64 --device ",
                    $device,
                    " Hello"
                ),
                needs: &[],
            },
            Step {
                name: "devices",
                cargo: "run --release --locked --package eaglet -- devices",
                needs: &[],
            },
            Step {
                name: "suite",
                cargo: "test --release --locked --package eaglet-tests --test gpu --test gpu_cost -- --nocapture",
                needs: &[],
            },
            Step {
                name: "its trained head",
                cargo: concat!(
                    "run --release --locked --package eaglet -- bench --limit 8 --repeats 3 ",
                    "--methods eagle3,ngram --temperatures 0,1 -n 128 --device ",
                    $device
                ),
                needs: &[],
            },
            Step {
                name: "7B in f16",
                cargo: concat!(
                    "run --release --locked --package eaglet -- bench --random-weights llama2-7b ",
                    "--dtype f16 --ctx 1024 --limit 2 --repeats 3 --synthetic-acceptance 0.75 ",
                    "-n 128 --device ",
                    $device
                ),
                needs: &[],
            },
            Step {
                name: "7B in q4",
                cargo: concat!(
                    "run --release --locked --package eaglet -- bench --random-weights llama2-7b ",
                    "--dtype q4 --ctx 1024 --limit 2 --repeats 3 --synthetic-acceptance 0.75 ",
                    "-n 128 --device ",
                    $device
                ),
                needs: &[],
            },
        ]
    };
}

static CUDA: &[Step] = report!("cuda");
static WGPU: &[Step] = report!("wgpu");

/// Runs the chore on one kind of device.
pub fn run(device: &str) -> Result<(), String> {
    let steps = match device {
        "cuda" => CUDA,
        "wgpu" => WGPU,
        other => return Err(format!("no report for `{other}`: use cuda or wgpu")),
    };
    // Which machine the figures are of.
    for program in ["nvidia-smi", "lscpu"] {
        if Command::new(program).status().is_err() {
            println!("skipped: {program} is not here");
        }
    }
    steps::run_all(steps, true)?;
    println!(
        "\nskipped: compute-sanitizer and PyTorch beside eaglet. By hand: \
         `compute-sanitizer target/release/deps/gpu-*`"
    );
    Ok(())
}
