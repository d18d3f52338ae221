//! Tokens drawn from rows of logits, in whole numbers: the same as on the host, which
//! `eaglet_core::sample::die` explains.

mod nucleus;
mod whole;

use cubecl::prelude::*;
use eaglet_core::ops::ranking::WIDTH;
use eaglet_core::sample::Die;
use eaglet_core::sample::die::NOTHING;

use super::largest::largest;
use nucleus::{Kept, Row, Tally, keep, keep_parts};
use whole::{Wide, below, minus, share, wide};

/// Words of a [`Die`].
pub const WORDS: usize = 6;
/// Words of what is found for a row: the most likely token, its logit's bits, 1 if a logit is
/// NaN, and the token that was drawn.
pub const FOUND: usize = 4;

const SCALE: usize = 0;
const TOP_K: usize = 1;
const LEFT_OUT: usize = 2;
const LAST: usize = 3;
const RANDOM: usize = 4;

/// A die as a kernel reads it.
pub fn words(die: &Die) -> [u32; WORDS] {
    let random = [die.random as u32, (die.random >> 32) as u32];
    let scale = die.scale.to_bits();
    [
        scale,
        die.top_k,
        die.left_out,
        die.last,
        random[0],
        random[1],
    ]
}

/// What dice leave out of any row: what none does takes no time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Cut {
    /// By number.
    pub top_k: bool,
    /// By probability.
    pub top_p: bool,
}

impl Cut {
    /// Of dice for rows of `width` logits.
    pub fn of(dice: &[Die], width: usize) -> Self {
        Self {
            // The most likely token is known without.
            top_k: dice
                .iter()
                .any(|die| die.top_k != 1 && (die.top_k as usize) < width),
            top_p: dice.iter().any(|die| die.top_k != 1 && die.left_out > 0),
        }
    }
}

/// Draws a token from each row of `logits`, `[rows, width]`, with `count` dice of [`WORDS`] words:
/// [`FOUND`] words. A die is a row's or, where rows were `settled` by the nodes in `ranked`, a
/// depth's. A workgroup of `units` a row. What is drawn from a row that is no number means
/// nothing.
#[allow(clippy::too_many_arguments)] // A kernel's are its bindings.
#[cube(launch_unchecked)]
pub fn draw(
    logits: &[f32],
    dice: &[u32],
    ranked: &[f32],
    found: &mut [u32],
    width: usize,
    count: usize,
    levels: usize,
    #[comptime] cut: Cut,
    #[comptime] settled: bool,
    #[comptime] units: usize,
) {
    let mut die = CUBE_POS;
    if comptime!(settled) {
        die = 0usize;
        if CUBE_POS > 0 {
            let depth = ranked[(CUBE_POS - 1) * WIDTH + 3];
            die = usize::cast_from(depth).min(count - 1);
        }
    }
    let die = die * WORDS;
    let best = largest(logits, CUBE_POS * width, width, units);
    let row = Row {
        start: CUBE_POS * width,
        width,
        most: f32::reinterpret(best[1]),
        scale: f32::reinterpret(dice[die + SCALE]),
    };
    let mut tally = Tally::new(units);
    let mut last = comptime!(NOTHING - 1).runtime();
    let mut ties = NOTHING.runtime();
    if comptime!(cut.top_k) {
        let kept = keep(logits, &row, wide(dice[die + TOP_K], 0u32), false, units);
        last = kept[0];
        ties = kept[1];
    }
    if comptime!(cut.top_p) {
        let left_out = dice[die + LEFT_OUT];
        let kept = keep_parts(
            logits,
            &row,
            &mut tally,
            &Kept { last, ties },
            left_out,
            units,
        );
        last = kept[0];
        ties = kept[1];
    }
    if dice[die + LAST] < last {
        last = dice[die + LAST];
        ties = NOTHING.runtime();
    }
    let random = wide(dice[die + RANDOM], dice[die + RANDOM + 1]);
    let kept = Kept { last, ties };
    let token = place(logits, &row, &mut tally, &kept, random, levels, units);
    if UNIT_POS == 0 {
        let mut drawn = token;
        if dice[die + TOP_K] == 1u32 {
            drawn = best[0];
        }
        let at = CUBE_POS * FOUND;
        found[at] = best[0];
        found[at + 1] = best[1];
        found[at + 2] = best[2];
        found[at + 3] = drawn;
    }
}

/// The token in which `random` parts of 2^64 of all weights lie. It is found among all, then in
/// a part of them, then in a part of that, as often as `levels` says. All invocations go here
/// together.
#[cube]
fn place(
    logits: &[f32],
    row: &Row,
    tally: &mut Tally,
    kept: &Kept,
    random: Wide,
    levels: usize,
    #[comptime] units: usize,
) -> u32 {
    let unit = UNIT_POS as usize;
    let last = kept.last;
    let mut narrowed = Shared::<[u32]>::new_slice(2usize);
    let mut from = 0usize;
    let mut to = row.width;
    // The first invocation's: weight that is left to pass, and tokens of the last key.
    let mut left = wide(0u32, 0u32);
    let mut ties = kept.ties;
    for level in 0..levels {
        let part = (to - from).div_ceil(units);
        let mine = from + unit * part;
        tally.add_up(logits, row, mine, to.min(mine + part), last);
        sync_cube();
        if unit == 0 {
            if level == 0 {
                left = share(tally.total(last, ties, units), random);
            }
            let mut chosen = 0usize;
            let mut passed = true;
            for i in 0..units {
                let tied = tally.tied(i, ties);
                let weight = tally.weight(i, tied, last);
                passed = passed && !below(left, weight);
                if passed {
                    left = minus(left, weight);
                    ties -= tied;
                    chosen = i + 1;
                }
            }
            // Without any weight all parts are passed: the row is no number.
            narrowed[0] = to.min(from + chosen * part) as u32;
            narrowed[1] = to.min(from + chosen * part + part) as u32;
        }
        sync_cube();
        from = narrowed[0] as usize;
        to = narrowed[1] as usize;
    }
    from as u32
}

/// How often a workgroup of `units` parts `width` tokens until one is left.
pub fn levels(width: usize, units: usize) -> usize {
    match width {
        0 | 1 => 0,
        _ => 1 + levels(width.div_ceil(units), units),
    }
}
