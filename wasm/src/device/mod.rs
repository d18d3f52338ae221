//! Which device runs the model, and why.

mod gpu;
mod trial;

use std::sync::Arc;

use eaglet_backends::DeviceSpec;
use eaglet_core::model::LoadOptions;
use eaglet_core::ops::Ops;
use eaglet_core::weights::Checkpoint;
use serde::Serialize;

use crate::{DeviceChoice, Failure, Options};
pub use trial::pace;

/// A device that was considered.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Candidate {
    /// `webgpu` or `wasm`.
    pub name: &'static str,
    /// Whether it works.
    pub ok: bool,
    /// Seconds of a pass of one row: through the loaded model on the device that was taken,
    /// else estimated from the model's first layers.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub seconds_per_pass: Option<f64>,
    /// Why it was not taken.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

impl Candidate {
    fn works(name: &'static str) -> Self {
        Self {
            name,
            ok: true,
            seconds_per_pass: None,
            reason: None,
        }
    }
}

/// The device that was taken.
#[derive(Clone, Debug, Serialize)]
pub struct Device {
    /// `webgpu` or `wasm`.
    pub name: &'static str,
    /// The instructions or the adapter in use.
    pub description: String,
    /// Why this one.
    pub why: String,
    /// All that were considered.
    pub candidates: Vec<Candidate>,
}

const WEBGPU: &str = "webgpu";
/// The name of the processor.
pub const WASM: &str = "wasm";

/// A device that there is.
pub struct Working {
    /// What it is.
    description: String,
    /// Its operations.
    pub ops: Arc<dyn Ops>,
    /// What has a GPU prove itself.
    proof: Option<gpu::Proof>,
}

impl Working {
    /// Has a GPU prove itself for what was made on it so far.
    ///
    /// # Errors
    /// `device` where it computes wrongly, `lost` where it went away.
    pub async fn prove(&self) -> Result<(), Failure> {
        match &self.proof {
            Some(proof) => Ok(proof.prove().await?),
            None => Ok(()),
        }
    }
}

impl Device {
    /// Opens a device for a model. [`DeviceChoice::Auto`] tries the GPU out, and takes the
    /// faster one. It is to prove itself when the model is on it: see [`Working::prove`].
    ///
    /// # Errors
    /// The one that was asked for is not there or fails; or the model's files are broken.
    pub async fn open(
        options: &Options,
        model: &dyn Checkpoint,
        load: LoadOptions,
    ) -> Result<(Self, Working), Failure> {
        let asked = "it was asked for".to_owned();
        match options.device {
            DeviceChoice::Wasm => Ok(taken(
                WASM,
                processor()?,
                asked,
                vec![Candidate::works(WASM)],
            )),
            DeviceChoice::WebGpu => {
                let gpu = gpu::open(true).await?;
                Ok(taken(WEBGPU, gpu, asked, vec![Candidate::works(WEBGPU)]))
            }
            DeviceChoice::Auto => match found(options).await {
                Ok(gpu) => faster(gpu, processor()?, model, load).await,
                Err(reason) => Ok(without_gpu(processor()?, reason)),
            },
        }
    }

    /// Takes note of how long a pass took on the device in use.
    pub fn measured(&mut self, seconds: f64) {
        for candidate in &mut self.candidates {
            if candidate.name == self.name {
                candidate.seconds_per_pass = Some(seconds);
            }
        }
    }
}

fn taken(
    name: &'static str,
    working: Working,
    why: String,
    candidates: Vec<Candidate>,
) -> (Device, Working) {
    let device = Device {
        name,
        description: working.description.clone(),
        why,
        candidates,
    };
    (device, working)
}

/// The GPU, unless it is no choice; then, why.
async fn found(options: &Options) -> Result<Working, String> {
    match &options.gpu_failed {
        Some(reason) => Err(reason.clone()),
        None => gpu::open(false).await.map_err(|failure| failure.message),
    }
}

/// The kernels in wasm. A module has one thread.
fn processor() -> Result<Working, Failure> {
    let backend = eaglet_backends::open(DeviceSpec::Cpu, Some(1))?;
    Ok(Working {
        description: backend.description,
        ops: backend.ops,
        proof: None,
    })
}

/// The processor, since the GPU is no choice.
fn without_gpu(processor: Working, reason: String) -> (Device, Working) {
    let why = format!("{reason}, so the processor runs the model");
    let webgpu = Candidate {
        ok: false,
        reason: Some(reason),
        ..Candidate::works(WEBGPU)
    };
    taken(WASM, processor, why, vec![webgpu, Candidate::works(WASM)])
}

/// The one on which the model's first layers say that a token takes less time.
async fn faster(
    gpu: Working,
    processor: Working,
    model: &dyn Checkpoint,
    load: LoadOptions,
) -> Result<(Device, Working), Failure> {
    let on_gpu = match trial::estimate(model, &gpu.ops, load).await {
        Ok(seconds) => seconds,
        Err(error) => return Ok(without_gpu(processor, error.to_string())),
    };
    let on_processor = trial::estimate(model, &processor.ops, load).await?;
    Ok(compared(gpu, on_gpu, processor, on_processor))
}

/// The faster of two, by the seconds that a token takes.
fn compared(gpu: Working, on_gpu: f64, processor: Working, on_processor: f64) -> (Device, Working) {
    let [mut webgpu, mut wasm] = [WEBGPU, WASM].map(Candidate::works);
    webgpu.seconds_per_pass = Some(on_gpu);
    wasm.seconds_per_pass = Some(on_processor);
    let why = format!(
        "by the model's first layers a token takes {:.1} ms on the GPU and {:.1} ms on the \
         processor",
        on_gpu * 1e3,
        on_processor * 1e3
    );
    let gpu_wins = on_gpu < on_processor;
    let loser = if gpu_wins { &mut wasm } else { &mut webgpu };
    loser.reason = Some(why.clone());
    let (name, device) = match gpu_wins {
        true => (WEBGPU, gpu),
        false => (WASM, processor),
    };
    taken(name, device, why, vec![webgpu, wasm])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_faster_device_is_taken_and_both_figures_are_told() {
        for (name, [on_gpu, on_processor]) in [(WEBGPU, [0.002, 0.014]), (WASM, [0.014, 0.002])] {
            let [gpu, processor] = [processor(), processor()].map(Result::unwrap);
            let (device, _) = compared(gpu, on_gpu, processor, on_processor);
            assert_eq!(device.name, name, "{}", device.why);
            assert!(device.why.contains("14.0 ms") && device.why.contains("2.0 ms"));
            let seconds: Vec<_> = device
                .candidates
                .iter()
                .map(|c| c.seconds_per_pass)
                .collect();
            assert_eq!(seconds, [Some(on_gpu), Some(on_processor)]);
            for candidate in &device.candidates {
                assert!(candidate.ok);
                assert_eq!(candidate.reason.is_some(), candidate.name != name);
            }
        }
    }

    #[test]
    fn no_gpu_is_no_failure_of_auto() {
        let (device, _) = without_gpu(processor().unwrap(), "there is none".into());
        assert_eq!(device.name, WASM);
        assert_eq!(device.why, "there is none, so the processor runs the model");
        assert_eq!(
            device.candidates[0].reason.as_deref(),
            Some("there is none")
        );
    }
}
