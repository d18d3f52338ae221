//! Every kernel through NVIDIA's compiler, on machines without a GPU.
//!
//! CubeCL's own path to CUDA runs, unchanged, over a driver that is played by
//! [`driver.rs`](./driver.rs): it generates CUDA C++, NVRTC compiles it, and what would be
//! loaded becomes a file. A process loads one driver, and for one architecture, so each
//! architecture has a process of its own.

// Of tests only; clippy does not see it in a condition of three parts.
#![allow(clippy::unwrap_used)]

mod attention;
mod cuts;
mod emulated;
mod tour;

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use eaglet_core::ops::Ops;
use eaglet_core::weights::{BlockFormat, Dtype, Matrix, TensorView};

use crate::cube::decode::Storage;
use crate::cube::tensor_cores::Program;
use crate::cube::{CubeOps, Cuda, Fault};
use crate::open::On;

/// What CubeCL asks NVRTC for, by compute capability.
const TARGETS: [(&str, &str); 4] = [
    ("80", ".target sm_80"),
    ("86", ".target sm_86"),
    ("89", ".target sm_89"),
    ("90", ".target sm_90a"),
];

/// The first that has clusters.
const CLUSTERED: &str = "90";

/// Says to a process that it runs over the driver that is played.
const PLAYED: &str = "EAGLET_TEST_CAPABILITY";

/// Where NVRTC and its headers are, as `cargo xtask cuda-compiler` leaves them, or as
/// `CUDA_PATH` says: a folder with `include` and `lib`.
fn toolkit() -> Option<PathBuf> {
    let test = std::env::current_exe().ok()?;
    let built = test.ancestors().nth(3).map(|target| target.join("cuda"));
    let named = std::env::var_os("CUDA_PATH").map(PathBuf::from);
    let mut folders = named.into_iter().chain(built);
    folders.find(|folder| folder.join("include/cuda_fp16.h").exists())
}

/// Runs the test `name` of this program over the driver that is played, with `memory`
/// bytes; the kernels that it would have loaded are in `kernels` afterwards. `None` where
/// the toolkit is missing, which is said.
fn play(name: &str, capability: &str, memory: usize, kernels: &Path) -> Option<Output> {
    let Some(toolkit) = toolkit() else {
        println!("skipped: NVRTC is not here; `cargo xtask cuda-compiler` brings it");
        return None;
    };
    std::fs::create_dir_all(kernels).unwrap();
    let source = concat!(env!("CARGO_MANIFEST_DIR"), "/src/cube/nvrtc/driver.rs");
    let driver = Command::new("rustc")
        .args(["--edition", "2024", "--crate-type", "cdylib", source, "-o"])
        .arg(kernels.join("libcuda.so.1"))
        .status();
    assert!(driver.unwrap().success());
    let places = [
        kernels.to_owned(),
        toolkit.join("lib"),
        toolkit.join("lib64"),
    ];
    let output = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", name, "--nocapture"])
        .env(PLAYED, capability)
        .env("EAGLET_TEST_MEMORY", memory.to_string())
        .env("EAGLET_TEST_KERNELS", kernels)
        .env("CUDA_PATH", toolkit)
        .env("LD_LIBRARY_PATH", std::env::join_paths(places).unwrap())
        .output();
    Some(output.unwrap())
}

/// Whether this process runs over the driver that is played.
fn played() -> bool {
    std::env::var_os(PLAYED).is_some()
}

fn device() -> CubeOps<Cuda> {
    CubeOps::new(Default::default(), false, Fault::default())
}

/// The same with tensor cores, as the capability that is played has them.
fn cores() -> CubeOps<Cuda> {
    let capability = std::env::var(PLAYED).unwrap_or_default();
    device().with_tensor_cores(capability.as_str() >= CLUSTERED)
}

/// A folder of its own for a test, empty.
fn folder(name: &str) -> PathBuf {
    let folder = std::env::temp_dir().join(format!("eaglet-{name}-{}", std::process::id()));
    let _ = std::fs::remove_dir_all(&folder);
    folder
}

#[test]
fn every_kernel_compiles_for_every_architecture() {
    if played() {
        return tour::all(device());
    }
    let name = "cube::nvrtc::every_kernel_compiles_for_every_architecture";
    std::thread::scope(|scope| {
        for (capability, target) in TARGETS {
            scope.spawn(move || {
                let kernels = folder(&format!("sm-{capability}"));
                let Some(output) = play(name, capability, 4 << 30, &kernels) else {
                    return;
                };
                let said = String::from_utf8_lossy(&output.stderr);
                assert!(output.status.success(), "{target}: {said}");
                let mut found = Vec::new();
                for file in std::fs::read_dir(&kernels).unwrap() {
                    let file = file.unwrap().path();
                    if file.extension().is_some_and(|e| e == "ptx") {
                        let code = std::fs::read_to_string(file).unwrap();
                        assert!(code.contains(target), "{target}: {}", &code[..500]);
                        found.push(entry(&code).to_owned());
                    }
                }
                println!("{target}: {} kernels", found.len());
                for kernel in tour::KERNELS {
                    assert!(
                        found.iter().any(|name| name.contains(kernel)),
                        "{target}: {kernel} is not among {found:?}"
                    );
                }
                for program in cuts::programs(capability >= CLUSTERED) {
                    let entry = program.entry();
                    assert!(found.contains(&entry), "{target}: {entry} is missing");
                }
                assert!(found.len() >= tour::VARIANTS, "{target}: {}", found.len());
                std::fs::remove_dir_all(kernels).unwrap();
            });
        }
    });
}

#[test]
fn tensor_cores_compute_what_the_processor_does() {
    let name = "tensor_cores_compute_what_the_processor_does";
    let storages = [Storage::Float, Storage::Q8, Storage::Q4];
    emulate(
        name,
        emulated::layers,
        &emulated::programs(&storages, &emulated::ROWS),
    );
}

#[test]
fn layers_on_tensor_cores_are_the_same_however_they_are_cut() {
    let name = "layers_on_tensor_cores_are_the_same_however_they_are_cut";
    emulate(name, cuts::every_cut, &cuts::programs(true));
}

#[test]
fn attention_on_tensor_cores_is_that_of_the_processor() {
    let name = "attention_on_tensor_cores_is_that_of_the_processor";
    emulate(name, attention::rows_of_trees, &attention::programs());
}

#[test]
fn passes_are_repeated_as_graphs() {
    let name = "passes_are_repeated_as_graphs";
    emulate(
        name,
        emulated::graphs,
        &emulated::programs(&[Storage::Q4], &[3]),
    );
}

/// Runs a test of this module over the driver that is played, and with it the kernels that are
/// compiled for the host.
fn emulate(name: &str, test: fn(), programs: &[Program]) {
    if played() {
        return test();
    }
    if Command::new("g++").arg("--version").output().is_err() {
        println!("skipped: g++ is not here, which compiles CUDA's kernels for the host");
        return;
    }
    let kernels = folder(name);
    std::fs::create_dir_all(&kernels).unwrap();
    emulated::build(&kernels, programs);
    if let Some(output) = play(
        &format!("cube::nvrtc::{name}"),
        CLUSTERED,
        1 << 30,
        &kernels,
    ) {
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{said}");
    }
    std::fs::remove_dir_all(kernels).unwrap();
}

/// The name of a module's kernel.
fn entry(code: &str) -> &str {
    let name = code.split(".entry ").nth(1).unwrap();
    name.split('(').next().unwrap()
}

#[test]
fn a_weight_that_has_no_room_says_how_much_it_needs_and_the_next_one_fits() {
    if played() {
        let ops = device();
        let pack = |outputs: usize| ops.pack(&[zeros(outputs)]).map(|weight| weight.bytes);
        let error = pack(48 << 10).unwrap_err().to_string();
        assert!(error.contains("a weight of 201326592 bytes"), "{error}");
        assert_eq!(pack(1 << 10).unwrap(), 4 << 20);
        return;
    }
    let kernels = folder("no-room");
    let name =
        "cube::nvrtc::a_weight_that_has_no_room_says_how_much_it_needs_and_the_next_one_fits";
    if let Some(output) = play(name, "80", 128 << 20, &kernels) {
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{said}");
        std::fs::remove_dir_all(kernels).unwrap();
    }
}

#[test]
fn kernels_that_were_compiled_once_are_kept() {
    if played() {
        let kept = std::env::var_os("EAGLET_TEST_KERNELS").unwrap();
        crate::keep_kernels(&Path::new(&kept).join("kept"));
        let logits = On(&device()).matrix(21, 1, 8);
        // Nothing ran, so there is no answer; it had to be compiled and loaded for that.
        pollster::block_on(device().argmax(&logits)).unwrap();
        return;
    }
    let kernels = folder("kept");
    let name = "cube::nvrtc::kernels_that_were_compiled_once_are_kept";
    let Some(output) = play(name, "80", 1 << 30, &kernels) else {
        return;
    };
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}");
    let size = |folder: &Path| -> u64 { files(folder).iter().map(|(_, size)| size).sum() };
    let (kept, loaded) = (kernels.join("kept"), kernels.join("1.ptx"));
    let code = std::fs::metadata(loaded).unwrap().len();
    assert!(size(&kept) >= code, "{:?}", files(&kept));
    std::fs::remove_dir_all(kernels).unwrap();
}

/// All files below a folder, with their sizes.
fn files(folder: &Path) -> Vec<(PathBuf, u64)> {
    let mut all = Vec::new();
    for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
        match entry.metadata().unwrap() {
            data if data.is_dir() => all.extend(files(&entry.path())),
            data => all.push((entry.path(), data.len())),
        }
    }
    all
}

/// A matrix of `[outputs, 1024]` in f32.
fn zeros(outputs: usize) -> Matrix<'static> {
    let view = TensorView {
        name: "zeros".into(),
        shape: vec![outputs, 1024],
        format: BlockFormat::F32,
        bytes: vec![0; outputs * 4096].into(),
    };
    Matrix::new(Path::new("test"), view, Dtype::F32).unwrap()
}
