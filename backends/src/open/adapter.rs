//! From an adapter of wgpu to a device that burn knows, natively and in browsers.

use std::sync::Arc;

use cubecl::wgpu::{RuntimeOptions, WgpuDevice, WgpuSetup, init_device};
use eaglet_core::error::{Error, Result};
use wgpu::{Adapter, DeviceType, Features, Instance};

use super::Found;
use crate::cube::Fault;

/// What is known of an adapter before it is opened.
pub fn found(adapter: &Adapter) -> Found {
    let (info, limits) = (adapter.get_info(), adapter.limits());
    let half = match adapter.features().contains(Features::SHADER_F16) {
        true => "f32 and f16",
        false => "f32",
    };
    let software = info.device_type == DeviceType::Cpu;
    let mib = limits.max_storage_buffer_binding_size >> 20;
    Found {
        name: info.name,
        details: format!(
            "{}{}, {half}, workgroups of {}, buffers of {mib} MiB",
            info.backend,
            if software { " in software" } else { "" },
            limits.max_compute_invocations_per_workgroup,
        ),
        software,
        shares: info.device_type != DeviceType::DiscreteGpu,
    }
}

/// A device that burn knows.
#[derive(Clone)]
pub struct Opened {
    /// Burn's name of it.
    pub device: WgpuDevice,
    /// What the driver complains of.
    pub fault: Fault,
    /// To lose it in a test.
    #[cfg(test)]
    pub handle: wgpu::Device,
}

/// Makes a device of an adapter, and tells burn. Each telling makes another device.
///
/// # Errors
/// The driver refuses.
pub async fn prepare(instance: Instance, adapter: Adapter) -> Result<Opened> {
    let (device, queue) = request(&adapter).await?;
    let fault = Fault::default();
    let note = fault.clone();
    device.on_uncaptured_error(Arc::new(move |error: wgpu::Error| {
        note.set(error.to_string())
    }));
    let note = fault.clone();
    device.set_device_lost_callback(move |reason, message| {
        note.lose(format!("{reason:?}: {message}"));
    });
    #[cfg(test)]
    let handle = device.clone();
    let backend = adapter.get_info().backend;
    let setup = WgpuSetup {
        instance,
        adapter,
        device,
        queue,
        backend,
    };
    Ok(Opened {
        device: init_device(setup, options()),
        fault,
        #[cfg(test)]
        handle,
    })
}

/// How work is handed over. In browsers a submit is a message to another process: a pass of
/// the model, at most seven dispatches a layer, goes as one. Native drivers take submits
/// cheaply, and a GPU that gets CubeCL's 32 dispatches at a time is at work while the rest of
/// a pass is recorded.
fn options() -> RuntimeOptions {
    let mut options = RuntimeOptions::default();
    if cfg!(target_family = "wasm") {
        options.tasks_max = 1 << 9;
    }
    options
}

/// The adapter's device, with all it can do: what kernels may use is asked of it later.
async fn request(adapter: &Adapter) -> Result<(wgpu::Device, wgpu::Queue)> {
    let unwanted = Features::MAPPABLE_PRIMARY_BUFFERS | Features::all_experimental_mask();
    let device = adapter.request_device(&wgpu::DeviceDescriptor {
        required_features: adapter.features().difference(unwanted),
        required_limits: adapter.limits(),
        // Buffers are gathered in pages already.
        memory_hints: wgpu::MemoryHints::MemoryUsage,
        ..Default::default()
    });
    device.await.map_err(|e| {
        let name = adapter.get_info().name;
        Error::Device(format!("{name} cannot be opened: {e}"))
    })
}
