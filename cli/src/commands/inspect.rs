//! `eaglet inspect`: what a model file holds.

use std::io::{self, Write};

use eaglet_core::model::ModelConfig;
use eaglet_core::weights::{Checkpoint, ModelFile, TensorInfo};
use indicatif::HumanBytes;
use serde::Serialize;

use crate::context::Context;
use crate::error::Failure;
use crate::store::{DEFAULT_MODEL, ModelRef};

/// Arguments of `eaglet inspect`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  eaglet inspect                    the default model
  eaglet inspect model.gguf         a file
  eaglet inspect --json folder | jq '.tensors | length'")]
pub struct Args {
    /// A GGUF file, a model folder, or a model that `eaglet list` shows
    #[arg(value_name = "FILE", default_value = DEFAULT_MODEL, value_parser = ModelRef::parse)]
    model: ModelRef,

    /// Print one JSON object
    #[arg(long)]
    json: bool,
}

/// Runs `eaglet inspect`.
pub fn run(args: &Args, context: &Context) -> Result<(), Failure> {
    let path = context.store.find(&args.model).ok_or_else(|| {
        Failure::Input(format!(
            "{} is not here; `eaglet pull {}` fetches it",
            args.model, args.model
        ))
    })?;
    let file = ModelFile::open(&path)?;
    let (config, tensors) = (file.config()?, file.tensors());
    let mut out = anstream::stdout();
    let written = match args.json {
        true => json(&mut out, &config, &tensors),
        false => table(&mut out, &config, &tensors),
    };
    written.map_err(Failure::output)
}

#[derive(Serialize)]
struct Tensor<'a> {
    name: &'a str,
    format: String,
    shape: &'a [usize],
    bytes: usize,
}

fn json(out: &mut impl Write, config: &ModelConfig, tensors: &[TensorInfo]) -> io::Result<()> {
    let tensors: Vec<_> = tensors
        .iter()
        .map(|t| Tensor {
            name: &t.name,
            format: t.format.to_string(),
            shape: &t.shape,
            bytes: t.bytes,
        })
        .collect();
    let object = serde_json::json!({
        "architecture": config.architecture,
        "layers": config.layers,
        "hidden": config.hidden,
        "intermediate": config.intermediate,
        "heads": config.heads,
        "kv_heads": config.kv_heads,
        "head_dim": config.head_dim,
        "vocab": config.vocab,
        "context": config.context,
        "rope_theta": config.rope_theta,
        "tensors": tensors,
    });
    serde_json::to_writer_pretty(&mut *out, &object)?;
    writeln!(out)
}

fn table(out: &mut impl Write, config: &ModelConfig, tensors: &[TensorInfo]) -> io::Result<()> {
    let parameters: usize = tensors
        .iter()
        .map(|t| t.shape.iter().product::<usize>())
        .sum();
    let bytes: usize = tensors.iter().map(|t| t.bytes).sum();
    writeln!(
        out,
        "{}: {} layers, hidden {}, feed-forward {}, {} heads of {} ({} for keys), vocabulary {}, \
         context {}",
        config.architecture,
        config.layers,
        config.hidden,
        config.intermediate,
        config.heads,
        config.head_dim,
        config.kv_heads,
        config.vocab,
        config.context
    )?;
    writeln!(
        out,
        "{} tensors, {:.1} M parameters, {}\n",
        tensors.len(),
        parameters as f64 / 1e6,
        HumanBytes(bytes as u64)
    )?;
    let width = tensors.iter().map(|t| t.name.len()).fold(4, usize::max);
    writeln!(out, "{:width$}  FORMAT  {:>11}  SHAPE", "NAME", "SIZE")?;
    for t in tensors {
        let size = HumanBytes(t.bytes as u64).to_string();
        let (name, format) = (&t.name, t.format.to_string());
        writeln!(out, "{name:width$}  {format:6}  {size:>11}  {:?}", t.shape)?;
    }
    Ok(())
}
