//! How fast a model will be on a device, told from its first layers: a trial of all of it
//! would pack it twice.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use eaglet_core::engine::{Session, SessionOptions};
use eaglet_core::error::Result;
use eaglet_core::model::{LoadOptions, ModelConfig, Transformer};
use eaglet_core::ops::Ops;
use eaglet_core::weights::{Checkpoint, Role, TensorInfo, TensorView};

use crate::engine::plain;

/// Layers of the larger of two cuts; the smaller has one.
const LAYERS: usize = 4;

/// Positions of the trial's cache.
const CONTEXT: usize = 16;

/// Rounds that are run. The fastest counts: the first ones compile kernels, or run code that
/// the browser has not optimised yet.
const ROUNDS: usize = 4;

/// Estimates the seconds of a pass of one row: one layer with embedding and head, and what
/// each further layer adds.
///
/// # Errors
/// The files are broken, or the device failed.
pub async fn estimate(
    model: &dyn Checkpoint,
    ops: &Arc<dyn Ops>,
    load: LoadOptions,
) -> Result<f64> {
    let config = model.config()?;
    let (layers, cut) = (config.layers, config.layers.min(LAYERS));
    let load = LoadOptions {
        context: Some(config.context.min(CONTEXT)),
        ..load
    };
    let one = cut_pass(model, ops, load, 1).await?;
    if cut == 1 {
        return Ok(one);
    }
    let each = (cut_pass(model, ops, load, cut).await? - one).max(0.0) / (cut - 1) as f64;
    Ok(one + each * (layers - 1) as f64)
}

/// Seconds of a pass through the first `layers` layers.
async fn cut_pass(
    whole: &dyn Checkpoint,
    ops: &Arc<dyn Ops>,
    load: LoadOptions,
    layers: usize,
) -> Result<f64> {
    let model = Cut { whole, layers };
    let target = Arc::new(Transformer::load(&model, ops.clone(), load, |_, _| {})?);
    let room = SessionOptions {
        sequences: 1,
        nodes: 0,
    };
    let mut session = Session::new(target, room)?;
    session.open(plain())?;
    pace(&mut session).await
}

/// Runs a prompt of one token and some plain rounds; returns the seconds of the fastest, 0
/// where the clock did not move. A model whose output is not a number shows it here.
///
/// # Errors
/// The device failed.
pub async fn pace(session: &mut Session) -> Result<f64> {
    let mut watch = |_: usize, _: u32| false;
    session.prompt(0, &[0], &mut watch).await?;
    let (mut before, mut fastest) = (Duration::ZERO, Duration::MAX);
    for _ in 0..ROUNDS {
        session.round(&mut watch).await?;
        let decode = session.sequence(0).stats().decode;
        if decode > before {
            fastest = fastest.min(decode - before);
        }
        before = decode;
    }
    Ok(match fastest {
        Duration::MAX => 0.0,
        fastest => fastest.as_secs_f64(),
    })
}

/// A checkpoint that ends after its first layers.
struct Cut<'a> {
    whole: &'a dyn Checkpoint,
    layers: usize,
}

impl Checkpoint for Cut<'_> {
    fn path(&self) -> &Path {
        self.whole.path()
    }

    fn config(&self) -> Result<ModelConfig> {
        Ok(ModelConfig {
            layers: self.layers,
            ..self.whole.config()?
        })
    }

    fn tensors(&self) -> Vec<TensorInfo> {
        self.whole.tensors()
    }

    fn tensor(&self, role: Role) -> Result<Option<TensorView<'_>>> {
        self.whole.tensor(role)
    }

    fn name(&self, role: Role) -> String {
        self.whole.name(role)
    }

    fn release(&self, role: Role) {
        self.whole.release(role);
    }
}

#[cfg(test)]
mod tests {
    use eaglet_core::weights::Gguf;
    use eaglet_tests::tiny::Tiny;

    use super::*;

    #[test]
    fn a_cut_model_runs_and_takes_time() {
        let bytes = Tiny::talking(3).gguf_with_text();
        let model = Gguf::from_bytes(Path::new("tiny.gguf"), bytes).unwrap();
        let ops: Arc<dyn Ops> = Arc::new(eaglet_backends::cpu::CpuOps::new(1));
        let load = LoadOptions::default();
        let seconds = pollster::block_on(estimate(&model, &ops, load)).unwrap();
        assert!(seconds > 0.0 && seconds < 10.0, "{seconds}");
    }
}
