//! GPUs through wgpu: Vulkan, Metal and DirectX 12.

use std::collections::HashMap;
use std::path::Path;
use std::sync::{Mutex, PoisonError};

use eaglet_core::error::{Error, Result};
use wgpu::{Adapter, Backends, DeviceType, Instance, InstanceDescriptor};

use super::adapter::{Opened, found, prepare};
use super::{Backend, DeviceSpec, Found, backend};
use crate::cube::{CubeOps, Wgpu};

/// Files of Linux's drivers, one of which every real GPU has: graphics drivers of the
/// kernel, NVIDIA's, Windows behind a virtual machine, Arm's, Qualcomm's.
const DRIVERS: [&str; 5] = [
    "/dev/dri",
    "/dev/nvidiactl",
    "/dev/dxg",
    "/dev/mali0",
    "/dev/kgsl-3d0",
];

/// Whether there can be an adapter that no processor plays.
pub fn is_likely() -> bool {
    !cfg!(target_os = "linux") || DRIVERS.iter().any(|file| Path::new(file).exists())
}

/// Every adapter, best first.
pub fn list() -> Result<Vec<Found>> {
    Ok(adapters()?.1.iter().map(found).collect())
}

/// Opens an adapter, by its place in [`list`].
pub fn open(index: usize) -> Result<Backend> {
    let (instance, mut adapters) = adapters()?;
    if index >= adapters.len() {
        return Err(Error::Invalid(format!(
            "this machine has {} of its kind, counted from 0; see `eaglet devices`",
            adapters.len()
        )));
    }
    let adapter = adapters.swap_remove(index);
    let found = found(&adapter);
    let opened = opened(index, instance, adapter)?;
    let ops = CubeOps::<Wgpu>::new(opened.device, found.software, opened.fault);
    Ok(backend(DeviceSpec::Wgpu(index), &found, ops))
}

fn adapters() -> Result<(Instance, Vec<Adapter>)> {
    let backends = Backends::PRIMARY;
    let instance = Instance::new(InstanceDescriptor {
        backends,
        ..InstanceDescriptor::new_without_display_handle()
    });
    let mut adapters = pollster::block_on(instance.enumerate_adapters(backends));
    adapters.sort_by_key(|adapter| match adapter.get_info().device_type {
        DeviceType::DiscreteGpu => 0,
        DeviceType::IntegratedGpu => 1,
        DeviceType::VirtualGpu => 2,
        DeviceType::Other => 3,
        DeviceType::Cpu => 4,
    });
    match adapters.is_empty() {
        true => Err(Error::Invalid(
            "no GPU driver for Vulkan, Metal or DirectX 12 was found; use --device cpu".into(),
        )),
        false => Ok((instance, adapters)),
    }
}

/// Burn is told of an adapter once: each telling would make another device of it.
static OPENED: Mutex<Option<HashMap<usize, Opened>>> = Mutex::new(None);

fn opened(index: usize, instance: Instance, adapter: Adapter) -> Result<Opened> {
    let mut opened = OPENED.lock().unwrap_or_else(PoisonError::into_inner);
    let opened = opened.get_or_insert_default();
    if let Some(known) = opened.get(&index) {
        return Ok(known.clone());
    }
    let new = pollster::block_on(prepare(instance, adapter))?;
    opened.insert(index, new.clone());
    Ok(new)
}

#[cfg(test)]
mod tests {
    use burn::tensor::{Tensor, TensorData};
    use eaglet_core::ops::Ops;

    use super::*;

    #[test]
    fn the_variants_for_real_gpus_pass_wherever_they_run() {
        let (instance, mut adapters) = match adapters() {
            Ok(found) => found,
            Err(reason) => return println!("skipped: {reason}"),
        };
        let opened = opened(0, instance, adapters.swap_remove(0)).unwrap();
        let ops = CubeOps::<Wgpu>::new(opened.device, false, opened.fault);
        assert!(ops.limits().splits > 1);
        pollster::block_on(crate::self_test(&ops, &crate::Kinds::all())).unwrap();
    }

    #[test]
    fn weights_in_pieces_give_what_whole_ones_give() {
        let (instance, mut adapters) = match adapters() {
            Ok(found) => found,
            Err(reason) => return println!("skipped: {reason}"),
        };
        let opened = opened(0, instance, adapters.swap_remove(0)).unwrap();
        let ops = CubeOps::<Wgpu>::new(opened.device, true, opened.fault);
        // Two rows in f32, twenty in q4, of the self-test's 44.
        pollster::block_on(crate::self_test(&ops.in_pieces(1000), &crate::Kinds::all())).unwrap();
    }

    #[test]
    fn a_failure_is_told_once_and_spoils_nothing_after_it() {
        let (instance, mut adapters) = match adapters() {
            Ok(found) => found,
            Err(reason) => return println!("skipped: {reason}"),
        };
        let adapter = adapters.swap_remove(0);
        // No place that anybody else opens: they must not be told.
        let opened = opened(usize::MAX - 1, instance, adapter).unwrap();
        let ops = CubeOps::<Wgpu>::new(opened.device, true, opened.fault);
        let heads = eaglet_core::ops::Heads {
            query: 1,
            kv: 1,
            dim: 4,
        };
        let cache = || ops.kv_layer(4, heads, burn::tensor::DType::F32);
        // What memory that runs out looks like: a buffer that cannot be made.
        let fail = || {
            opened.handle.create_buffer(&wgpu::BufferDescriptor {
                label: None,
                size: opened.handle.limits().max_buffer_size + 4,
                usage: wgpu::BufferUsages::STORAGE,
                mapped_at_creation: false,
            })
        };
        let values = |value: f32| Tensor::from_data(TensorData::from([[value]]), ops.device());
        let read = |x: Tensor<2>| pollster::block_on(ops.read(x));
        fail();
        assert!(read(values(1.0)).is_err());
        assert_eq!(read(values(2.0)).unwrap(), [2.0]);
        // What begins anew is not told of what came before.
        fail();
        cache().unwrap();
        assert_eq!(read(values(3.0)).unwrap(), [3.0]);
    }

    #[test]
    fn a_lost_device_is_an_error_and_no_hang() {
        let (instance, mut adapters) = match adapters() {
            Ok(found) => found,
            Err(reason) => return println!("skipped: {reason}"),
        };
        let adapter = adapters.swap_remove(0);
        // No place that anybody else opens: the device is of no use afterwards.
        let opened = opened(usize::MAX, instance, adapter).unwrap();
        let ops = CubeOps::<Wgpu>::new(opened.device, true, opened.fault);
        let logits = |values: Vec<f32>| {
            let data = TensorData::new(values, [1, 4]);
            Tensor::<2>::from_data(data, ops.device())
        };
        let argmax = |logits| pollster::block_on(ops.argmax(&logits));
        assert_eq!(argmax(logits(vec![0.0, 2.0, 1.0, 0.0])).unwrap(), [Some(1)]);
        let kept = logits(vec![1.0; 4]);
        opened.handle.destroy();
        let error = argmax(kept).unwrap_err().to_string();
        assert!(error.contains("lost"), "{error}");
    }
}
