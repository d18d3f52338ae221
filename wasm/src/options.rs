//! How a model is loaded, as JSON says it.

use eaglet_core::model::{LoadOptions, ModelConfig};
use serde::Deserialize;

use crate::Failure;

/// Positions unless more are asked for: keys and values of a browser's models take some
/// tens of megabytes then, and are allocated at once.
const CONTEXT: usize = 4096;

/// Which device runs the model.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum DeviceChoice {
    /// The best one that works.
    #[default]
    Auto,
    /// The GPU.
    WebGpu,
    /// The processor.
    Wasm,
}

/// The options of a load.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Options {
    /// Which device.
    pub device: DeviceChoice,
    /// Why [`DeviceChoice::Auto`] need not try the GPU: it has been tried, and failed.
    pub gpu_failed: Option<String>,
    /// Storage of the weights: `f32`, `f16`, `q8` or `q4`; none keeps the file's.
    pub dtype: Option<String>,
    /// Positions to make room for; none takes 4096, or the model's if they are fewer.
    pub context: Option<usize>,
}

impl Options {
    /// Reads the JSON object.
    ///
    /// # Errors
    /// It is none, or names an option that there is not.
    pub fn parse(json: &str) -> Result<Self, Failure> {
        serde_json::from_str(json).map_err(|e| Failure::invalid(format!("options: {e}")))
    }

    /// The same for a model.
    ///
    /// # Errors
    /// There is no such dtype.
    pub fn load(&self, model: &ModelConfig) -> Result<LoadOptions, Failure> {
        let dtype = self.dtype.as_deref().map(str::parse).transpose()?;
        let context = match self.context {
            Some(0) => return Err(Failure::invalid("a context has one position or more")),
            Some(context) => context,
            None => model.context.min(CONTEXT),
        };
        Ok(LoadOptions {
            dtype,
            context: Some(context),
        })
    }
}
