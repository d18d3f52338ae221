//! The largest of each row of logits, and what turns them into log-probabilities.

use cubecl::prelude::*;

/// Below every number that could matter.
pub const NOTHING: f32 = -3.4e38;
/// No index.
pub const NONE: u32 = u32::MAX;

/// The bits of one that is not a number.
const NAN: u32 = 0x7fc0_0000;

/// Whether a number is NaN, told from its bits: compilers of kernels may take it for
/// granted that none is.
#[cube]
pub fn is_nan(value: f32) -> bool {
    (u32::reinterpret(value) & 0x7fff_ffff) > 0x7f80_0000
}

/// Whether (`value`, `index`) comes before the other in a list of the largest.
#[cube]
pub fn before(value: f32, index: u32, other: f32, than: u32) -> bool {
    value > other || (value == other && index < than)
}

/// Of `width` logits from `start` on: the index of the largest, the lowest one where several are
/// equal, its bits, and 1 if one is NaN. All invocations of the workgroup go here together, and
/// all of them know it then.
#[cube]
pub fn largest(
    logits: &[f32],
    start: usize,
    width: usize,
    #[comptime] units: usize,
) -> Shared<[u32]> {
    let unit = UNIT_POS as usize;
    let mut values = Shared::<[f32]>::new_slice(units);
    let mut indices = Shared::<[u32]>::new_slice(units);
    let mut broken = Shared::<[u32]>::new_slice(units);
    let mut found = Shared::<[u32]>::new_slice(3usize);
    let mut best = f32::new(NOTHING);
    let mut at = NONE.runtime();
    let mut nan = 0u32;
    for i in range_stepped(unit, width, units) {
        let value = logits[start + i];
        if is_nan(value) {
            nan = 1u32;
        } else if before(value, i as u32, best, at) {
            best = value;
            at = i as u32;
        }
    }
    values[unit] = best;
    indices[unit] = at;
    broken[unit] = nan;
    sync_cube();
    if unit == 0 {
        for i in 1..units {
            if before(values[i], indices[i], best, at) {
                best = values[i];
                at = indices[i];
            }
            nan |= broken[i];
        }
        found[0] = at;
        found[1] = u32::reinterpret(best);
        found[2] = nan;
    }
    sync_cube();
    found
}

/// What [`largest`] finds of each row of `logits`, `[rows, width]`. A workgroup of `units` a row.
#[cube(launch_unchecked)]
pub fn argmax(logits: &[f32], found: &mut [u32], width: usize, #[comptime] units: usize) {
    let best = largest(logits, CUBE_POS * width, width, units);
    if UNIT_POS == 0 {
        let to = CUBE_POS * 3;
        found[to] = best[0];
        found[to + 1] = best[1];
        found[to + 2] = best[2];
    }
}

/// For each row of `logits`, `[rows, width]`: its `k` largest values, largest first and
/// equal ones by rising index, as the bits of an index, which is a whole number or -1 where
/// there are no more, and of a log-softmax. NaN is not among them, and leaves no row a
/// probability. A workgroup of `units` a row; `k` is at most `width`.
#[cube(launch_unchecked)]
pub fn top_k(logits: &[f32], found: &mut [u32], width: usize, k: usize, #[comptime] units: usize) {
    let unit = UNIT_POS as usize;
    let start = CUBE_POS * width;
    let mut values = Shared::<[f32]>::new_slice(units);
    let mut indices = Shared::<[u32]>::new_slice(units);
    let mut sums = Shared::<[f32]>::new_slice(units);
    let mut broken = Shared::<[u32]>::new_slice(units);
    let mut chosen_value = Shared::<[f32]>::new_slice(1usize);
    let mut chosen_index = Shared::<[u32]>::new_slice(1usize);

    let mut best = f32::new(NOTHING);
    let mut at = NONE.runtime();
    let mut nan = 0u32;
    for i in range_stepped(unit, width, units) {
        let value = logits[start + i];
        if is_nan(value) {
            nan = 1u32;
        } else if before(value, i as u32, best, at) {
            best = value;
            at = i as u32;
        }
    }
    values[unit] = best;
    broken[unit] = nan;
    sync_cube();
    let mut most = f32::new(NOTHING);
    for i in 0..units {
        most = most.max(values[i]);
        nan |= broken[i];
    }
    let mut sum = f32::new(0.0);
    for i in range_stepped(unit, width, units) {
        let value = logits[start + i];
        if !is_nan(value) {
            sum += (value - most).exp();
        }
    }
    sums[unit] = sum;
    sync_cube();
    let mut total = f32::new(0.0);
    for i in 0..units {
        total += sums[i];
    }
    let log_sum = most + total.ln();

    for rank in 0..k {
        values[unit] = best;
        indices[unit] = at;
        sync_cube();
        if unit == 0 {
            let mut first = values[0];
            let mut index = indices[0];
            for i in 1..units {
                if before(values[i], indices[i], first, index) {
                    first = values[i];
                    index = indices[i];
                }
            }
            chosen_value[0] = first;
            chosen_index[0] = index;
            let to = (CUBE_POS * k + rank) * 2;
            let mut place = f32::cast_from(index);
            if index == NONE {
                place = f32::new(-1.0);
            }
            found[to] = u32::reinterpret(place);
            // As bits: no arithmetic is sure to keep one that is not a number.
            let mut chance = u32::reinterpret(first - log_sum);
            if nan != 0u32 {
                chance = NAN.runtime();
            }
            found[to + 1] = chance;
        }
        sync_cube();
        // Who had it looks for the next of its own.
        if chosen_index[0] == at {
            let last = chosen_value[0];
            let taken = chosen_index[0];
            best = f32::new(NOTHING);
            at = NONE.runtime();
            for i in range_stepped(unit, width, units) {
                let value = logits[start + i];
                let index = i as u32;
                if !is_nan(value)
                    && before(last, taken, value, index)
                    && before(value, index, best, at)
                {
                    best = value;
                    at = index;
                }
            }
        }
        sync_cube();
    }
}
