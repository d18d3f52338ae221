//! Sixteen lanes in plain Rust: the definition that every instruction set is held to.

use half::f16;

use super::{LANES, Simd};

/// Arrays of sixteen; the compiler vectorises for the target's baseline.
#[derive(Clone, Copy)]
pub struct Portable;

#[inline(always)]
fn map(f: impl Fn(usize) -> f32) -> [f32; LANES] {
    std::array::from_fn(f)
}

// SAFETY: no special instructions are used; pointers are read as the trait says.
unsafe impl Simd for Portable {
    type F = [f32; LANES];
    type I = [i32; LANES];
    const ROWS: usize = 4;

    #[inline(always)]
    unsafe fn splat(value: f32) -> Self::F {
        [value; LANES]
    }
    #[inline(always)]
    unsafe fn load(from: *const f32) -> Self::F {
        unsafe { from.cast::<Self::F>().read_unaligned() }
    }
    #[inline(always)]
    unsafe fn load_f16(from: *const u16) -> Self::F {
        let bits = unsafe { from.cast::<[u16; LANES]>().read_unaligned() };
        map(|i| f16::from_bits(bits[i]).to_f32())
    }
    #[inline(always)]
    unsafe fn store(to: *mut f32, value: Self::F) {
        unsafe { to.cast::<Self::F>().write_unaligned(value) }
    }
    #[inline(always)]
    unsafe fn store_f16(to: *mut u16, value: Self::F) {
        let bits = value.map(|v| f16::from_f32(v).to_bits());
        unsafe { to.cast::<[u16; LANES]>().write_unaligned(bits) }
    }
    #[inline(always)]
    unsafe fn add(a: Self::F, b: Self::F) -> Self::F {
        map(|i| a[i] + b[i])
    }
    #[inline(always)]
    unsafe fn sub(a: Self::F, b: Self::F) -> Self::F {
        map(|i| a[i] - b[i])
    }
    #[inline(always)]
    unsafe fn mul(a: Self::F, b: Self::F) -> Self::F {
        map(|i| a[i] * b[i])
    }
    #[inline(always)]
    unsafe fn div(a: Self::F, b: Self::F) -> Self::F {
        map(|i| a[i] / b[i])
    }
    #[inline(always)]
    unsafe fn fma(a: Self::F, b: Self::F, c: Self::F) -> Self::F {
        map(|i| a[i].mul_add(b[i], c[i]))
    }
    #[inline(always)]
    unsafe fn max(a: Self::F, b: Self::F) -> Self::F {
        map(|i| if a[i] > b[i] { a[i] } else { b[i] })
    }
    #[inline(always)]
    unsafe fn min(a: Self::F, b: Self::F) -> Self::F {
        map(|i| if a[i] < b[i] { a[i] } else { b[i] })
    }
    #[inline(always)]
    unsafe fn round(a: Self::F) -> Self::F {
        a.map(f32::round_ties_even)
    }
    #[inline(always)]
    unsafe fn pow2(n: Self::F) -> Self::F {
        n.map(|n| f32::from_bits(((n as i32 + 127) as u32) << 23))
    }
    #[inline(always)]
    unsafe fn sum(mut a: Self::F) -> f32 {
        for width in [8, 4, 2, 1] {
            for i in 0..width {
                a[i] += a[i + width];
            }
        }
        a[0]
    }
    #[inline(always)]
    unsafe fn to_float(a: Self::I) -> Self::F {
        map(|i| a[i] as f32)
    }
    #[inline(always)]
    unsafe fn store_i8(to: *mut i8, a: Self::F) {
        let bytes = a.map(|v| v.round_ties_even() as i8);
        unsafe { to.cast::<[i8; LANES]>().write_unaligned(bytes) }
    }

    #[inline(always)]
    unsafe fn dot_q4<const R: usize>(w: *const u8, x: [*const i8; R]) -> [Self::I; R] {
        let mut sums = [[0; LANES]; R];
        for chunk in 0..4 {
            for lane in 0..LANES {
                for t in 0..4 {
                    let pair = unsafe { *w.add(chunk * 64 + lane * 4 + t) };
                    let (low, high) = ((pair & 15) as i32, (pair >> 4) as i32);
                    for (sum, x) in sums.iter_mut().zip(x) {
                        let k = chunk * 4 + t;
                        let (a, b) = unsafe { (*x.add(k) as i32, *x.add(16 + k) as i32) };
                        sum[lane] += low * a + high * b;
                    }
                }
            }
        }
        sums
    }
    #[inline(always)]
    unsafe fn dot_q8<const R: usize>(
        w: *const u8,
        x: [*const i8; R],
        _sums: [i32; R],
    ) -> [Self::I; R] {
        let mut sums = [[0; LANES]; R];
        for group in 0..8 {
            for lane in 0..LANES {
                for t in 0..4 {
                    let w = unsafe { *w.add(group * 64 + lane * 4 + t) } as i32 - 128;
                    for (sum, x) in sums.iter_mut().zip(x) {
                        sum[lane] += w * unsafe { *x.add(group * 4 + t) } as i32;
                    }
                }
            }
        }
        sums
    }
}
