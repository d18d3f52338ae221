//! `eaglet list`: the models on this machine.

use std::io::{self, Write};

use indicatif::HumanBytes;

use crate::context::Context;
use crate::error::Failure;
use crate::store::Model;

/// Arguments of `eaglet list`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Print a JSON array of {name, path, bytes}
    #[arg(long)]
    json: bool,
}

/// Runs `eaglet list`.
pub fn run(args: &Args, context: &Context) -> Result<(), Failure> {
    let models = context.store.models()?;
    if models.is_empty() {
        context
            .progress
            .note("no models here yet; `eaglet pull` fetches the default one");
    }
    let mut out = anstream::stdout();
    let written = if args.json {
        json(&mut out, &models)
    } else {
        table(&mut out, &models)
    };
    written.map_err(Failure::output)
}

fn json(out: &mut impl Write, models: &[Model]) -> io::Result<()> {
    serde_json::to_writer_pretty(&mut *out, models)?;
    writeln!(out)
}

fn table(out: &mut impl Write, models: &[Model]) -> io::Result<()> {
    if models.is_empty() {
        return Ok(());
    }
    let rows: Vec<_> = models
        .iter()
        .map(|model| {
            let size = HumanBytes(model.bytes).to_string();
            (model.name.as_str(), size, model.path.display().to_string())
        })
        .collect();
    let width = rows.iter().map(|row| row.0.len()).fold(4, usize::max);
    writeln!(out, "{:width$}  {:>12}  PATH", "NAME", "SIZE")?;
    for (name, size, path) in rows {
        writeln!(out, "{name:width$}  {size:>12}  {path}")?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_line_up_under_their_headings() {
        let model = |name: &str, bytes| Model {
            name: name.into(),
            path: "/m".into(),
            bytes,
        };
        let mut out = Vec::new();
        table(&mut out, &[model("a", 1 << 20), model("longer", 5)]).unwrap();
        assert_eq!(
            String::from_utf8(out).unwrap(),
            "NAME            SIZE  PATH\n\
             a           1.00 MiB  /m\n\
             longer           5 B  /m\n"
        );
    }
}
