//! What is asked of a device: every item costs time whatever it computes.

use std::ops::{AddAssign, Sub};

/// Counts since a device was opened. A device that queues nothing counts nothing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// Kernels that were queued.
    pub dispatches: u64,
    /// Buffers that were copied to the device.
    pub uploads: u64,
    /// Waits for something to come back.
    pub readbacks: u64,
}

impl Sub for Counters {
    type Output = Self;

    fn sub(self, earlier: Self) -> Self {
        Self {
            dispatches: self.dispatches - earlier.dispatches,
            uploads: self.uploads - earlier.uploads,
            readbacks: self.readbacks - earlier.readbacks,
        }
    }
}

impl AddAssign for Counters {
    fn add_assign(&mut self, more: Self) {
        self.dispatches += more.dispatches;
        self.uploads += more.uploads;
        self.readbacks += more.readbacks;
    }
}
