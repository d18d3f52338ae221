//! The slots themselves.

use burn::tensor::DType;

use super::Table;
use crate::error::{Error, Result};
use crate::ops::{Heads, KvLayer, Ops, Recorded};

/// Keys and values of every layer for a fixed number of slots, allocated once.
pub struct KvPool {
    layers: Vec<KvLayer>,
    /// What the device recorded of passes over them.
    recorded: Recorded,
    free: Vec<u32>,
    slots: usize,
}

impl KvPool {
    /// Allocates `slots` slots for `layers` layers in `dtype` (f32 or f16).
    ///
    /// # Errors
    /// The device has not enough memory.
    pub fn new(
        ops: &dyn Ops,
        layers: usize,
        slots: usize,
        heads: Heads,
        dtype: DType,
    ) -> Result<Self> {
        let layers = (0..layers).map(|_| ops.kv_layer(slots, heads, dtype));
        Ok(Self {
            layers: layers.collect::<Result<_>>()?,
            recorded: Recorded::default(),
            // Taken from the end: low slots first, so that a sequence alone is contiguous.
            free: (0..slots as u32).rev().collect(),
            slots,
        })
    }

    /// One layer's keys and values.
    pub fn layer(&mut self, index: usize) -> &mut KvLayer {
        &mut self.layers[index]
    }

    /// Takes out what a device recorded of passes over these layers, for
    /// [`Ops::repeat`]; to be put back with [`KvPool::keep`].
    pub fn take_recorded(&mut self) -> Recorded {
        std::mem::take(&mut self.recorded)
    }

    /// Keeps what was recorded until the next pass. Without it nothing is known of passes.
    pub fn keep(&mut self, recorded: Recorded) {
        self.recorded = recorded;
    }

    /// Slots in all.
    pub fn capacity(&self) -> usize {
        self.slots
    }

    /// Slots that are free.
    pub fn free(&self) -> usize {
        self.free.len()
    }

    /// Takes `count` free slots.
    ///
    /// # Errors
    /// Fewer are free.
    pub fn reserve(&mut self, count: usize) -> Result<Vec<u32>> {
        if count > self.free.len() {
            return Err(Error::Capacity {
                needed: self.slots - self.free.len() + count,
                capacity: self.slots,
                hint: "the cache is full; give it more slots or use fewer sequences",
            });
        }
        let mut slots = self.free.split_off(self.free.len() - count);
        slots.reverse();
        Ok(slots)
    }

    /// Gives slots back.
    pub fn release(&mut self, slots: impl DoubleEndedIterator<Item = u32>) {
        self.free.extend(slots.rev());
    }

    /// Checks that every slot is free or in exactly one table. For debug builds and
    /// tests, between rounds.
    ///
    /// # Errors
    /// A slot is lost, or used twice.
    pub fn check_integrity<'a>(&self, tables: impl Iterator<Item = &'a Table>) -> Result<()> {
        let mut uses = vec![0u32; self.slots];
        let held = tables.flat_map(|table| table.slots());
        for &slot in self.free.iter().chain(held) {
            uses[slot as usize] += 1;
        }
        match uses.iter().position(|&count| count != 1) {
            Some(slot) => Err(Error::Invalid(format!(
                "cache slot {slot} has {} owners",
                uses[slot]
            ))),
            None => Ok(()),
        }
    }
}
