//! What every command is given beside its own arguments.

use std::path::PathBuf;

use eaglet_backends::{Backend, DeviceSpec};
use etcetera::BaseStrategy;

use crate::args::GlobalArgs;
use crate::error::Failure;
use crate::progress::Progress;
use crate::store::{Fetch, ModelRef, Store};

/// The validated global flags.
#[derive(Debug)]
pub struct Context {
    /// The models on this machine.
    pub store: Store,
    /// Where news about long tasks goes.
    pub progress: Progress,
    /// Whether the network is forbidden.
    pub offline: bool,
}

impl Context {
    /// Checks the global flags.
    pub fn new(args: GlobalArgs) -> Result<Self, Failure> {
        // `EAGLET_HOME=` in a script means "not set", not "the current folder".
        let root = match args.home.filter(|home| !home.as_os_str().is_empty()) {
            Some(home) => home,
            None => default_root()?,
        };
        let root = std::path::absolute(&root)
            .map_err(|e| Failure::Input(format!("--home {}: {e}", root.display())))?;
        Ok(Self {
            store: Store::new(root),
            progress: Progress::new(args.quiet),
            offline: args.offline,
        })
    }

    /// Opens a device, whose compiled kernels are kept beside the models.
    pub fn open(&self, device: DeviceSpec, threads: Option<usize>) -> Result<Backend, Failure> {
        eaglet_backends::keep_kernels(&self.store.root().join("kernels"));
        Ok(eaglet_backends::open(device, threads)?)
    }

    /// Where `model` lies on this machine, after fetching it when it is not here yet
    /// and the network is allowed.
    pub fn model(&self, model: &ModelRef) -> Result<PathBuf, Failure> {
        let when = if self.offline {
            Fetch::Never
        } else {
            Fetch::Missing
        };
        Ok(self.store.fetch(model, when, self.progress)?)
    }
}

/// Models can be fetched again, so they live where other re-creatable data does.
fn default_root() -> Result<PathBuf, Failure> {
    let strategy = etcetera::choose_base_strategy().map_err(|_| {
        Failure::Input(
            "this user has no home folder to keep models in; choose a folder with --home DIR \
             or EAGLET_HOME"
                .into(),
        )
    })?;
    Ok(strategy.cache_dir().join("eaglet"))
}
