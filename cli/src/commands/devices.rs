//! `eaglet devices`: what models can run on here.

use std::io::Write;

use eaglet_backends::DeviceSpec;

use crate::context::Context;
use crate::error::Failure;

/// Arguments of `eaglet devices`.
#[derive(Debug, clap::Args)]
pub struct Args {}

/// Runs `eaglet devices`.
pub fn run(_: &Args, _: &Context) -> Result<(), Failure> {
    let mut out = anstream::stdout();
    for spec in [DeviceSpec::Cpu, DeviceSpec::Cuda(0), DeviceSpec::Wgpu(0)] {
        let line = match eaglet_backends::open(spec, None) {
            Ok(backend) => backend.description,
            Err(error) => error.to_string(),
        };
        writeln!(out, "{:8}  {line}", spec.to_string()).map_err(Failure::output)?;
    }
    Ok(())
}
