//! Path attention: softmax over the slots a row sees, in the order of their positions.
//!
//! Everything is summed in that order whatever slots hold the keys and whatever queries
//! share a pass over them, so a drafted row gets the same bits as it would have had in
//! plain decoding.

mod tile;

use eaglet_core::ops::{Heads, Rows};
use half::f16;

use self::tile::Attend;
use super::simd::{Isa, Simd};
use super::threads::Threads;
use super::unshared::Unshared;

/// An element type that the cache can hold.
pub trait Element: bytemuck::Pod + Sync {
    /// Loads sixteen, widened.
    ///
    /// # Safety
    /// As [`Simd::load`].
    unsafe fn load<S: Simd>(from: *const Self) -> S::F;
    /// Stores sixteen, rounded.
    ///
    /// # Safety
    /// As [`Simd::store`].
    unsafe fn store<S: Simd>(to: *mut Self, value: S::F);
    /// One, widened.
    fn widen(self) -> f32;
    /// One, rounded.
    fn round(value: f32) -> Self;
}

impl Element for f32 {
    #[inline(always)]
    unsafe fn load<S: Simd>(from: *const Self) -> S::F {
        unsafe { S::load(from) }
    }
    #[inline(always)]
    unsafe fn store<S: Simd>(to: *mut Self, value: S::F) {
        unsafe { S::store(to, value) }
    }
    #[inline(always)]
    fn widen(self) -> f32 {
        self
    }
    #[inline(always)]
    fn round(value: f32) -> Self {
        value
    }
}

impl Element for f16 {
    #[inline(always)]
    unsafe fn load<S: Simd>(from: *const Self) -> S::F {
        unsafe { S::load_f16(from.cast()) }
    }
    #[inline(always)]
    unsafe fn store<S: Simd>(to: *mut Self, value: S::F) {
        unsafe { S::store_f16(to.cast(), value) }
    }
    #[inline(always)]
    fn widen(self) -> f32 {
        self.to_f32()
    }
    #[inline(always)]
    fn round(value: f32) -> Self {
        f16::from_f32(value)
    }
}

/// Attends with `queries` (`[rows, heads * dim]`) to keys and values
/// (`[slots, kv heads, dim]`), into `mixed`, of the queries' shape. What `dim` has beyond
/// whole vectors (OpenLLaMA-3B has 100) goes one number at a time.
#[allow(clippy::too_many_arguments)] // Buffers, shapes and machine: no pair belongs together.
pub fn attend<E: Element>(
    queries: &[f32],
    keys: &[E],
    values: &[E],
    heads: Heads,
    rows: &Rows<'_>,
    mixed: &mut [f32],
    isa: Isa,
    threads: &Threads,
) {
    if rows.is_empty() {
        return;
    }
    assert!(
        heads.query.is_multiple_of(heads.kv),
        "heads in whole groups"
    );
    let slots = keys.len().min(values.len()) / (heads.kv * heads.dim);
    assert!(
        highest(rows) < slots,
        "the cache holds every slot that a row sees"
    );
    let mixed = &Unshared::new(mixed);
    threads.ranges_of(rows.len() * heads.query, isa.queries(), |items| {
        isa.run(Attend {
            items,
            queries,
            keys,
            values,
            heads,
            rows,
            mixed,
        });
    });
}

/// The highest slot that a row sees. Rows mostly share a table, of which each looks at what
/// those before it did not see.
fn highest(rows: &Rows<'_>) -> usize {
    let mut last: &[u32] = &[];
    let mut highest = 0;
    for row in 0..rows.len() {
        let (committed, path) = rows.visible(row);
        let known = match committed.as_ptr() == last.as_ptr() {
            true => last.len(),
            false => 0,
        };
        if let Some(new) = committed.get(known..) {
            highest = new.iter().fold(highest, |a, &b| a.max(b));
            last = committed;
        }
        highest = path.iter().fold(highest, |a, &b| a.max(b));
    }
    highest as usize
}

#[cfg(test)]
mod tests {
    use std::panic::{AssertUnwindSafe, catch_unwind};

    use super::*;

    /// Attends over a cache of two slots, with a row that sees `slot`; whether that was done.
    fn reads(slot: u32, heads: Heads) -> bool {
        let cache = vec![0f32; 2 * heads.kv * heads.dim];
        let queries = vec![0.0; heads.query * heads.dim];
        let mut mixed = queries.clone();
        let mut rows = Rows::default();
        let table = rows.add_table(&[]);
        rows.push(0, slot, table, 0, &[slot]);
        let (isa, threads) = (Isa::detect(), Threads::new(1));
        let run = || {
            attend(
                &queries, &cache, &cache, heads, &rows, &mut mixed, isa, &threads,
            )
        };
        catch_unwind(AssertUnwindSafe(run)).is_ok()
    }

    #[test]
    fn what_the_cache_does_not_hold_is_never_read() {
        let heads = |query, kv| Heads { query, kv, dim: 16 };
        assert!(reads(1, heads(2, 1)));
        assert!(!reads(2, heads(2, 1)), "a slot too many");
        assert!(!reads(1, heads(5, 2)), "a head of no group");
    }
}
