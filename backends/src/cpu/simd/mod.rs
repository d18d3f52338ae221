//! Sixteen lanes of arithmetic, once for every instruction set.
//!
//! Kernels are generic over [`Simd`] and compiled once for each instruction set; the set
//! is picked at run time ([`Isa::detect`]). Every implementation rounds alike: fused
//! multiply-adds everywhere, lanes reduced in one fixed tree, integer dot products exact.
//! So a kernel's result has the same bits on every x86 and Arm machine, and a test can
//! hold each implementation against [`Portable`]. (In WebAssembly a multiply-add is made
//! of two roundings; what that can change is said in `wasm.rs`.)

#[cfg(target_arch = "x86_64")]
mod avx2;
#[cfg(target_arch = "x86_64")]
mod avx512;
mod exp;
mod portable;
#[cfg(all(target_arch = "wasm32", target_feature = "simd128"))]
mod wasm;

use std::fmt;

pub use exp::exp;
pub use portable::Portable;

/// Lanes in a vector, and outputs in a weight panel.
pub const LANES: usize = 16;

/// Bytes of a 4-bit block of one panel: 16 outputs of 32 values.
pub const Q4_BLOCK: usize = 256;

/// Bytes of an 8-bit block of one panel: 16 outputs of 32 values.
pub const Q8_BLOCK: usize = 512;

/// An instruction set's sixteen lanes.
///
/// # Safety
/// Every method may execute instructions of its set: call only from code that
/// [`Isa::run`] entered for that set. Pointers must be valid for what the method reads
/// or writes (16 elements unless said otherwise); no alignment is assumed.
#[allow(clippy::missing_safety_doc)] // Said once for all methods, above.
pub unsafe trait Simd: Copy + Send + Sync + 'static {
    /// Sixteen f32.
    type F: Copy;
    /// Sixteen i32.
    type I: Copy;
    /// Rows that share one pass over a panel: as many as the registers hold.
    const ROWS: usize;
    /// Queries that share one pass over keys and values, likewise.
    const QUERIES: usize = 1;

    /// The same value in every lane.
    unsafe fn splat(value: f32) -> Self::F;
    /// Sixteen values.
    unsafe fn load(from: *const f32) -> Self::F;
    /// Sixteen f16, widened.
    unsafe fn load_f16(from: *const u16) -> Self::F;
    /// The same of values known to be finite, as weights are.
    #[inline(always)]
    unsafe fn load_finite_f16(from: *const u16) -> Self::F {
        unsafe { Self::load_f16(from) }
    }
    /// Asks for a cache line that will be read soon, wherever it is; it need not exist.
    #[inline(always)]
    fn prefetch<T>(_line: *const T) {}
    /// Stores sixteen values.
    unsafe fn store(to: *mut f32, value: Self::F);
    /// Rounds to f16 (nearest, ties to even) and stores.
    unsafe fn store_f16(to: *mut u16, value: Self::F);
    /// `a + b`
    unsafe fn add(a: Self::F, b: Self::F) -> Self::F;
    /// `a - b`
    unsafe fn sub(a: Self::F, b: Self::F) -> Self::F;
    /// `a * b`
    unsafe fn mul(a: Self::F, b: Self::F) -> Self::F;
    /// `a / b`
    unsafe fn div(a: Self::F, b: Self::F) -> Self::F;
    /// `a * b + c`, rounded once.
    unsafe fn fma(a: Self::F, b: Self::F, c: Self::F) -> Self::F;
    /// The larger of each pair; `b` where one of them is NaN.
    unsafe fn max(a: Self::F, b: Self::F) -> Self::F;
    /// The smaller of each pair; `b` where one of them is NaN.
    unsafe fn min(a: Self::F, b: Self::F) -> Self::F;
    /// To the nearest integer, ties to even.
    unsafe fn round(a: Self::F) -> Self::F;
    /// `2^n` for integral `n` in -126..=127.
    unsafe fn pow2(n: Self::F) -> Self::F;
    /// The sum of all lanes, halves added first: 16, 8, 4, 2, 1.
    unsafe fn sum(a: Self::F) -> f32;
    /// [`Simd::sum`] of each of four, to the same bits.
    #[inline(always)]
    unsafe fn sums(a: [Self::F; 4]) -> [f32; 4] {
        unsafe { a.map(|a| Self::sum(a)) }
    }
    /// Integers to floats.
    unsafe fn to_float(a: Self::I) -> Self::F;
    /// `(sixteen bytes at from) = a`, each lane rounded and known to fit an i8.
    unsafe fn store_i8(to: *mut i8, a: Self::F);

    /// Dot products of 16 outputs' 4-bit block with each row's 32 values, exact.
    /// `w`: [`Q4_BLOCK`] bytes as `panel.rs` lays them out; `x`: 32 values a row.
    unsafe fn dot_q4<const R: usize>(w: *const u8, x: [*const i8; R]) -> [Self::I; R];
    /// Dot products of 16 outputs' 8-bit block with each row's 32 values, exact.
    /// `w`: [`Q8_BLOCK`] bytes, each value plus 128; `sums`: each row's sum of values.
    unsafe fn dot_q8<const R: usize>(
        w: *const u8,
        x: [*const i8; R],
        sums: [i32; R],
    ) -> [Self::I; R];
}

/// Work that is compiled once for every instruction set.
pub trait Kernel {
    /// Does the work. Mark it `#[inline(always)]`, so that it is compiled inside the
    /// function that enables the instructions.
    ///
    /// # Safety
    /// Called by [`Isa::run`] only, which has checked that this machine has `S`.
    unsafe fn run<S: Simd>(self);
}

/// An instruction set that this machine has: there is no way to make another one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Isa(Set);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Set {
    /// AVX-512 (F, BW, VL, VNNI) with FMA and F16C.
    #[cfg(target_arch = "x86_64")]
    Avx512,
    /// AVX2 with FMA, F16C and AVX-VNNI.
    #[cfg(target_arch = "x86_64")]
    AvxVnni,
    /// AVX2 with FMA and F16C.
    #[cfg(target_arch = "x86_64")]
    Avx2,
    /// WebAssembly's SIMD128.
    #[cfg(all(target_arch = "wasm32", target_feature = "simd128"))]
    Simd128,
    /// Plain Rust, which the compiler vectorises for the target's baseline (NEON on
    /// aarch64).
    Portable,
}

impl Isa {
    /// Every set that this machine has, best first.
    pub fn available() -> Vec<Self> {
        let mut sets = Vec::new();
        #[cfg(target_arch = "x86_64")]
        {
            let avx2 = is_x86_feature_detected!("avx2")
                && is_x86_feature_detected!("fma")
                && is_x86_feature_detected!("f16c");
            let avx512 = is_x86_feature_detected!("avx512f")
                && is_x86_feature_detected!("avx512bw")
                && is_x86_feature_detected!("avx512vl")
                && is_x86_feature_detected!("avx512vnni");
            if avx2 && avx512 {
                sets.push(Self(Set::Avx512));
            }
            if avx2 && is_x86_feature_detected!("avxvnni") {
                sets.push(Self(Set::AvxVnni));
            }
            if avx2 {
                sets.push(Self(Set::Avx2));
            }
        }
        #[cfg(all(target_arch = "wasm32", target_feature = "simd128"))]
        sets.push(Self(Set::Simd128));
        sets.push(Self::portable());
        sets
    }

    /// Plain Rust, which every machine has.
    pub fn portable() -> Self {
        Self(Set::Portable)
    }

    /// The best set that this machine has.
    pub fn detect() -> Self {
        Self::available()[0]
    }

    /// [`Simd::QUERIES`] of this set.
    pub fn queries(self) -> usize {
        match self.0 {
            #[cfg(target_arch = "x86_64")]
            Set::Avx512 => avx512::Avx512::QUERIES,
            #[cfg(target_arch = "x86_64")]
            Set::AvxVnni => avx2::Avx2::<true>::QUERIES,
            #[cfg(target_arch = "x86_64")]
            Set::Avx2 => avx2::Avx2::<false>::QUERIES,
            #[cfg(all(target_arch = "wasm32", target_feature = "simd128"))]
            Set::Simd128 => wasm::Simd128::QUERIES,
            Set::Portable => Portable::QUERIES,
        }
    }

    /// Runs a kernel with this set's instructions enabled.
    #[inline]
    pub fn run(self, kernel: impl Kernel) {
        // SAFETY: an `Isa` is only made by `available`, which checked the machine.
        unsafe {
            match self.0 {
                #[cfg(target_arch = "x86_64")]
                Set::Avx512 => avx512::enter(kernel),
                #[cfg(target_arch = "x86_64")]
                Set::AvxVnni => avx2::enter_vnni(kernel),
                #[cfg(target_arch = "x86_64")]
                Set::Avx2 => avx2::enter(kernel),
                #[cfg(all(target_arch = "wasm32", target_feature = "simd128"))]
                Set::Simd128 => kernel.run::<wasm::Simd128>(),
                Set::Portable => kernel.run::<Portable>(),
            }
        }
    }
}

impl fmt::Display for Isa {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.0 {
            #[cfg(target_arch = "x86_64")]
            Set::Avx512 => "AVX-512 VNNI",
            #[cfg(target_arch = "x86_64")]
            Set::AvxVnni => "AVX-VNNI",
            #[cfg(target_arch = "x86_64")]
            Set::Avx2 => "AVX2",
            #[cfg(all(target_arch = "wasm32", target_feature = "simd128"))]
            Set::Simd128 => "WebAssembly SIMD128",
            Set::Portable => "portable",
        })
    }
}
