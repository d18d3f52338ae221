//! Sixteen lanes in four SIMD128 registers of WebAssembly.
//!
//! The instructions are enabled for the whole module (`+simd128`): a browser either has
//! them or does not load it. There is no fused multiply-add that rounds alike everywhere,
//! so it is made of f64 arithmetic: see [`fma4`].

use std::arch::wasm32::*;

use half::f16;

use super::{LANES, Simd};

/// Four 128-bit registers: lanes 0..4, 4..8, 8..12 and 12..16.
#[derive(Clone, Copy)]
pub struct Simd128;

type Lanes = [v128; 4];

/// Applies an intrinsic to each register. A macro and not a closure: closures cannot be
/// forced inline, and an intrinsic that is not inlined is a function call.
macro_rules! each {
    ($f:ident, $a:ident) => {
        [$f($a[0]), $f($a[1]), $f($a[2]), $f($a[3])]
    };
    ($f:ident, $a:ident, $b:ident) => {
        [
            $f($a[0], $b[0]),
            $f($a[1], $b[1]),
            $f($a[2], $b[2]),
            $f($a[3], $b[3]),
        ]
    };
}

/// `a * b + c` of four lanes. A product of two f32 is exact in f64, so the sum is rounded
/// twice, to f64 and to f32, where native sets round once. The two differ only where the
/// f64 lies exactly between two f32 and the true sum does not: in one of some 2^29 sums.
#[inline(always)]
fn fma4(a: v128, b: v128, c: v128) -> v128 {
    let low = fma2(a, b, c);
    let high = fma2(upper(a), upper(b), upper(c));
    // SAFETY: a static is valid to read.
    let up = unsafe { (&raw const UP).read_volatile() };
    v128_or(low, i8x16_swizzle(high, up))
}

/// Moves the lower two lanes up, zeros below. It is read as something that may change:
/// merged with a shuffle that it knows, the compiler makes the conversions to f32 one lane
/// at a time, which costs a third of all speed.
static UP: v128 = u8x16(
    255, 255, 255, 255, 255, 255, 255, 255, 0, 1, 2, 3, 4, 5, 6, 7,
);

/// The same of the lower two lanes; zeros above.
#[inline(always)]
fn fma2(a: v128, b: v128, c: v128) -> v128 {
    let product = f64x2_mul(f64x2_promote_low_f32x4(a), f64x2_promote_low_f32x4(b));
    f32x4_demote_f64x2_zero(f64x2_add(product, f64x2_promote_low_f32x4(c)))
}

/// The upper two lanes in place of the lower.
#[inline(always)]
fn upper(a: v128) -> v128 {
    i64x2_shuffle::<1, 1>(a, a)
}

/// Four f16 below infinity, one in the low half of each lane (the rest is its sign),
/// widened.
#[inline(always)]
fn widen4_finite(half: v128) -> v128 {
    // Sign, exponent and mantissa to where f32 has them; the exponent is too small by 112
    // then, and multiplying by 2^112 also makes subnormals right.
    let moved = v128_and(i32x4_shl(half, 13), i32x4_splat(0x8FFF_E000_u32 as i32));
    f32x4_mul(moved, f32x4_splat(f32::from_bits((112 + 127) << 23)))
}

/// Four of any f16.
#[inline(always)]
fn widen4(half: v128) -> v128 {
    // Infinity and NaN have the largest exponent in both.
    let exponent = v128_and(half, i32x4_splat(0x7C00));
    let special = i32x4_eq(exponent, i32x4_splat(0x7C00));
    v128_or(
        widen4_finite(half),
        v128_and(special, i32x4_splat(0x7F80_0000)),
    )
}

/// Sixteen f16, each in a lane of 32 bits with its sign.
#[inline(always)]
unsafe fn halves(from: *const u16) -> Lanes {
    let from = from.cast::<i16>();
    // SAFETY: the caller's sixteen values.
    unsafe {
        [
            i32x4_load_extend_i16x4(from),
            i32x4_load_extend_i16x4(from.add(4)),
            i32x4_load_extend_i16x4(from.add(8)),
            i32x4_load_extend_i16x4(from.add(12)),
        ]
    }
}

/// `2^n` of four integral lanes.
#[inline(always)]
fn pow2(n: v128) -> v128 {
    let biased = i32x4_add(i32x4_trunc_sat_f32x4(n), i32x4_splat(127));
    i32x4_shl(biased, 23)
}

/// A row's 32 values as `i32x4_dot_i16x8` takes them: register `4 g + i` of group g holds,
/// in every lane, the values 8 g + (0, 2), (1, 3), (4, 6) and (5, 7) in 16 bits: bytes of
/// the same parity, which a mask and a shift take out of a weight's four bytes.
#[inline(always)]
unsafe fn pairs(x: *const i8) -> [v128; 16] {
    let mut pairs = [i32x4_splat(0); 16];
    for group in 0..4 {
        // SAFETY: the caller's 32 values.
        let eight = unsafe { i16x8_load_extend_i8x8(x.add(group * 8)) };
        let sorted = i16x8_shuffle::<0, 2, 1, 3, 4, 6, 5, 7>(eight, eight);
        pairs[group * 4] = i32x4_shuffle::<0, 0, 0, 0>(sorted, sorted);
        pairs[group * 4 + 1] = i32x4_shuffle::<1, 1, 1, 1>(sorted, sorted);
        pairs[group * 4 + 2] = i32x4_shuffle::<2, 2, 2, 2>(sorted, sorted);
        pairs[group * 4 + 3] = i32x4_shuffle::<3, 3, 3, 3>(sorted, sorted);
    }
    pairs
}

/// Adds dot products of pairs of 16-bit numbers.
#[inline(always)]
fn add_dot(sum: v128, w: v128, x: v128) -> v128 {
    i32x4_add(sum, i32x4_dot_i16x8(w, x))
}

// SAFETY: the module has the instructions; pointers are read as the trait says.
unsafe impl Simd for Simd128 {
    type F = Lanes;
    type I = Lanes;
    const ROWS: usize = 4;

    #[inline(always)]
    unsafe fn splat(value: f32) -> Lanes {
        [f32x4_splat(value); 4]
    }
    #[inline(always)]
    unsafe fn load(from: *const f32) -> Lanes {
        let from = from.cast::<v128>();
        // SAFETY: sixteen values; a load of this kind needs no alignment.
        unsafe {
            [
                v128_load(from),
                v128_load(from.add(1)),
                v128_load(from.add(2)),
                v128_load(from.add(3)),
            ]
        }
    }
    #[inline(always)]
    unsafe fn load_f16(from: *const u16) -> Lanes {
        // SAFETY: sixteen values.
        let halves = unsafe { halves(from) };
        each!(widen4, halves)
    }
    #[inline(always)]
    unsafe fn load_finite_f16(from: *const u16) -> Lanes {
        // SAFETY: sixteen values.
        let halves = unsafe { halves(from) };
        each!(widen4_finite, halves)
    }
    #[inline(always)]
    unsafe fn store(to: *mut f32, value: Lanes) {
        let to = to.cast::<v128>();
        // SAFETY: sixteen values; a store of this kind needs no alignment.
        unsafe {
            v128_store(to, value[0]);
            v128_store(to.add(1), value[1]);
            v128_store(to.add(2), value[2]);
            v128_store(to.add(3), value[3]);
        }
    }
    #[inline(always)]
    unsafe fn store_f16(to: *mut u16, value: Lanes) {
        let mut lanes = [0.0; LANES];
        // SAFETY: the buffer has sixteen values, and so has the caller's.
        unsafe {
            Self::store(lanes.as_mut_ptr(), value);
            let bits = lanes.map(|v| f16::from_f32(v).to_bits());
            to.cast::<[u16; LANES]>().write_unaligned(bits);
        }
    }
    #[inline(always)]
    unsafe fn add(a: Lanes, b: Lanes) -> Lanes {
        each!(f32x4_add, a, b)
    }
    #[inline(always)]
    unsafe fn sub(a: Lanes, b: Lanes) -> Lanes {
        each!(f32x4_sub, a, b)
    }
    #[inline(always)]
    unsafe fn mul(a: Lanes, b: Lanes) -> Lanes {
        each!(f32x4_mul, a, b)
    }
    #[inline(always)]
    unsafe fn div(a: Lanes, b: Lanes) -> Lanes {
        each!(f32x4_div, a, b)
    }
    #[inline(always)]
    unsafe fn fma(a: Lanes, b: Lanes, c: Lanes) -> Lanes {
        [
            fma4(a[0], b[0], c[0]),
            fma4(a[1], b[1], c[1]),
            fma4(a[2], b[2], c[2]),
            fma4(a[3], b[3], c[3]),
        ]
    }
    #[inline(always)]
    unsafe fn max(a: Lanes, b: Lanes) -> Lanes {
        // `pmax(b, a)` is `b < a ? a : b`: the trait's rule for NaN.
        each!(f32x4_pmax, b, a)
    }
    #[inline(always)]
    unsafe fn min(a: Lanes, b: Lanes) -> Lanes {
        each!(f32x4_pmin, b, a)
    }
    #[inline(always)]
    unsafe fn round(a: Lanes) -> Lanes {
        each!(f32x4_nearest, a)
    }
    #[inline(always)]
    unsafe fn pow2(n: Lanes) -> Lanes {
        each!(pow2, n)
    }
    #[inline(always)]
    unsafe fn sum(a: Lanes) -> f32 {
        let four = f32x4_add(f32x4_add(a[0], a[2]), f32x4_add(a[1], a[3]));
        let two = f32x4_add(four, upper(four));
        f32x4_extract_lane::<0>(two) + f32x4_extract_lane::<1>(two)
    }
    #[inline(always)]
    unsafe fn to_float(a: Lanes) -> Lanes {
        each!(f32x4_convert_i32x4, a)
    }
    #[inline(always)]
    unsafe fn store_i8(to: *mut i8, a: Lanes) {
        let a = each!(i32x4_trunc_sat_f32x4, a);
        let (low, high) = (
            i16x8_narrow_i32x4(a[0], a[1]),
            i16x8_narrow_i32x4(a[2], a[3]),
        );
        // SAFETY: sixteen bytes.
        unsafe { v128_store(to.cast(), i8x16_narrow_i16x8(low, high)) }
    }

    #[inline(always)]
    unsafe fn dot_q4<const R: usize>(w: *const u8, x: [*const i8; R]) -> [Lanes; R] {
        // SAFETY: a block of weights and 32 values a row.
        unsafe {
            let mut x_pairs = [[i32x4_splat(0); 16]; R];
            for r in 0..R {
                x_pairs[r] = pairs(x[r]);
            }
            let mut sums = [[i32x4_splat(0); 4]; R];
            let nibble = i16x8_splat(15);
            // Four outputs at a time, so that their sums stay in registers.
            for four in 0..4 {
                for chunk in 0..4 {
                    let bytes = v128_load(w.add(chunk * 64 + four * 16).cast());
                    let even = v128_and(bytes, nibble);
                    let odd = v128_and(u16x8_shr(bytes, 8), nibble);
                    let high_even = v128_and(u16x8_shr(bytes, 4), nibble);
                    let high_odd = u16x8_shr(bytes, 12);
                    for r in 0..R {
                        let x = &x_pairs[r];
                        let mut sum = sums[r][four];
                        sum = add_dot(sum, even, x[chunk * 2]);
                        sum = add_dot(sum, odd, x[chunk * 2 + 1]);
                        sum = add_dot(sum, high_even, x[8 + chunk * 2]);
                        sum = add_dot(sum, high_odd, x[8 + chunk * 2 + 1]);
                        sums[r][four] = sum;
                    }
                }
            }
            sums
        }
    }
    #[inline(always)]
    unsafe fn dot_q8<const R: usize>(
        w: *const u8,
        x: [*const i8; R],
        sums: [i32; R],
    ) -> [Lanes; R] {
        // SAFETY: a block of weights and 32 values a row.
        unsafe {
            let mut x_pairs = [[i32x4_splat(0); 16]; R];
            // The weights carry +128, which keeps them positive in 16 bits.
            let mut dots = [[i32x4_splat(0); 4]; R];
            for r in 0..R {
                x_pairs[r] = pairs(x[r]);
                dots[r] = [i32x4_splat(-128 * sums[r]); 4];
            }
            let byte = i16x8_splat(255);
            for four in 0..4 {
                for group in 0..8 {
                    let bytes = v128_load(w.add(group * 64 + four * 16).cast());
                    let (even, odd) = (v128_and(bytes, byte), u16x8_shr(bytes, 8));
                    for r in 0..R {
                        let x = &x_pairs[r];
                        let sum = add_dot(dots[r][four], even, x[group * 2]);
                        dots[r][four] = add_dot(sum, odd, x[group * 2 + 1]);
                    }
                }
            }
            dots
        }
    }
}
