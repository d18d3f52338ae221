//! The GPU of a browser, through WebGPU. Nothing here may block.

use std::cell::{Cell, RefCell};
use std::rc::Rc;

use eaglet_core::error::{Error, Result};
use wgpu::{
    Adapter, Backends, Features, Instance, InstanceDescriptor, PowerPreference,
    RequestAdapterOptions,
};

use super::adapter::{Opened, found, prepare};
use super::{Found, self_test};
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
    /// Whether it passed its self-test, which loads after the first need not wait for.
    proven: Rc<Cell<bool>>,
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

    /// Opens it and has it prove itself (see [`self_test`]), once in a page or worker.
    ///
    /// # Errors
    /// It lacks something that kernels need, the browser refuses, or it computes wrongly.
    pub async fn open(self) -> Result<CubeOps<Wgpu>> {
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
        let Kept { opened, proven } = match KEPT.with_borrow(|kept| kept.clone().filter(works)) {
            Some(kept) => kept,
            None => {
                let kept = Kept {
                    opened: prepare(self.instance, self.adapter).await?,
                    proven: Rc::default(),
                };
                KEPT.replace(Some(kept.clone()));
                kept
            }
        };
        let ops = CubeOps::<Wgpu>::new(opened.device, self.found.software, opened.fault);
        if !proven.get() {
            self_test(&ops).await.map_err(|error| match error {
                Error::Lost(_) => error,
                fault => Error::Device(format!("the GPU failed its self-test: {fault}")),
            })?;
            proven.set(true);
        }
        Ok(ops)
    }
}
