//! One buffer, written by several threads in places that do not overlap.

use std::marker::PhantomData;
use std::ops::Range;

/// A mutable slice that threads may take disjoint parts of.
pub struct Unshared<'a, T> {
    start: *mut T,
    len: usize,
    borrow: PhantomData<&'a mut [T]>,
}

// SAFETY: the only access is `slice`, whose caller keeps parts disjoint.
unsafe impl<T: Send> Send for Unshared<'_, T> {}
unsafe impl<T: Send> Sync for Unshared<'_, T> {}

impl<'a, T> Unshared<'a, T> {
    /// Borrows a buffer for as long as its parts may live.
    pub fn new(all: &'a mut [T]) -> Self {
        Self {
            start: all.as_mut_ptr(),
            len: all.len(),
            borrow: PhantomData,
        }
    }

    /// One part of the buffer.
    ///
    /// # Safety
    /// Parts that live at the same time must not overlap.
    ///
    /// # Panics
    /// When the range leaves the buffer.
    #[allow(clippy::mut_from_ref)] // The point of this type; see the contract above.
    pub unsafe fn slice(&self, range: Range<usize>) -> &'a mut [T] {
        assert!(range.start <= range.end && range.end <= self.len);
        // SAFETY: inside the buffer, and disjoint by the caller's promise.
        unsafe { std::slice::from_raw_parts_mut(self.start.add(range.start), range.len()) }
    }
}
