//! What a run leaves for people: a page with plots.

use std::path::Path;

use super::Args;
use super::course::Course;
use crate::error::Failure;
use eaglet_core::weights::write_atomically;

/// Writes the report. It is written anew after each measurement, so that a browser
/// shows how a run goes.
pub fn write(
    folder: &Path,
    _args: &Args,
    _model: &str,
    course: &Course,
    _steps: usize,
) -> Result<(), Failure> {
    let json = serde_json::to_string(course).map_err(|e| Failure::Runtime(e.to_string()))?;
    Ok(write_atomically(
        &folder.join("report.html"),
        json.as_bytes(),
    )?)
}
