//! `cargo xtask gpu-report`: what docs/performance.md wants to know of a GPU, in one go.

use std::process::Command;

use crate::steps::{self, Step};

/// LLaMA2-7B's shapes in a dtype on a device. Made-up weights: what is measured is bound by
/// memory, and the values do not matter.
macro_rules! seven_b {
    ($dtype:literal, $device:literal) => {
        concat!(
            "run --release --locked --package eaglet -- bench --random-weights llama2-7b --dtype ",
            $dtype,
            " --ctx 1024 --limit 2 --repeats 3 --synthetic-acceptance 0.75 -n 128 --device ",
            $device
        )
    };
}

/// The steps for one kind of device.
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
                cargo: seven_b!("f16", $device),
                needs: &[],
            },
            Step {
                name: "7B in q4",
                cargo: seven_b!("q4", $device),
                needs: &[],
            },
            Step {
                name: "its layers",
                cargo: "bench --profile release --locked --package eaglet-tests --bench layers",
                needs: &[],
            },
            // The longest, since it compiles every kernel there is.
            Step {
                name: "suite",
                cargo: "test --release --locked --package eaglet-tests --test gpu --test gpu_cost -- --nocapture --test-threads=1",
                needs: &[],
            },
        ]
    };
}

static CUDA: &[Step] = report!("cuda");
static WGPU: &[Step] = report!("wgpu");

/// What the CUDA report has beyond the other: the same without tensor cores, for which
/// kernels of ours are written by hand.
static WITHOUT_TENSOR_CORES: &[Step] = &[
    Step {
        name: "without tensor cores, f16",
        cargo: concat!(
            "--config env.EAGLET_NO_TENSOR_CORES=\"1\" ",
            seven_b!("f16", "cuda")
        ),
        needs: &[],
    },
    Step {
        name: "without tensor cores, q4",
        cargo: concat!(
            "--config env.EAGLET_NO_TENSOR_CORES=\"1\" ",
            seven_b!("q4", "cuda")
        ),
        needs: &[],
    },
];

/// Kernels under NVIDIA's checker of memory and races, which cargo starts them with.
static SANITIZER: Step = Step {
    name: "compute-sanitizer",
    cargo: "--config target.'cfg(all())'.runner=['compute-sanitizer','--error-exitcode','1'] test \
            --release --locked --package eaglet-tests --test gpu -- operations recordings --test-threads=1",
    needs: &[],
};

/// Runs the chore on one kind of device; `python` is an interpreter that has PyTorch.
pub fn run(device: &str, python: Option<&str>) -> Result<(), String> {
    let mut steps: Vec<&Step> = match device {
        "cuda" => CUDA.iter().chain(WITHOUT_TENSOR_CORES).collect(),
        "wgpu" => WGPU.iter().collect(),
        other => return Err(format!("no report for `{other}`: use cuda or wgpu")),
    };
    // Which machine the figures are of.
    for program in ["nvidia-smi", "lscpu"] {
        if Command::new(program).status().is_err() {
            println!("skipped: {program} is not here");
        }
    }
    if device != "cuda" {
        return steps::run_all(&steps, true);
    }
    match is_there("compute-sanitizer") {
        true => steps.push(&SANITIZER),
        false => println!("skipped: compute-sanitizer is not here"),
    }
    let report = steps::run_all(&steps, true);
    let Some(python) = python else {
        println!(
            "\nskipped: PyTorch beside eaglet. `pip install torch`, then \
             `cargo xtask gpu-report cuda PYTHON`"
        );
        return report;
    };
    report.and(pytorch(python))
}

fn is_there(program: &str) -> bool {
    let found = Command::new(program).arg("--version").output();
    found.is_ok_and(|found| found.status.success())
}

/// The same shapes in PyTorch, eager and compiled.
fn pytorch(python: &str) -> Result<(), String> {
    println!("\n=== PyTorch");
    let status = Command::new(python)
        .arg(steps::root().join("tests/peers/pytorch.py"))
        .arg("--check")
        .status()
        .map_err(|e| format!("{python}: {e}"))?;
    match status.success() {
        true => Ok(()),
        false => Err("PyTorch failed".into()),
    }
}
