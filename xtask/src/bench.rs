//! `cargo xtask bench`: the figures of docs/performance.md, measured on this machine.

use std::path::Path;
use std::process::Command;

use serde_json::Value;

use crate::steps::{self, Step};

static STEPS: &[Step] = &[
    Step {
        name: "default model",
        cargo: "run --release --locked --package eaglet -- pull",
        needs: &[],
    },
    Step {
        name: "passes",
        cargo: "bench --profile release --locked --package eaglet-tests --bench decode --bench draft \
                --bench launches",
        needs: &[],
    },
];

/// Prompts that both programs answer, and how often.
const PROMPTS: usize = 8;
const REPEATS: usize = 3;
const TOKENS: &str = "128";

/// Runs the chore; `python` is an interpreter that has the package xllamacpp.
pub fn run(python: Option<&str>) -> Result<(), String> {
    steps::run(STEPS, true)?;
    match python {
        Some(python) => compare(python),
        None => {
            println!(
                "\nskipped: the comparison with llama.cpp. `pip install xllamacpp`, then \
                 `cargo xtask bench PYTHON`"
            );
            Ok(())
        }
    }
}

/// One program's speed on one prompt.
struct Speed {
    decode: f64,
    prefill: f64,
}

/// Both programs, prompt by prompt, in turn: what disturbs one disturbs the other.
fn compare(python: &str) -> Result<(), String> {
    let root = steps::root();
    let eaglet = steps::target_dir().join("release/eaglet");
    let model = output(Command::new(&eaglet).args(["--offline", "pull"]))?;
    let file = root.join("tests/data/mt_bench_half.jsonl");
    let lines = std::fs::read_to_string(&file).map_err(|e| e.to_string())?;
    let threads = std::thread::available_parallelism().map_or(1, |n| n.get());
    let threads = threads.to_string();
    let mut ratios: [Vec<f64>; 2] = [Vec::new(), Vec::new()];
    let mut speeds: [Vec<f64>; 4] = Default::default();
    println!("\nllama.cpp and eaglet (plain), {threads} threads, {TOKENS} tokens, in turn");
    for _ in 0..REPEATS {
        for line in lines.lines().take(PROMPTS) {
            let peer = llama_cpp(python, root, model.trim(), line, &threads)?;
            let ours = ours(&eaglet, line, &threads)?;
            ratios[0].push(ours.decode / peer.decode);
            ratios[1].push(ours.prefill / peer.prefill);
            let all = [peer.decode, ours.decode, peer.prefill, ours.prefill];
            speeds.iter_mut().zip(all).for_each(|(s, v)| s.push(v));
        }
    }
    let [peer_decode, our_decode, peer_prefill, our_prefill] = speeds.map(median);
    let [decode, prefill] = ratios.map(median);
    println!(
        "            llama.cpp   eaglet  ratio (medians of {} pairs)",
        PROMPTS * REPEATS
    );
    println!("decode   {peer_decode:8.1} t/s {our_decode:8.1}  {decode:.2}");
    println!("prefill  {peer_prefill:8.1} t/s {our_prefill:8.1}  {prefill:.2}");
    Ok(())
}

fn llama_cpp(
    python: &str,
    root: &Path,
    model: &str,
    line: &str,
    threads: &str,
) -> Result<Speed, String> {
    let prompt = std::env::temp_dir().join(format!("eaglet-bench-{}.jsonl", std::process::id()));
    std::fs::write(&prompt, line).map_err(|e| e.to_string())?;
    let printed = output(
        Command::new(python)
            .arg(root.join("tests/peers/llamacpp.py"))
            .args([
                model,
                "--limit",
                "1",
                "--threads",
                threads,
                "--max-tokens",
                TOKENS,
            ])
            .arg("--prompts")
            .arg(&prompt),
    );
    let _ = std::fs::remove_file(&prompt);
    let printed = printed?;
    let object = printed.lines().rev().find(|line| line.starts_with('{'));
    let object = parse(object.unwrap_or_default())?;
    speed(&object, "decode_tok_s_total", "prefill_tok_s_total")
}

fn ours(eaglet: &Path, line: &str, threads: &str) -> Result<Speed, String> {
    let question = parse(line)?;
    let prompt = question["turns"][0].as_str().unwrap_or_default();
    let printed = output(Command::new(eaglet).args([
        "generate",
        "--json",
        "--method",
        "plain",
        "--threads",
        threads,
        "-n",
        TOKENS,
        prompt,
    ]))?;
    speed(&parse(&printed)?["stats"], "decode_tok_s", "prefill_tok_s")
}

fn speed(object: &Value, decode: &str, prefill: &str) -> Result<Speed, String> {
    let number = |key: &str| object[key].as_f64().ok_or(format!("no {key} was printed"));
    Ok(Speed {
        decode: number(decode)?,
        prefill: number(prefill)?,
    })
}

fn parse(text: &str) -> Result<Value, String> {
    serde_json::from_str(text).map_err(|e| format!("not JSON ({e}): {text}"))
}

fn output(command: &mut Command) -> Result<String, String> {
    let output = command.output().map_err(|e| format!("{command:?}: {e}"))?;
    if !output.status.success() {
        let error = String::from_utf8_lossy(&output.stderr);
        return Err(format!("{command:?} failed: {}", error.trim()));
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_unstable_by(f64::total_cmp);
    values[values.len() / 2]
}
