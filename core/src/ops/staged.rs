//! What a device made of something for its own use.

use std::any::Any;
use std::fmt;
use std::sync::{Arc, OnceLock};

use crate::error::Result;

/// A device's form of what lies on the host, such as a buffer in its memory: made by the first
/// operation that asks, and kept for the others.
#[derive(Clone, Default)]
pub(super) struct Staged(OnceLock<Arc<dyn Any + Send + Sync>>);

impl Staged {
    /// The form, made if there is none yet.
    pub fn get<T: Any + Send + Sync>(&self, make: impl FnOnce() -> Result<T>) -> Result<Arc<T>> {
        let known = self.0.get().cloned();
        if let Some(Ok(form)) = known.map(|form| form.downcast()) {
            return Ok(form);
        }
        let form = Arc::new(make()?);
        // Another device's form, if there is one, keeps its place.
        let _ = self.0.set(form.clone());
        Ok(form)
    }
}

impl fmt::Debug for Staged {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.0.get().is_some() { "staged" } else { "" })
    }
}
