//! AdamW, and Muon for the matrices inside the head, with a schedule: linear warm-up,
//! then half a cosine.

use std::f64::consts::PI;

use burn::tensor::{ElementConversion, Tensor};

use super::muon;
use super::{Gradients, Parameters};
use crate::error::Result;

/// The learning rate over time.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Rate {
    /// The highest.
    pub peak: f64,
    /// Steps on the way there.
    pub warm_up: usize,
    /// Steps in all; at the last one a tenth of the peak is left.
    pub steps: usize,
}

impl Rate {
    /// The rate of a step, counted from 0.
    pub fn at(&self, step: usize) -> f64 {
        if step < self.warm_up {
            return self.peak * (step + 1) as f64 / self.warm_up as f64;
        }
        let all = self.steps.saturating_sub(self.warm_up).max(1);
        let done = ((step - self.warm_up) as f64 / all as f64).min(1.0);
        self.peak * (0.1 + 0.9 * 0.5 * (1.0 + (PI * done).cos()))
    }
}

/// How gradients become steps.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Rule {
    /// AdamW for every weight (Loshchilov and Hutter 2019).
    AdamW,
    /// Muon for the matrices inside the head, AdamW for vectors and the output head.
    /// Learns more from the same tokens.
    #[default]
    Muon,
}

impl Rule {
    fn is_muon(self, name: &str, weight: &Tensor<2>) -> bool {
        self == Self::Muon && weight.dims()[0] > 1 && name != "lm_head.weight"
    }
}

/// A rule and its running means.
#[derive(Clone, Debug, Default)]
pub struct Optimizer {
    /// How gradients become steps.
    pub rule: Rule,
    /// Running means of the gradients.
    pub first: Parameters,
    /// Running means of their squares, of weights that AdamW moves.
    pub second: Parameters,
    /// Updates so far.
    pub updates: usize,
}

/// EAGLE's own.
const BETAS: [f64; 2] = [0.9, 0.95];
const EPSILON: f64 = 1e-8;
/// The longest step as a Euclidean norm over all gradients.
const CLIP: f64 = 0.5;

impl Optimizer {
    /// Moves the weights against the gradients. Gradients longer than 0.5 together are
    /// shortened to it; returns how long they were. There is no weight decay: heads are
    /// small, and the papers use none.
    ///
    /// # Errors
    /// There is a gradient for no weight.
    pub fn update(
        &mut self,
        weights: &mut Parameters,
        gradients: &Gradients,
        rate: f64,
    ) -> Result<f64> {
        let square = |tensor: &Tensor<2>| {
            let sum: f32 = tensor.clone().square().sum().into_scalar::<f32>().elem();
            f64::from(sum)
        };
        let norm = gradients.0.values().map(square).sum::<f64>().sqrt();
        if !norm.is_finite() {
            return Ok(norm); // The step is skipped: one bad batch must not end a run.
        }
        let shorten = (CLIP / (norm + 1e-12)).min(1.0);
        self.updates += 1;
        let correction = BETAS.map(|beta| 1.0 - beta.powi(self.updates as i32));
        for (name, gradient) in &gradients.0 {
            let gradient = gradient.clone() * shorten;
            let weight = weights.get(name)?.clone();
            let blend = |old: Option<&Tensor<2>>, new: Tensor<2>, beta: f64| match old {
                Some(old) => old.clone() * beta + new * (1.0 - beta),
                None => new * (1.0 - beta),
            };
            if self.rule.is_muon(name, &weight) {
                let first = blend(self.first.0.get(name), gradient.clone(), muon::MOMENTUM);
                // Nesterov's look ahead.
                let ahead = blend(Some(&first), gradient, muon::MOMENTUM);
                weights.set(name, weight - muon::direction(&ahead) * rate);
                self.first.set(name, first);
                continue;
            }
            let first = blend(self.first.0.get(name), gradient.clone(), BETAS[0]);
            let second = blend(self.second.0.get(name), gradient.square(), BETAS[1]);
            let scale = (second.clone() / correction[1]).sqrt() + EPSILON;
            let step = first.clone() / scale * (rate / correction[0]);
            weights.set(name, weight - step);
            self.first.set(name, first);
            self.second.set(name, second);
        }
        Ok(norm)
    }
}
