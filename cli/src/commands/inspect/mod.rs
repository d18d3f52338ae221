//! `eaglet inspect`: what a model's file holds, or a head's.

mod head;

use std::io::{self, Write};
use std::path::Path;

use eaglet_core::Error;
use eaglet_core::draft::{HeadCheckpoint, HeadInfo};
use eaglet_core::model::ModelConfig;
use eaglet_core::weights::{Checkpoint, ModelFile};
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
  eaglet inspect --json head        a head to draft with: its kind, and for which width
  eaglet inspect --json folder | jq '.tensors | length'")]
pub struct Args {
    /// A model or a head: a GGUF file, a folder, a head's safetensors file, or a model that
    /// `eaglet list` shows
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
    let mut out = anstream::stdout();
    let written = match open(&path)? {
        Found::Model(config, tensors) if args.json => json(&mut out, &config, &tensors),
        Found::Model(config, tensors) => table(&mut out, &config, &tensors),
        Found::Head(info, tensors) if args.json => head::json(&mut out, &info, &tensors),
        Found::Head(info, tensors) => head::table(&mut out, &info, &tensors),
    };
    written.map_err(Failure::output)
}

/// What a path leads to.
enum Found {
    Model(ModelConfig, Vec<Tensor>),
    Head(HeadInfo, Vec<Tensor>),
}

/// Opens a path as a head's, where its tensors are those of one, or as a model's.
fn open(path: &Path) -> Result<Found, Failure> {
    let head = HeadCheckpoint::open(path);
    if let Ok(head) = &head
        && let Some(info) = head.describe()?
    {
        let tensors = head.tensors.tensors().map(|t| Tensor {
            name: t.name.into(),
            format: t.format,
            shape: t.shape.into(),
            bytes: t.bytes,
        });
        return Ok(Found::Head(info, tensors.collect()));
    }
    let file = match (ModelFile::open(path), head) {
        (Ok(file), _) => file,
        // A file of PyTorch's: the way out is the same for models.
        (Err(_), Err(error @ Error::Unsupported { .. })) => return Err(error.into()),
        (Err(error), _) => return Err(error.into()),
    };
    let tensors = file.tensors().into_iter().map(|t| Tensor {
        name: t.name,
        format: t.format.to_string(),
        shape: t.shape,
        bytes: t.bytes,
    });
    Ok(Found::Model(file.config()?, tensors.collect()))
}

#[derive(Serialize)]
struct Tensor {
    name: String,
    format: String,
    shape: Vec<usize>,
    bytes: usize,
}

fn json(out: &mut impl Write, config: &ModelConfig, tensors: &[Tensor]) -> io::Result<()> {
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

fn table(out: &mut impl Write, config: &ModelConfig, tensors: &[Tensor]) -> io::Result<()> {
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
    list(out, tensors)
}

/// How many tensors there are, and each of them.
fn list(out: &mut impl Write, tensors: &[Tensor]) -> io::Result<()> {
    let (parameters, bytes) = totals(tensors);
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
        let (name, format) = (&t.name, &t.format);
        writeln!(out, "{name:width$}  {format:6}  {size:>11}  {:?}", t.shape)?;
    }
    Ok(())
}

/// Parameters and bytes of all tensors.
fn totals(tensors: &[Tensor]) -> (usize, usize) {
    let parameters = tensors.iter().map(|t| t.shape.iter().product::<usize>());
    let bytes = tensors.iter().map(|t| t.bytes);
    (parameters.sum(), bytes.sum())
}
