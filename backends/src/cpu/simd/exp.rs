//! The exponential function on sixteen lanes.

use super::Simd;

/// `e^x`, within 2 units in the last place for x in -87..=88 and clamped outside; NaN stays.
/// Cody-Waite reduction by ln 2 and a polynomial of degree 6.
///
/// # Safety
/// As for the methods of [`Simd`].
#[inline(always)]
pub unsafe fn exp<S: Simd>(x: S::F) -> S::F {
    // SAFETY: the caller keeps the contract of `Simd`.
    unsafe {
        // In this order of arguments NaN stays NaN.
        let x = S::min(S::splat(88.0), S::max(S::splat(-87.0), x));
        let n = S::round(S::mul(x, S::splat(std::f32::consts::LOG2_E)));
        // ln 2 in two parts, so that n * LN2_HIGH is exact.
        const LN2_HIGH: f32 = 0.693_359_4;
        const LN2_LOW: f32 = -2.121_944_4e-4;
        let r = S::fma(n, S::splat(-LN2_HIGH), x);
        let r = S::fma(n, S::splat(-LN2_LOW), r);
        // 1 + r + r^2 (1/2 + r/6 + ...): Taylor coefficients, enough for |r| <= 0.35.
        let mut p = S::splat(1.0 / 5040.0);
        for c in [
            1.0 / 720.0,
            1.0 / 120.0,
            1.0 / 24.0,
            1.0 / 6.0,
            0.5,
            1.0,
            1.0,
        ] {
            p = S::fma(p, r, S::splat(c));
        }
        S::mul(p, S::pow2(n))
    }
}
