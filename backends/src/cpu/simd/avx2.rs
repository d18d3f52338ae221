//! Sixteen lanes in two AVX2 registers, with AVX-VNNI's dot products where they are: Intel's
//! processors for desktops and laptops since 2021 have these, and no AVX-512.

use std::arch::x86_64::*;

use super::{Kernel, Simd};

/// Enables the instructions and runs the kernel.
///
/// # Safety
/// The machine must have the features below.
#[target_feature(enable = "avx2,fma,f16c")]
pub unsafe fn enter(kernel: impl Kernel) {
    unsafe { kernel.run::<Avx2<false>>() }
}

/// The same with AVX-VNNI.
///
/// # Safety
/// The machine must have the features below.
#[target_feature(enable = "avx2,fma,f16c,avxvnni")]
pub unsafe fn enter_vnni(kernel: impl Kernel) {
    unsafe { kernel.run::<Avx2<true>>() }
}

/// Two 256-bit registers: lanes 0..8 and 8..16.
#[derive(Clone, Copy)]
pub struct Avx2<const VNNI: bool>;

type F = (__m256, __m256);
type I = (__m256i, __m256i);

/// The sum of eight lanes, halves added first.
#[inline(always)]
pub(super) unsafe fn sum8(a: __m256) -> f32 {
    unsafe {
        let a = _mm_add_ps(_mm256_castps256_ps128(a), _mm256_extractf128_ps::<1>(a));
        let a = _mm_add_ps(a, _mm_movehl_ps(a, a));
        _mm_cvtss_f32(_mm_add_ss(a, _mm_shuffle_ps::<1>(a, a)))
    }
}

/// Four bytes of a row in every lane.
#[inline(always)]
unsafe fn quad(x: *const i8) -> __m256i {
    unsafe { _mm256_set1_epi32(x.cast::<i32>().read_unaligned()) }
}

/// Applies an intrinsic to both halves. A macro and not a closure: closures cannot be
/// forced inline, and an intrinsic that is not inlined is a function call.
macro_rules! both {
    ($f:ident, $a:ident, $b:ident) => {
        unsafe { ($f($a.0, $b.0), $f($a.1, $b.1)) }
    };
}

/// `2^n` for integral `n`.
#[inline(always)]
unsafe fn pow2(n: __m256) -> __m256 {
    unsafe {
        let biased = _mm256_add_epi32(_mm256_cvtps_epi32(n), _mm256_set1_epi32(127));
        _mm256_castsi256_ps(_mm256_slli_epi32::<23>(biased))
    }
}

/// Adds the products of `low` with `x` and of `high` with `y`, pairs of them in 16 bits.
#[inline(always)]
unsafe fn add_q4(sum: __m256i, low: __m256i, x: __m256i, high: __m256i, y: __m256i) -> __m256i {
    unsafe {
        let sum = _mm256_add_epi16(sum, _mm256_maddubs_epi16(low, x));
        _mm256_add_epi16(sum, _mm256_maddubs_epi16(high, y))
    }
}

/// Adds the products of `w` with `x`, four of them in 32 bits. One factor must be
/// unsigned, hence `|x|` times `w` with the sign of `x`; a pair of products, at most
/// `2 * 127 * 127`, fits 16 bits.
#[inline(always)]
unsafe fn add_q8(sum: __m256i, w: __m256i, x: __m256i, size: __m256i) -> __m256i {
    unsafe {
        let pairs = _mm256_maddubs_epi16(size, _mm256_sign_epi8(w, x));
        _mm256_add_epi32(sum, _mm256_madd_epi16(pairs, _mm256_set1_epi16(1)))
    }
}

/// Adds the products of four unsigned bytes of `w` with four signed ones of `x` in each lane.
#[inline(always)]
unsafe fn add_quads(sum: &mut I, w: I, x: __m256i) {
    unsafe {
        sum.0 = _mm256_dpbusd_avx_epi32(sum.0, w.0, x);
        sum.1 = _mm256_dpbusd_avx_epi32(sum.1, w.1, x);
    }
}

/// A chunk of a 4-bit block: the low halves of its bytes, and the high ones.
#[inline(always)]
unsafe fn halves(w: *const u8) -> (I, I) {
    unsafe {
        let mask = _mm256_set1_epi8(15);
        let a = _mm256_loadu_si256(w.cast());
        let b = _mm256_loadu_si256(w.add(32).cast());
        let low = (_mm256_and_si256(a, mask), _mm256_and_si256(b, mask));
        let high = (
            _mm256_and_si256(_mm256_srli_epi16::<4>(a), mask),
            _mm256_and_si256(_mm256_srli_epi16::<4>(b), mask),
        );
        (low, high)
    }
}

// SAFETY: `enter` enabled every feature used here, and `enter_vnni` what `VNNI` stands for.
unsafe impl<const VNNI: bool> Simd for Avx2<VNNI> {
    type F = F;
    type I = I;
    const ROWS: usize = 4;

    #[inline(always)]
    unsafe fn splat(value: f32) -> F {
        unsafe { (_mm256_set1_ps(value), _mm256_set1_ps(value)) }
    }
    #[inline(always)]
    unsafe fn load(from: *const f32) -> F {
        unsafe { (_mm256_loadu_ps(from), _mm256_loadu_ps(from.add(8))) }
    }
    #[inline(always)]
    unsafe fn load_f16(from: *const u16) -> F {
        unsafe {
            let (low, high) = (from.cast(), from.add(8).cast());
            (
                _mm256_cvtph_ps(_mm_loadu_si128(low)),
                _mm256_cvtph_ps(_mm_loadu_si128(high)),
            )
        }
    }
    #[inline(always)]
    fn prefetch<T>(line: *const T) {
        // SAFETY: a hint, which reads nothing.
        unsafe { _mm_prefetch::<_MM_HINT_T0>(line.cast()) }
    }
    #[inline(always)]
    unsafe fn store(to: *mut f32, value: F) {
        unsafe {
            _mm256_storeu_ps(to, value.0);
            _mm256_storeu_ps(to.add(8), value.1);
        }
    }
    #[inline(always)]
    unsafe fn store_f16(to: *mut u16, value: F) {
        unsafe {
            const NEAREST: i32 = _MM_FROUND_TO_NEAREST_INT;
            _mm_storeu_si128(to.cast(), _mm256_cvtps_ph::<NEAREST>(value.0));
            _mm_storeu_si128(to.add(8).cast(), _mm256_cvtps_ph::<NEAREST>(value.1));
        }
    }
    #[inline(always)]
    unsafe fn add(a: F, b: F) -> F {
        both!(_mm256_add_ps, a, b)
    }
    #[inline(always)]
    unsafe fn sub(a: F, b: F) -> F {
        both!(_mm256_sub_ps, a, b)
    }
    #[inline(always)]
    unsafe fn mul(a: F, b: F) -> F {
        both!(_mm256_mul_ps, a, b)
    }
    #[inline(always)]
    unsafe fn div(a: F, b: F) -> F {
        both!(_mm256_div_ps, a, b)
    }
    #[inline(always)]
    unsafe fn fma(a: F, b: F, c: F) -> F {
        unsafe {
            (
                _mm256_fmadd_ps(a.0, b.0, c.0),
                _mm256_fmadd_ps(a.1, b.1, c.1),
            )
        }
    }
    #[inline(always)]
    unsafe fn max(a: F, b: F) -> F {
        both!(_mm256_max_ps, a, b)
    }
    #[inline(always)]
    unsafe fn min(a: F, b: F) -> F {
        both!(_mm256_min_ps, a, b)
    }
    #[inline(always)]
    unsafe fn round(a: F) -> F {
        const NEAREST: i32 = _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC;
        unsafe {
            (
                _mm256_round_ps::<NEAREST>(a.0),
                _mm256_round_ps::<NEAREST>(a.1),
            )
        }
    }
    #[inline(always)]
    unsafe fn pow2(n: F) -> F {
        unsafe { (pow2(n.0), pow2(n.1)) }
    }
    #[inline(always)]
    unsafe fn sum(a: F) -> f32 {
        unsafe { sum8(_mm256_add_ps(a.0, a.1)) }
    }
    #[inline(always)]
    unsafe fn to_float(a: I) -> F {
        unsafe { (_mm256_cvtepi32_ps(a.0), _mm256_cvtepi32_ps(a.1)) }
    }
    #[inline(always)]
    unsafe fn store_i8(to: *mut i8, a: F) {
        unsafe {
            let (low, high) = (_mm256_cvtps_epi32(a.0), _mm256_cvtps_epi32(a.1));
            // The packs work within 128-bit halves; the permutation puts lanes in order.
            let words = _mm256_permute4x64_epi64::<0b11_01_10_00>(_mm256_packs_epi32(low, high));
            let bytes = _mm_packs_epi16(
                _mm256_castsi256_si128(words),
                _mm256_extracti128_si256::<1>(words),
            );
            _mm_storeu_si128(to.cast(), bytes)
        }
    }

    #[inline(always)]
    unsafe fn dot_q4<const R: usize>(w: *const u8, x: [*const i8; R]) -> [I; R] {
        unsafe {
            let mut sums = [(_mm256_setzero_si256(), _mm256_setzero_si256()); R];
            if VNNI {
                for chunk in 0..4 {
                    let (low, high) = halves(w.add(chunk * 64));
                    for r in 0..R {
                        let x = x[r].add(chunk * 4);
                        add_quads(&mut sums[r], low, quad(x));
                        add_quads(&mut sums[r], high, quad(x.add(16)));
                    }
                }
                return sums;
            }
            // Pairs of products stay in 16 bits for the whole block: 8 * 2 * 15 * 127 is
            // 30480, so they are widened once a block and not once a step.
            for chunk in 0..4 {
                let (low, high) = halves(w.add(chunk * 64));
                for r in 0..R {
                    let x = x[r].add(chunk * 4);
                    let (x, y) = (quad(x), quad(x.add(16)));
                    sums[r].0 = add_q4(sums[r].0, low.0, x, high.0, y);
                    sums[r].1 = add_q4(sums[r].1, low.1, x, high.1, y);
                }
            }
            let ones = _mm256_set1_epi16(1);
            for sum in &mut sums {
                *sum = (
                    _mm256_madd_epi16(sum.0, ones),
                    _mm256_madd_epi16(sum.1, ones),
                );
            }
            sums
        }
    }
    #[inline(always)]
    unsafe fn dot_q8<const R: usize>(w: *const u8, x: [*const i8; R], x_sums: [i32; R]) -> [I; R] {
        unsafe {
            let mut sums = [(_mm256_setzero_si256(), _mm256_setzero_si256()); R];
            if VNNI {
                // The weights carry +128, which makes them unsigned as VNNI wants them.
                for r in 0..R {
                    let offset = _mm256_set1_epi32(-128 * x_sums[r]);
                    sums[r] = (offset, offset);
                }
                for group in 0..8 {
                    let at = w.add(group * 64);
                    let a = _mm256_loadu_si256(at.cast());
                    let b = _mm256_loadu_si256(at.add(32).cast());
                    for r in 0..R {
                        add_quads(&mut sums[r], (a, b), quad(x[r].add(group * 4)));
                    }
                }
                return sums;
            }
            let offset = _mm256_set1_epi8(-128);
            for group in 0..8 {
                let a = _mm256_loadu_si256(w.add(group * 64).cast());
                let b = _mm256_loadu_si256(w.add(group * 64 + 32).cast());
                let (a, b) = (_mm256_xor_si256(a, offset), _mm256_xor_si256(b, offset));
                for r in 0..R {
                    let x = quad(x[r].add(group * 4));
                    let size = _mm256_abs_epi8(x);
                    sums[r].0 = add_q8(sums[r].0, a, x, size);
                    sums[r].1 = add_q8(sums[r].1, b, x, size);
                }
            }
            sums
        }
    }
}
