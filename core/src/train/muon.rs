//! Steps of Muon: momentum, made orthogonal.
//!
//! Jordan et al., "Muon: An optimizer for hidden layers in neural networks" (2024), with
//! the scale of Liu et al., "Muon is scalable for LLM training" (2025), under which one
//! learning rate serves both this and AdamW.

use burn::tensor::{ElementConversion, Tensor};

/// How much of the old momentum is kept.
pub(super) const MOMENTUM: f64 = 0.95;
/// The root mean square of a step of AdamW, which these steps are brought to.
const RMS: f64 = 0.2;
/// Coefficients of the quintic iteration that drives singular values towards 1.
const QUINTIC: [f64; 3] = [3.4445, -4.7750, 2.0315];
const ITERATIONS: usize = 5;

/// The direction of a step for a matrix, of root mean square [`RMS`]: `momentum` with
/// its singular values brought near to 1 (Newton-Schulz).
pub(super) fn direction(momentum: &Tensor<2>) -> Tensor<2> {
    let [rows, cols] = momentum.dims();
    let tall = rows > cols;
    let flip = |x: Tensor<2>| if tall { x.transpose() } else { x };
    let norm: f32 = momentum.clone().square().sum().into_scalar::<f32>().elem();
    let mut x = flip(momentum.clone()) / (norm.sqrt() + 1e-12);
    let [a, b, c] = QUINTIC;
    for _ in 0..ITERATIONS {
        let square = x.clone().matmul(x.clone().transpose());
        let polynomial = square.clone() * b + square.clone().matmul(square) * c;
        x = x.clone() * a + polynomial.matmul(x);
    }
    flip(x) * (RMS * (rows.max(cols) as f64).sqrt())
}
