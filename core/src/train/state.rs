//! Where a run stands, on disk: a resumed run goes on to the same losses.

use std::collections::HashMap;
use std::path::Path;

use ::safetensors::SafeTensors;
use ::safetensors::tensor::{Dtype as Number, TensorView, serialize};
use burn::tensor::{Device, Tensor, TensorData};

use super::{Optimizer, Parameters, Rule};
use crate::error::{Error, Result};
use crate::weights::write_atomically;

/// Weights, moments and how many steps made them.
pub(super) struct State {
    pub weights: Parameters,
    pub optimizer: Optimizer,
    pub step: usize,
}

/// The parts of a state, by the prefix of their names in the file.
const PARTS: [&str; 3] = ["weights", "first", "second"];

/// Writes a state. `run` says which run it belongs to.
pub(super) fn save(path: &Path, state: &State, run: &str) -> Result<()> {
    let parts = [
        &state.weights,
        &state.optimizer.first,
        &state.optimizer.second,
    ];
    let mut entries = Vec::new();
    for (part, values) in PARTS.iter().zip(parts) {
        for (name, tensor) in &values.0 {
            let values = tensor.to_data().iter::<f32>().collect::<Vec<_>>();
            let bytes: Vec<u8> = values.iter().flat_map(|v| v.to_le_bytes()).collect();
            entries.push((format!("{part}/{name}"), tensor.dims().to_vec(), bytes));
        }
    }
    let refused = |e: ::safetensors::SafeTensorError| Error::Invalid(e.to_string());
    let views = entries.iter().map(|(name, shape, bytes)| {
        let view = TensorView::new(Number::F32, shape.clone(), bytes)?;
        Ok((name.as_str(), view))
    });
    let views: Vec<_> = views.collect::<Result<_, _>>().map_err(refused)?;
    let about = HashMap::from([
        ("run".to_owned(), run.to_owned()),
        ("step".to_owned(), state.step.to_string()),
        ("updates".to_owned(), state.optimizer.updates.to_string()),
    ]);
    write_atomically(path, &serialize(views, Some(about)).map_err(refused)?)
}

/// Reads the state of this run; `None` where there is none yet.
///
/// # Errors
/// The file belongs to a run with other options, or is damaged.
pub(super) fn load(path: &Path, run: &str, rule: Rule, device: &Device) -> Result<Option<State>> {
    if !path.exists() {
        return Ok(None);
    }
    let bytes = std::fs::read(path).map_err(|source| Error::Io {
        path: path.into(),
        source,
    })?;
    let broken = |rule: String| Error::Format {
        path: path.into(),
        format: "checkpoint",
        rule,
    };
    let (_, about) = SafeTensors::read_metadata(&bytes).map_err(|e| broken(e.to_string()))?;
    let about = about.metadata().clone().unwrap_or_default();
    if about.get("run").map(String::as_str) != Some(run) {
        return Err(Error::Invalid(format!(
            "{} belongs to a run with other options: repeat those, or choose another folder",
            path.display()
        )));
    }
    let number = |key: &str| {
        let value = about.get(key).and_then(|text| text.parse().ok());
        value.ok_or_else(|| broken(format!("has no {key}")))
    };
    let file = SafeTensors::deserialize(&bytes).map_err(|e| broken(e.to_string()))?;
    let mut parts = [(); 3].map(|()| Parameters::default());
    for (full, view) in file.tensors() {
        let (part, name) = full.split_once('/').unwrap_or_default();
        let place = PARTS.iter().position(|known| *known == part);
        let (Some(place), &[rows, cols]) = (place, view.shape()) else {
            return Err(broken(format!("tensor `{full}` is not part of a state")));
        };
        let (chunks, _) = view.data().as_chunks::<4>();
        let values: Vec<f32> = chunks.iter().map(|b| f32::from_le_bytes(*b)).collect();
        let data = TensorData::new(values, [rows, cols]);
        parts[place].set(name, Tensor::from_data(data, device));
    }
    let [weights, first, second] = parts;
    Ok(Some(State {
        weights,
        optimizer: Optimizer {
            rule,
            first,
            second,
            updates: number("updates")?,
        },
        step: number("step")?,
    }))
}
