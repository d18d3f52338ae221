//! Which of a row's tokens are in the draw.

use cubecl::prelude::*;
use eaglet_core::sample::die::{HALVED, HALVINGS, KEY_ONE, NOTHING};

use super::whole::{Wide, below, high, low, minus, plus, share, times, wide};

/// A row of logits: where it begins, how many there are, the largest, and what differences are
/// multiplied with.
#[derive(Clone, Copy, CubeType)]
pub struct Row {
    pub start: usize,
    pub width: usize,
    pub most: f32,
    pub scale: f32,
}

/// [`key`](eaglet_core::sample::die::key) of a token.
#[cube]
fn key(logits: &[f32], token: usize, row: &Row) -> u32 {
    let halvings = (row.most - logits[row.start + token]) * row.scale;
    let mut key = NOTHING.runtime();
    if halvings < HALVINGS {
        key = u32::cast_from(halvings * comptime!(KEY_ONE as f32));
    }
    key
}

/// [`weight`](eaglet_core::sample::die::weight) of a key that is not nothing.
#[cube]
pub fn weight(key: u32) -> u32 {
    let halvings = (key / KEY_ONE) & 31u32;
    let x = (key % KEY_ONE) << 6u32;
    let mut rest = 0u32;
    #[unroll]
    for i in 0..6usize {
        rest = comptime!(HALVED[5 - i]).runtime() - x.mul_hi(rest);
    }
    let whole = 0x8000_0000u32 - (x.mul_hi(rest) >> 1u32);
    (whole + ((1u32 << halvings) >> 1u32)) >> halvings
}

/// Keeps the shortest prefix of all tokens that measures `goal`: by their weights, or by their
/// number; all where they do not measure that much. Returns the key of the last and how many of
/// that key are in it. All invocations of the workgroup go here together, and only the first has
/// to know the goal.
#[cube]
pub fn keep(
    logits: &[f32],
    row: &Row,
    goal: Wide,
    #[comptime] weighed: bool,
    #[comptime] units: usize,
) -> Shared<[u32]> {
    let unit = UNIT_POS as usize;
    let lows = Shared::<[Atomic<u32>]>::new_slice(256usize);
    let highs = Shared::<[Atomic<u32>]>::new_slice(256usize);
    let mut kept = Shared::<[u32]>::new_slice(2usize);
    let mut last = 0u32;
    let mut before = wide(0u32, 0u32);
    // Byte by byte, from sums over all tokens that share the bytes before.
    for round in 0..4u32 {
        let shift = 24u32 - 8u32 * round;
        for byte in range_stepped(unit, 256, units) {
            lows[byte].store(0u32);
            highs[byte].store(0u32);
        }
        sync_cube();
        for token in range_stepped(unit, row.width, units) {
            let key = key(logits, token, row);
            if key != NOTHING && (key >> shift) >> 8u32 == last {
                let byte = ((key >> shift) & 255u32) as usize;
                let mut measure = 1u32;
                if comptime!(weighed) {
                    measure = weight(key);
                }
                let sum = lows[byte].fetch_add(measure);
                if sum > 0xffff_ffffu32 - measure {
                    highs[byte].fetch_add(1u32);
                }
            }
        }
        sync_cube();
        if unit == 0 {
            let mut byte = 0u32;
            let mut reached = false;
            for i in 0..255usize {
                let sum = plus(before, wide(lows[i].load(), highs[i].load()));
                reached = reached || !below(sum, goal);
                if !reached {
                    before = sum;
                    byte = i as u32 + 1u32;
                }
            }
            kept[0] = (last << 8u32) | byte;
        }
        sync_cube();
        last = kept[0];
    }
    if unit == 0 {
        let mut each = 1u32;
        if comptime!(weighed) {
            each = weight(last);
        }
        // The most of them that fall short, bit by bit, and one more.
        let rest = minus(goal, before);
        let mut short = 0u32;
        for i in 0..24u32 {
            let more = short | (0x80_0000u32 >> i);
            if below(times(more, each), rest) {
                short = more;
            }
        }
        kept[1] = short + 1u32;
        if last == NOTHING {
            kept[0] = comptime!(NOTHING - 1).runtime();
            kept[1] = NOTHING.runtime();
        }
    }
    sync_cube();
    kept
}

/// The last key that stays, and how many of it, where `left_out` of 2^32 parts of the weight of
/// those that did so far may be left out. All invocations go here together.
#[cube]
pub fn keep_parts(
    logits: &[f32],
    row: &Row,
    tally: &mut Tally,
    kept: &Kept,
    left_out: u32,
    #[comptime] units: usize,
) -> Shared<[u32]> {
    let part = row.width.div_ceil(units);
    let from = UNIT_POS as usize * part;
    tally.add_up(logits, row, from, row.width.min(from + part), kept.last);
    sync_cube();
    let mut goal = wide(0u32, 0u32);
    if UNIT_POS == 0 {
        let total = tally.total(kept.last, kept.ties, units);
        goal = minus(total, share(total, wide(0u32, left_out)));
    }
    keep(logits, row, goal, true, units)
}

/// A prefix of the tokens by rising key: the last key, and how many tokens have it.
#[derive(Clone, Copy, CubeType)]
pub struct Kept {
    pub last: u32,
    pub ties: u32,
}

/// What tokens of a row weigh, a part of them for each invocation of a workgroup.
#[derive(CubeType)]
pub struct Tally {
    lows: Shared<[u32]>,
    highs: Shared<[u32]>,
    /// Tokens of the last key, whose weight is not in the sums.
    tied: Shared<[u32]>,
}

#[cube]
impl Tally {
    pub fn new(#[comptime] units: usize) -> Tally {
        Tally {
            lows: Shared::<[u32]>::new_slice(units),
            highs: Shared::<[u32]>::new_slice(units),
            tied: Shared::<[u32]>::new_slice(units),
        }
    }

    /// Weighs tokens `from` to `to`, the invocation's own part. Others see it once all are
    /// through.
    pub fn add_up(&mut self, logits: &[f32], row: &Row, from: usize, to: usize, last: u32) {
        let unit = UNIT_POS as usize;
        let mut sum = wide(0u32, 0u32);
        let mut tied = 0u32;
        for token in from..to {
            let key = key(logits, token, row);
            if key < last {
                sum = plus(sum, wide(weight(key), 0u32));
            } else if key == last {
                tied += 1u32;
            }
        }
        self.lows[unit] = low(sum);
        self.highs[unit] = high(sum);
        self.tied[unit] = tied;
    }

    /// Tokens of the last key in a part, of `ties` at most.
    pub fn tied(&self, part: usize, ties: u32) -> u32 {
        self.tied[part].min(ties)
    }

    /// The weight of a part, of whose tokens of the last key `tied` count.
    pub fn weight(&self, part: usize, tied: u32, last: u32) -> Wide {
        let mut sum = wide(self.lows[part], self.highs[part]);
        if tied > 0u32 {
            sum = plus(sum, times(tied, weight(last)));
        }
        sum
    }

    /// The weight of all parts.
    pub fn total(&self, last: u32, ties: u32, #[comptime] units: usize) -> Wide {
        let mut left = ties;
        let mut sum = wide(0u32, 0u32);
        for part in 0..units {
            let tied = self.tied(part, left);
            sum = plus(sum, self.weight(part, tied, last));
            left -= tied;
        }
        sum
    }
}
