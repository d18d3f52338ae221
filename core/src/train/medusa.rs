//! Training of Medusa heads (Medusa-1: the target is frozen).

use std::sync::Arc;

use burn::tensor::Tensor;
use burn::tensor::activation::silu;

use super::batch::indices;
use super::export::head_file;
use super::layer::project;
use super::{Batch, DraftVocabulary, Initial, Loss, Measured, Network, Parameters, cross_entropy};
use crate::draft::HeadFile;
use crate::error::Result;
use crate::model::Transformer;

/// What a head further ahead weighs.
const DECAY: f64 = 0.8;

/// Medusa heads in training: one residual block each, before the target's own output
/// head, which stays as it is.
pub struct MedusaNetwork {
    target: Arc<Transformer>,
    heads: usize,
    /// The rows of the target's output head that the cross-entropy is over: frozen.
    head: Tensor<2>,
}

impl MedusaNetwork {
    /// `heads` heads for a target.
    ///
    /// # Errors
    /// The target's weights cannot be read.
    pub fn new(
        target: Arc<Transformer>,
        weights: &Initial<'_>,
        vocabulary: &DraftVocabulary,
        heads: usize,
    ) -> Result<Self> {
        let head = weights.head(vocabulary)?;
        Ok(Self {
            target,
            heads,
            head,
        })
    }
}

impl Network for MedusaNetwork {
    fn name(&self) -> &'static str {
        "medusa"
    }

    fn taps(&self) -> &[usize] {
        &[]
    }

    fn initial(&self) -> Result<Parameters> {
        let (width, device) = (self.head.dims()[1], self.head.device());
        let mut initial = Parameters::default();
        for head in 0..self.heads {
            // Zeros: each head begins as the target's own.
            initial.set(
                &format!("{head}.0.linear.weight"),
                Tensor::zeros([width, width], &device),
            );
            initial.set(
                &format!("{head}.0.linear.bias"),
                Tensor::zeros([1, width], &device),
            );
        }
        Ok(initial)
    }

    fn loss(&self, weights: &Parameters, batch: &Batch, _: u64, measure: bool) -> Result<Loss> {
        let leaves = weights.leaves();
        let device = batch.last.device();
        let x = Tensor::from_inner(batch.last.clone());
        let mut result = Loss::default();
        let mut sum: Option<Tensor<1>> = None;
        for head in 0..self.heads {
            let Some(lesson) = batch.lesson(head + 1) else {
                break;
            };
            let rows = Tensor::from_inner(indices(&lesson.rows, &device));
            let x = x.clone().select(0, rows);
            let block = project(&x, leaves.get(&format!("{head}.0.linear.weight"))?);
            let outputs = x + silu(block + leaves.get(&format!("{head}.0.linear.bias"))?);
            let scale = DECAY.powi(head as i32) / lesson.rows.len() as f64;
            let said = cross_entropy(
                &outputs.clone().inner(),
                &self.head,
                &lesson.targets,
                scale,
                true,
                measure,
            );
            result.value += scale * said.loss;
            let part = (outputs * Tensor::from_inner(said.inputs)).sum();
            sum = Some(match sum {
                Some(sum) => sum + part,
                None => part,
            });
            result.steps.push(Measured {
                loss: said.loss,
                learnt: lesson.rows.len(),
                correct: said.correct,
                all: lesson.all,
            });
        }
        if let Some(sum) = sum {
            let mut tape = sum.backward();
            result.gradients = leaves.gradients(&mut tape);
        }
        Ok(result)
    }

    fn export(&self, weights: &Parameters) -> Result<HeadFile> {
        let more = serde_json::json!({
            "architectures": ["MedusaModel"],
            "medusa_num_heads": self.heads,
            "medusa_num_layers": 1,
        });
        Ok(head_file(weights, self.target.config(), None, more))
    }
}
