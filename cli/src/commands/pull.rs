//! `eaglet pull`: fetch a model and print where it lies.

use std::io::Write;

use crate::context::Context;
use crate::error::Failure;
use crate::store::{DEFAULT_MODEL, Fetch, ModelRef};

/// Arguments of `eaglet pull`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  eaglet pull                                the default model
  eaglet pull hf:Qwen/Qwen3-0.6B             safetensors or the only GGUF file of a repository
  eaglet pull hf:OWNER/NAME/model-q8.gguf    one GGUF file of a repository
  eaglet pull hf:OWNER/NAME@v1.0             a branch, tag or commit

An interrupted download goes on where it stopped, or starts again.
pip and the hub keep their own settings: proxies, HF_ENDPOINT, HF_TOKEN.")]
pub struct Args {
    /// A name from the catalogue, or hf:OWNER/NAME[/FILE.gguf][@REVISION]
    #[arg(default_value = DEFAULT_MODEL, value_parser = ModelRef::parse)]
    model: ModelRef,

    /// Fetch it again even if it is here
    #[arg(long)]
    force: bool,
}

/// Runs `eaglet pull`.
pub fn run(args: &Args, context: &Context) -> Result<(), Failure> {
    if args.force && context.offline {
        return Err(Failure::Input(
            "--force asks for the network and --offline forbids it; drop one of them".into(),
        ));
    }
    let path = match context.store.find(&args.model) {
        Some(path) if !args.force || matches!(args.model, ModelRef::Path(_)) => {
            context
                .progress
                .note(format!("{} is already here", args.model));
            path
        }
        _ if args.force => context
            .store
            .fetch(&args.model, Fetch::Always, context.progress)?,
        _ => context.model(&args.model)?,
    };
    writeln!(anstream::stdout(), "{}", path.display()).map_err(Failure::output)
}
