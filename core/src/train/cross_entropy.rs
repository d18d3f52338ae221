//! Output head and cross-entropy in one, with their gradients.
//!
//! The logits are by far the widest tensor of training. Here they live for a few hundred
//! rows at a time, forward and backward at once, and the tape never sees them.

use burn::tensor::activation::{log_softmax, softmax};
use burn::tensor::{ElementConversion, Tensor};

/// Gradients and, where asked for, what the loss was.
pub struct CrossEntropy {
    /// By the head's inputs, `[rows, hidden]`.
    pub inputs: Tensor<2>,
    /// By the head's weights, `[vocab, hidden]`; `None` where they are frozen.
    pub weights: Option<Tensor<2>>,
    /// Sum over rows of the cross-entropy, in nats.
    pub loss: f64,
    /// Rows whose most likely token is the target's.
    pub correct: usize,
}

/// Rows at a time: 8 MB of logits for a vocabulary of 8192.
const CHUNK: usize = 256;

/// The gradients of `scale` times the sum over rows of the cross-entropy between
/// `targets` (`[rows, vocab]`, distributions) and `softmax(inputs weights^T)`. Loss and
/// accuracy cost three more passes over the logits and are counted only if `measure`.
pub fn cross_entropy(
    inputs: &Tensor<2>,
    weights: &Tensor<2>,
    targets: &Tensor<2>,
    scale: f64,
    frozen: bool,
    measure: bool,
) -> CrossEntropy {
    let rows = inputs.dims()[0];
    let (mut by_inputs, mut by_weights) = (Vec::new(), None);
    let (mut loss, mut correct) = (0.0, 0);
    for start in (0..rows).step_by(CHUNK) {
        let count = CHUNK.min(rows - start);
        let x = inputs.clone().narrow(0, start, count);
        let wanted = targets.clone().narrow(0, start, count);
        let logits = x.clone().matmul(weights.clone().transpose());
        let said = softmax(logits.clone(), 1);
        if measure {
            // Not the logarithm of the softmax, which may have come out as 0.
            let nats = log_softmax(logits, 1) * wanted.clone();
            loss -= nats.sum().into_scalar::<f32>().elem::<f64>();
            let same = said.clone().argmax(1).equal(wanted.clone().argmax(1));
            correct += same.int().sum().into_scalar::<i64>().elem::<i64>() as usize;
        }
        let error = said - wanted;
        by_inputs.push(error.clone().matmul(weights.clone()) * scale);
        if !frozen {
            let part = error.transpose().matmul(x) * scale;
            by_weights = Some(match by_weights {
                Some(sum) => sum + part,
                None => part,
            });
        }
    }
    CrossEntropy {
        inputs: Tensor::cat(by_inputs, 0),
        weights: by_weights,
        loss,
        correct,
    }
}
