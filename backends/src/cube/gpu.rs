//! A device as kernels see it: its queue, its limits, and what was asked of it so far.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::task::Poll;

use burn_cubecl::CubeRuntime;
use cubecl::bytes::Bytes;
use cubecl::client::ComputeClient;
use cubecl::prelude::{CubeCount, CubeDim};
use cubecl::server::Handle;
use eaglet_core::error::{Error, Result};
use eaglet_core::ops::Counters;

/// What kernels are cut to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Invocations of a workgroup that kernels may count on.
    pub units: u32,
    /// Parts into which a linear layer cuts its sums along k, so that narrow layers fill a
    /// wide device. Fixed for a device: the parts decide the order of sums.
    pub splits: u32,
    /// Whether kernels can read and write half-precision numbers.
    pub half: bool,
    /// Bytes of the largest buffer that a kernel can be given.
    pub binding: usize,
    /// Bytes of the largest piece of a weight: what a buffer holds, or less.
    pub piece: usize,
    /// Whether a processor plays the device.
    pub software: bool,
    /// Whether linear layers and attention run on NVIDIA's tensor cores.
    pub tensor_cores: bool,
    /// Whether workgroups there can see each other's memory.
    pub clusters: bool,
    /// Whether passes that come often are recorded.
    pub records: bool,
}

/// What went wrong on a device behind the back of whoever queued it.
#[derive(Clone, Debug, Default)]
pub struct Fault(Arc<Faults>);

#[derive(Debug, Default)]
struct Faults {
    /// The device is gone, for good.
    lost: OnceLock<String>,
    /// Something failed, and was not told yet.
    failed: Mutex<Option<String>>,
    /// Something failed since buffers were last given back.
    spoiled: AtomicBool,
}

impl Fault {
    /// Something failed: whoever asks next is told, and only they. Keeps the first
    /// message, since what follows it follows from it.
    pub fn set(&self, message: String) {
        let mut failed = self.0.failed.lock().unwrap_or_else(PoisonError::into_inner);
        failed.get_or_insert(message);
        self.0.spoiled.store(true, Relaxed);
    }

    /// The device is lost: whoever asks is told, from now on.
    pub fn lose(&self, message: String) {
        let _ = self.0.lost.set(message);
    }

    /// Whether the device is gone.
    #[cfg(target_family = "wasm")]
    pub fn is_lost(&self) -> bool {
        self.0.lost.get().is_some()
    }

    /// Whether nothing went wrong since the last time.
    ///
    /// # Errors
    /// Something did.
    pub fn check(&self) -> Result<()> {
        if let Some(message) = self.0.lost.get() {
            return Err(Error::Lost(message.clone()));
        }
        let mut failed = self.0.failed.lock().unwrap_or_else(PoisonError::into_inner);
        match failed.take() {
            Some(message) => Err(Error::Device(message)),
            None => Ok(()),
        }
    }

    /// Whether something failed since this was last asked.
    fn spoiled(&self) -> bool {
        self.0.spoiled.swap(false, Relaxed)
    }
}

/// What a future of the runtime gives: it panics where a device is lost under its hands,
/// and where panics cannot be caught it must not be asked again.
async fn guarded<T>(fault: &Fault, future: impl Future<Output = T>) -> Result<T> {
    let mut future = std::pin::pin!(future);
    std::future::poll_fn(move |context| {
        if let Err(error) = fault.check() {
            return Poll::Ready(Err(error));
        }
        // Nothing is used of the future after a panic.
        let polled = AssertUnwindSafe(|| future.as_mut().poll(context));
        match catch_unwind(polled) {
            Ok(poll) => poll.map(Ok),
            Err(_) => Poll::Ready(Err(Error::Lost("the driver gave no reason".into()))),
        }
    })
    .await
}

/// A device's queue, limits and counters.
pub struct Gpu<R: CubeRuntime> {
    /// Where kernels and copies are queued.
    pub client: ComputeClient<R>,
    /// Burn's name of the device.
    pub device: R::CubeDevice,
    /// What kernels are cut to.
    pub limits: Limits,
    /// What the driver complained of.
    pub fault: Fault,
    dispatches: AtomicU64,
    uploads: AtomicU64,
    readbacks: AtomicU64,
    /// Caches that were copied because somebody else held them.
    moves: AtomicU64,
    /// Operations that were left to burn's own kernels.
    fallbacks: AtomicU64,
}

impl<R: CubeRuntime> Gpu<R> {
    /// A device with kernels for real GPUs, or, with `software`, for a processor that
    /// plays one.
    pub fn new(device: R::CubeDevice, software: bool, fault: Fault) -> Self {
        let client = R::client(&device);
        let properties = client.properties();
        let units = properties.hardware.max_units_per_cube.min(256);
        let half = cubecl::ir::ElemType::Float(cubecl::ir::FloatKind::F16);
        let binding = usize::try_from(properties.memory.max_page_size).unwrap_or(usize::MAX);
        let limits = Limits {
            units: units.min(if software { 64 } else { 256 }),
            splits: if software {
                1
            } else {
                (units / LANES).clamp(1, 4)
            },
            half: properties.supports_type(half),
            binding,
            piece: binding,
            software,
            tensor_cores: false,
            clusters: false,
            records: true,
        };
        Self {
            client,
            device,
            limits,
            fault,
            dispatches: AtomicU64::new(0),
            uploads: AtomicU64::new(0),
            readbacks: AtomicU64::new(0),
            moves: AtomicU64::new(0),
            fallbacks: AtomicU64::new(0),
        }
    }

    /// Gives back the buffers that nobody holds, if something failed before: one that the
    /// driver could not make would be handed out again. For the beginning of what is new.
    pub fn recover(&self) {
        if self.fault.spoiled() {
            let _ = self.fault.check();
            self.client.memory_cleanup();
        }
    }

    /// Room for `bytes` bytes.
    ///
    /// # Errors
    /// No buffer of this device is that large.
    pub fn reserve(&self, bytes: usize) -> Result<Handle> {
        self.check_binding(bytes)?;
        Ok(self.client.empty(bytes))
    }

    /// A copy of `bytes` on the device.
    ///
    /// # Errors
    /// As [`Gpu::reserve`].
    pub fn upload(&self, bytes: &[u8]) -> Result<Handle> {
        self.check_binding(bytes.len())?;
        self.uploads.fetch_add(1, Relaxed);
        let handle = self.client.create_from_slice(bytes);
        self.fault.check()?;
        Ok(handle)
    }

    /// Puts `bytes` at the beginning of a buffer, after all that was queued before.
    ///
    /// # Errors
    /// Something failed already.
    pub fn write(&self, buffer: &Handle, bytes: &[u8]) -> Result<()> {
        self.uploads.fetch_add(1, Relaxed);
        let bytes = Bytes::from_bytes_vec(bytes.to_vec());
        self.client.write(buffer, bytes);
        self.fault.check()
    }

    /// [`Gpu::upload`] for what is large: the copy in the host's memory, which may be scarce, does
    /// not wait in the queue.
    ///
    /// # Errors
    /// As [`Gpu::reserve`].
    pub fn hand_over(&self, bytes: Vec<u8>) -> Result<Handle> {
        self.check_binding(bytes.len())?;
        self.uploads.fetch_add(1, Relaxed);
        let handle = self.client.create(Bytes::from_bytes_vec(bytes));
        self.flush()?;
        Ok(handle)
    }

    /// Hands over what was queued, without waiting for it.
    ///
    /// # Errors
    /// Something failed already.
    pub fn flush(&self) -> Result<()> {
        let handed = self.client.flush();
        self.fault.check()?;
        handed.map_err(|e| Error::Device(e.to_string()))
    }

    /// Whether buffers that were asked for were really made: of memory that ran out CUDA
    /// says nothing until a buffer is used.
    ///
    /// # Errors
    /// One of them was not, or something else failed already.
    pub fn check_made(&self, buffers: impl IntoIterator<Item = Handle>) -> Result<()> {
        self.flush()?;
        for buffer in buffers {
            if let Err(error) = self.client.get_resource(buffer) {
                self.fault.0.spoiled.store(true, Relaxed);
                return Err(Error::Device(error.to_string()));
            }
        }
        Ok(())
    }

    /// Waits for all that was queued.
    ///
    /// # Errors
    /// Something of it failed.
    pub async fn finish(&self) -> Result<()> {
        self.count_readback();
        let done = guarded(&self.fault, self.client.sync()).await;
        self.fault.check()?;
        done?.map_err(|e| Error::Device(e.to_string()))
    }

    /// Whether a kernel can be given a buffer of `bytes` bytes.
    ///
    /// # Errors
    /// No buffer of this device is that large.
    pub fn check_binding(&self, bytes: usize) -> Result<()> {
        let most = self.limits.binding;
        if bytes <= most {
            return Ok(());
        }
        Err(Error::Limit {
            what: "bytes in one piece",
            needed: bytes,
            actual: most,
            hint: "ask for a smaller context, or take the processor",
        })
    }

    /// All of some buffers, on the host. One readback.
    ///
    /// # Errors
    /// The device failed, now or in what was queued before.
    pub async fn read<const N: usize>(&self, handles: [Handle; N]) -> Result<[Bytes; N]> {
        self.count_readback();
        self.fault.check()?;
        let read = guarded(&self.fault, self.client.read_async(handles.to_vec())).await;
        // The cause, rather than what came of it.
        self.fault.check()?;
        let read = read?.map_err(|e| Error::Device(e.to_string()))?;
        read.try_into()
            .map_err(|_| Error::Device("the device did not give back all".into()))
    }

    /// Notes kernels that are queued.
    pub fn count_dispatches(&self, count: u64) {
        self.dispatches.fetch_add(count, Relaxed);
    }

    /// Notes a wait for the device.
    pub fn count_readback(&self) {
        self.readbacks.fetch_add(1, Relaxed);
    }

    /// Notes that a cache lies elsewhere from now on.
    pub fn count_move(&self) {
        self.moves.fetch_add(1, Relaxed);
    }

    /// How often that was.
    pub fn moves(&self) -> u64 {
        self.moves.load(Relaxed)
    }

    /// Notes an operation that burn's own kernels do, and what they upload for it.
    pub fn count_fallback(&self) {
        self.fallbacks.fetch_add(1, Relaxed);
    }

    /// How many there were.
    pub fn fallbacks(&self) -> u64 {
        self.fallbacks.load(Relaxed)
    }

    /// What was counted since the device was opened.
    pub fn counters(&self) -> Counters {
        Counters {
            dispatches: self.dispatches.load(Relaxed),
            uploads: self.uploads.load(Relaxed),
            readbacks: self.readbacks.load(Relaxed),
        }
    }

    /// Workgroups for `items` independent items, in two dimensions where one is too short.
    pub fn spread(&self, items: usize) -> (CubeCount, CubeDim) {
        let units = self.limits.units.min(64);
        let groups = items.div_ceil(units as usize);
        let columns = groups.min(u16::MAX as usize);
        let count = CubeCount::new_2d(columns as u32, groups.div_ceil(columns.max(1)) as u32);
        (count, CubeDim::new_1d(units))
    }
}

/// Outputs of a linear layer that a workgroup computes side by side.
pub const LANES: u32 = 32;
