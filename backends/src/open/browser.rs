//! The GPU of a browser, through WebGPU. Nothing here may block.

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;

use eaglet_core::error::{Error, Result};
use wgpu::{
    Adapter, Backends, Features, Instance, InstanceDescriptor, PowerPreference,
    RequestAdapterOptions,
};

use super::adapter::{Opened, found, prepare};
use super::{Found, Kinds, self_test};
use crate::cube::{CubeOps, Wgpu};

/// Storage buffers of our widest kernel (the rotation), burn's own for sizes included.
const BUFFERS: u32 = 10;

thread_local! {
    /// Burn is told of a device once, as long as it works: each telling makes another one.
    static KEPT: RefCell<Option<Kept>> = const { RefCell::new(None) };
}

/// The device of this page or worker.
#[derive(Clone)]
struct Kept {
    opened: Opened,
    software: bool,
    /// What has passed its self-test, which later loads need not wait for.
    proven: Rc<RefCell<Kinds>>,
}

impl Kept {
    fn ops(&self) -> CubeOps<Wgpu> {
        let Opened { device, fault, .. } = self.opened.clone();
        CubeOps::new(device, self.software, fault)
    }
}

/// Operations on a GPU that has yet to prove itself: only what a model has made on it, so that a
/// page waits for no kernel that it does not run.
pub struct Unproven {
    /// The operations.
    pub ops: Arc<CubeOps<Wgpu>>,
    kept: Kept,
}

impl Unproven {
    /// Has it prove itself (see [`self_test`]) for all weights and caches that were made so far;
    /// each kind once in a page or worker.
    ///
    /// # Errors
    /// It computes wrongly, or the browser has taken it away.
    pub async fn prove(&self) -> Result<()> {
        let lacking = self.ops.made().without(&self.kept.proven.borrow());
        if lacking.is_empty() {
            return Ok(());
        }
        // By operations of its own, or what the test makes would have to be proven too.
        let tested = self_test(&self.kept.ops(), &lacking).await;
        tested.map_err(|error| match error {
            Error::Lost(_) => error,
            fault => Error::Device(format!("the GPU failed its self-test: {fault}")),
        })?;
        self.kept.proven.borrow_mut().add(&lacking);
        Ok(())
    }
}

/// An adapter that the browser offers.
pub struct BrowserGpu {
    /// What is known of it.
    pub found: Found,
    instance: Instance,
    adapter: Adapter,
}

impl BrowserGpu {
    /// Asks the browser; the faster one where it has two. `None` where it offers none.
    pub async fn find() -> Option<Self> {
        // Where there is no WebGPU at all an instance of wgpu's is a panic.
        if !wgpu::util::is_browser_webgpu_supported().await {
            return None;
        }
        let instance = Instance::new(InstanceDescriptor {
            backends: Backends::BROWSER_WEBGPU,
            ..InstanceDescriptor::new_without_display_handle()
        });
        let options = RequestAdapterOptions {
            power_preference: PowerPreference::HighPerformance,
            ..Default::default()
        };
        let adapter = instance.request_adapter(&options).await.ok()?;
        let mut found = found(&adapter);
        if found.name.is_empty() {
            // Browsers hide it from pages that they do not trust with it.
            found.name = "a GPU without a name".into();
        }
        Some(Self {
            found,
            instance,
            adapter,
        })
    }

    /// Opens it. It is not to be trusted before [`Unproven::prove`].
    ///
    /// # Errors
    /// It lacks something that kernels need, or the browser refuses.
    pub async fn open(self) -> Result<Unproven> {
        let buffers = self.adapter.limits().max_storage_buffers_per_shader_stage;
        if buffers < BUFFERS {
            return Err(Error::Limit {
                what: "storage buffers in a kernel",
                needed: BUFFERS as usize,
                actual: buffers as usize,
                hint: "take the processor",
            });
        }
        // CubeCL asks for one in each queue, and panics where there is none.
        if !self.adapter.features().contains(Features::TIMESTAMP_QUERY) {
            let what = "WebGPU here has no timestamp queries: take the processor";
            return Err(Error::Invalid(what.into()));
        }
        let works = |kept: &Kept| !kept.opened.fault.is_lost();
        let kept = match KEPT.with_borrow(|kept| kept.clone().filter(works)) {
            Some(kept) => kept,
            None => {
                let kept = Kept {
                    opened: prepare(self.instance, self.adapter).await?,
                    software: self.found.software,
                    proven: Rc::default(),
                };
                KEPT.replace(Some(kept.clone()));
                kept
            }
        };
        let ops = Arc::new(kept.ops());
        Ok(Unproven { ops, kept })
    }
}
