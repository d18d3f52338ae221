//! Which device runs the model, and why.

use eaglet_backends::{Backend, DeviceSpec};
use serde::Serialize;

use crate::{DeviceChoice, Failure};

/// Why the GPU is not taken.
const NO_WEBGPU: &str = "this build has no WebGPU device yet";

/// A device that was considered.
#[derive(Clone, Debug, Serialize)]
pub struct Candidate {
    /// `webgpu` or `wasm`.
    pub name: &'static str,
    /// Whether it works.
    pub ok: bool,
    /// Seconds of a pass of one row through the loaded model.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub seconds_per_pass: Option<f64>,
    /// Why it does not work.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<&'static str>,
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

impl Device {
    /// Opens a device.
    ///
    /// # Errors
    /// The one that was asked for is not there.
    pub fn open(choice: DeviceChoice) -> Result<(Self, Backend), Failure> {
        let why = match choice {
            DeviceChoice::WebGpu => {
                let message = format!("{NO_WEBGPU}: take the device `wasm` or `auto`");
                return Err(Failure::new("no_webgpu", message));
            }
            DeviceChoice::Auto => format!("{NO_WEBGPU}, so the processor runs the model"),
            DeviceChoice::Wasm => "it was asked for".into(),
        };
        // A module has one thread.
        let backend = eaglet_backends::open(DeviceSpec::Cpu, Some(1))?;
        let device = Self {
            name: "wasm",
            description: backend.description.clone(),
            why,
            candidates: vec![
                Candidate {
                    name: "webgpu",
                    ok: false,
                    seconds_per_pass: None,
                    reason: Some(NO_WEBGPU),
                },
                Candidate {
                    name: "wasm",
                    ok: true,
                    seconds_per_pass: None,
                    reason: None,
                },
            ],
        };
        Ok((device, backend))
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
