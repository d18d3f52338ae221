//! `eaglet devices`: what models can run on here.

use std::io::Write;

use eaglet_backends::{Backend, DeviceSpec, Listed};

use crate::context::Context;
use crate::error::Failure;

/// Arguments of `eaglet devices`.
#[derive(Debug, clap::Args)]
pub struct Args {}

/// Runs `eaglet devices`. Every device is opened, which makes a GPU prove itself.
pub fn run(_: &Args, context: &Context) -> Result<(), Failure> {
    let mut out = anstream::stdout();
    let auto = context.open(DeviceSpec::Auto, None)?;
    for Listed { spec, found } in eaglet_backends::list() {
        let name = spec.to_string();
        let (what, works) = match found {
            Err(error) => (error.to_string(), None),
            Ok(found) => {
                let name = match spec {
                    DeviceSpec::Cpu => String::new(),
                    _ => format!("{}: ", found.name),
                };
                (format!("{name}{}", found.details), Some(found.software))
            }
        };
        writeln!(out, "{name:8}  {what}").map_err(Failure::output)?;
        if let Some(software) = works {
            let verdict = verdict(spec, software, &auto);
            writeln!(out, "{:8}  {verdict}", "").map_err(Failure::output)?;
        }
    }
    for device in auto.skipped {
        writeln!(out, "auto passes over {device}").map_err(Failure::output)?;
    }
    Ok(())
}

/// Whether a device works, how fast it reads, and whether it is the one that `auto` takes.
fn verdict(spec: DeviceSpec, software: bool, auto: &Backend) -> String {
    let taken = spec.to_string() == auto.name;
    let bandwidth = match taken {
        true => auto.bandwidth(),
        false => eaglet_backends::open(spec, None).and_then(|backend| backend.bandwidth()),
    };
    match bandwidth {
        Err(error) => error.to_string(),
        Ok(bandwidth) => {
            let auto = match (software, taken) {
                (true, _) => "; never taken by itself, since it is the processor",
                (false, false) => "",
                (false, true) => "; what --device auto takes",
            };
            let test = match spec {
                DeviceSpec::Cpu => "",
                _ => "passed its self-test, ",
            };
            format!("{test}reads {:.1} GB/s{auto}", bandwidth / 1e9)
        }
    }
}
