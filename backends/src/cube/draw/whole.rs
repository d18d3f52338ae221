//! Whole numbers of 64 bits in two words: WebGPU has no wider ones.

use cubecl::prelude::*;

/// Low word, high word.
pub type Wide = Vector<u32, Const<2>>;

/// A number of these words.
#[cube]
pub fn wide(low: u32, high: u32) -> Wide {
    let mut number = Wide::new(low);
    number.insert(1usize, high);
    number
}

/// The low word.
#[cube]
pub fn low(number: Wide) -> u32 {
    number.extract(0usize)
}

/// The high word.
#[cube]
pub fn high(number: Wide) -> u32 {
    number.extract(1usize)
}

/// The sum.
#[cube]
pub fn plus(a: Wide, b: Wide) -> Wide {
    let sum = low(a) + low(b);
    let carry = select(sum < low(a), 1u32, 0u32);
    wide(sum, high(a) + high(b) + carry)
}

/// The difference of a number and a smaller one.
#[cube]
pub fn minus(a: Wide, b: Wide) -> Wide {
    let borrow = select(low(a) < low(b), 1u32, 0u32);
    wide(low(a) - low(b), high(a) - high(b) - borrow)
}

/// Whether a number is smaller than another.
#[cube]
pub fn below(a: Wide, b: Wide) -> bool {
    high(a) < high(b) || (high(a) == high(b) && low(a) < low(b))
}

/// The product.
#[cube]
pub fn times(a: u32, b: u32) -> Wide {
    wide(a * b, a.mul_hi(b))
}

/// `part` of 2^64 parts of a whole, rounded down.
#[cube]
pub fn share(whole: Wide, part: Wide) -> Wide {
    let across = times(high(whole), low(part));
    let other = times(low(whole), high(part));
    let least = wide(low(whole).mul_hi(low(part)), 0u32);
    let middle = plus(plus(wide(low(across), 0u32), wide(low(other), 0u32)), least);
    let carried = plus(wide(high(across), 0u32), wide(high(other), 0u32));
    let carried = plus(carried, wide(high(middle), 0u32));
    plus(times(high(whole), high(part)), carried)
}
