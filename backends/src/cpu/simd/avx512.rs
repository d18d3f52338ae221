//! Sixteen lanes in one AVX-512 register, with VNNI for the integer dot products.

use std::arch::x86_64::*;

use super::{Kernel, Simd};

/// Enables the instructions and runs the kernel.
///
/// # Safety
/// The machine must have the features below.
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vnni,avx2,fma,f16c")]
pub unsafe fn enter(kernel: impl Kernel) {
    unsafe { kernel.run::<Avx512>() }
}

/// One 512-bit register.
#[derive(Clone, Copy)]
pub struct Avx512;

/// Four bytes of a row in every lane.
#[inline(always)]
unsafe fn quad(x: *const i8) -> __m512i {
    unsafe { _mm512_set1_epi32(x.cast::<i32>().read_unaligned()) }
}

// SAFETY: `enter` enabled every feature used here.
unsafe impl Simd for Avx512 {
    type F = __m512;
    type I = __m512i;
    const ROWS: usize = 8;
    const QUERIES: usize = 6;

    #[inline(always)]
    unsafe fn splat(value: f32) -> Self::F {
        unsafe { _mm512_set1_ps(value) }
    }
    #[inline(always)]
    unsafe fn load(from: *const f32) -> Self::F {
        unsafe { _mm512_loadu_ps(from) }
    }
    #[inline(always)]
    unsafe fn load_f16(from: *const u16) -> Self::F {
        unsafe { _mm512_cvtph_ps(_mm256_loadu_si256(from.cast())) }
    }
    #[inline(always)]
    fn prefetch<T>(line: *const T) {
        // SAFETY: a hint, which reads nothing.
        unsafe { _mm_prefetch::<_MM_HINT_T0>(line.cast()) }
    }
    #[inline(always)]
    unsafe fn store(to: *mut f32, value: Self::F) {
        unsafe { _mm512_storeu_ps(to, value) }
    }
    #[inline(always)]
    unsafe fn store_f16(to: *mut u16, value: Self::F) {
        unsafe {
            let half = _mm512_cvtps_ph::<{ _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC }>(value);
            _mm256_storeu_si256(to.cast(), half)
        }
    }
    #[inline(always)]
    unsafe fn add(a: Self::F, b: Self::F) -> Self::F {
        unsafe { _mm512_add_ps(a, b) }
    }
    #[inline(always)]
    unsafe fn sub(a: Self::F, b: Self::F) -> Self::F {
        unsafe { _mm512_sub_ps(a, b) }
    }
    #[inline(always)]
    unsafe fn mul(a: Self::F, b: Self::F) -> Self::F {
        unsafe { _mm512_mul_ps(a, b) }
    }
    #[inline(always)]
    unsafe fn div(a: Self::F, b: Self::F) -> Self::F {
        unsafe { _mm512_div_ps(a, b) }
    }
    #[inline(always)]
    unsafe fn fma(a: Self::F, b: Self::F, c: Self::F) -> Self::F {
        unsafe { _mm512_fmadd_ps(a, b, c) }
    }
    #[inline(always)]
    unsafe fn max(a: Self::F, b: Self::F) -> Self::F {
        unsafe { _mm512_max_ps(a, b) }
    }
    #[inline(always)]
    unsafe fn min(a: Self::F, b: Self::F) -> Self::F {
        unsafe { _mm512_min_ps(a, b) }
    }
    #[inline(always)]
    unsafe fn round(a: Self::F) -> Self::F {
        unsafe { _mm512_roundscale_ps::<{ _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC }>(a) }
    }
    #[inline(always)]
    unsafe fn pow2(n: Self::F) -> Self::F {
        unsafe {
            let biased = _mm512_add_epi32(_mm512_cvtps_epi32(n), _mm512_set1_epi32(127));
            _mm512_castsi512_ps(_mm512_slli_epi32::<23>(biased))
        }
    }
    #[inline(always)]
    unsafe fn sum(a: Self::F) -> f32 {
        unsafe {
            let high = _mm256_castpd_ps(_mm512_extractf64x4_pd::<1>(_mm512_castps_pd(a)));
            super::avx2::sum8(_mm256_add_ps(_mm512_castps512_ps256(a), high))
        }
    }
    #[inline(always)]
    unsafe fn sums(a: [Self::F; 4]) -> [f32; 4] {
        unsafe {
            // Halves of two vectors side by side, then quarters of all four; within
            // quarters all four at once.
            let halves = |a, b| {
                let low = _mm512_shuffle_f32x4::<0b01_00_01_00>(a, b);
                _mm512_add_ps(low, _mm512_shuffle_f32x4::<0b11_10_11_10>(a, b))
            };
            let (ab, cd) = (halves(a[0], a[1]), halves(a[2], a[3]));
            let low = _mm512_shuffle_f32x4::<0b10_00_10_00>(ab, cd);
            let four = _mm512_add_ps(low, _mm512_shuffle_f32x4::<0b11_01_11_01>(ab, cd));
            let two = _mm512_add_ps(four, _mm512_permute_ps::<0b01_00_11_10>(four));
            let one = _mm512_add_ps(two, _mm512_permute_ps::<0b10_11_00_01>(two));
            let first = _mm512_setr_epi32(0, 4, 8, 12, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0);
            let mut sums = [0.0; 4];
            let packed = _mm512_castps512_ps128(_mm512_permutexvar_ps(first, one));
            _mm_storeu_ps(sums.as_mut_ptr(), packed);
            sums
        }
    }
    #[inline(always)]
    unsafe fn to_float(a: Self::I) -> Self::F {
        unsafe { _mm512_cvtepi32_ps(a) }
    }
    #[inline(always)]
    unsafe fn store_i8(to: *mut i8, a: Self::F) {
        unsafe {
            let bytes = _mm512_cvtepi32_epi8(_mm512_cvtps_epi32(a));
            _mm_storeu_si128(to.cast(), bytes)
        }
    }

    #[inline(always)]
    unsafe fn dot_q4<const R: usize>(w: *const u8, x: [*const i8; R]) -> [Self::I; R] {
        unsafe {
            let mut sums = [_mm512_setzero_si512(); R];
            let mask = _mm512_set1_epi8(15);
            for chunk in 0..4 {
                let pairs = _mm512_loadu_si512(w.add(chunk * 64).cast());
                let low = _mm512_and_si512(pairs, mask);
                let high = _mm512_and_si512(_mm512_srli_epi16::<4>(pairs), mask);
                for r in 0..R {
                    let x = x[r].add(chunk * 4);
                    sums[r] = _mm512_dpbusd_epi32(sums[r], low, quad(x));
                    sums[r] = _mm512_dpbusd_epi32(sums[r], high, quad(x.add(16)));
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
    ) -> [Self::I; R] {
        unsafe {
            // The weights carry +128, which makes them unsigned as VNNI wants them.
            let mut dots = [_mm512_setzero_si512(); R];
            for r in 0..R {
                dots[r] = _mm512_set1_epi32(-128 * sums[r]);
            }
            for group in 0..8 {
                let w = _mm512_loadu_si512(w.add(group * 64).cast());
                for r in 0..R {
                    dots[r] = _mm512_dpbusd_epi32(dots[r], w, quad(x[r].add(group * 4)));
                }
            }
            dots
        }
    }
}
