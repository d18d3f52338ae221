//! Named tensors that are trained.

use std::collections::BTreeMap;

use burn::tensor::{Gradients as Tape, Tensor, TensorData};

use crate::draft::HeadValues;
use crate::error::{Error, Result};

/// A head's weights by their official names, on the plain device. Vectors are one row,
/// `[1, n]`.
#[derive(Clone, Debug, Default)]
pub struct Parameters(pub BTreeMap<String, Tensor<2>>);

/// Gradients by the same names.
#[derive(Clone, Debug, Default)]
pub struct Gradients(pub BTreeMap<String, Tensor<2>>);

/// The weights as the leaves of one forward pass.
pub struct Leaves(BTreeMap<String, Tensor<2>>);

impl Parameters {
    /// A weight.
    ///
    /// # Errors
    /// There is none of that name.
    pub fn get(&self, name: &str) -> Result<&Tensor<2>> {
        self.0.get(name).ok_or_else(|| unknown(name))
    }

    /// Adds a weight.
    pub fn set(&mut self, name: &str, values: Tensor<2>) {
        self.0.insert(name.into(), values);
    }

    /// Puts a head's values in the place of all of these.
    ///
    /// # Errors
    /// A weight is missing in the head, has another shape, or is one more than these.
    pub fn replace(&mut self, mut head: HeadValues) -> Result<()> {
        let other = |what: String| {
            let rule = format!("the head to go on from {what}");
            Error::Invalid(format!("{rule}: it is of another kind or another model's"))
        };
        for (name, weight) in &mut self.0 {
            let shape = weight.dims();
            let Some((found, values)) = head.take(name) else {
                return Err(other(format!("has no {name}")));
            };
            let wide = match found[..] {
                [len] => [1, len],
                [rows, cols] => [rows, cols],
                _ => [0, 0],
            };
            if wide != shape {
                return Err(other(format!("has {name} as {found:?}, not {shape:?}")));
            }
            *weight = Tensor::from_data(TensorData::new(values, shape), &weight.device());
        }
        match head.left() {
            Some(name) => Err(other(format!("has {name} besides"))),
            None => Ok(()),
        }
    }

    /// All values as one number, which differs where any of them does.
    pub(super) fn hash(&self) -> u64 {
        let values = self.0.values().map(|tensor| tensor.to_data());
        let bits = |data: TensorData| data.iter::<f32>().map(f32::to_bits).collect::<Vec<_>>();
        hash(values.flat_map(bits))
    }

    /// Values in all.
    pub fn count(&self) -> usize {
        let size = |tensor: &Tensor<2>| tensor.dims().iter().product::<usize>();
        self.0.values().map(size).sum()
    }

    /// The weights on the tape.
    pub fn leaves(&self) -> Leaves {
        let leaf = |(name, tensor): (&String, &Tensor<2>)| {
            let leaf = Tensor::from_inner(tensor.clone()).require_grad();
            (name.clone(), leaf)
        };
        Leaves(self.0.iter().map(leaf).collect())
    }
}

impl Leaves {
    /// A weight on the tape.
    ///
    /// # Errors
    /// There is none of that name.
    pub fn get(&self, name: &str) -> Result<Tensor<2>> {
        self.0.get(name).cloned().ok_or_else(|| unknown(name))
    }

    /// What the backward pass found for each weight that took part in it.
    pub fn gradients(&self, tape: &mut Tape) -> Gradients {
        let found = |(name, leaf): (&String, &Tensor<2>)| {
            let gradient = leaf.grad_remove(tape)?;
            Some((name.clone(), gradient.no_grad()))
        };
        Gradients(self.0.iter().filter_map(found).collect())
    }
}

impl Gradients {
    /// Adds a gradient to what is there.
    pub fn add(&mut self, name: &str, gradient: Tensor<2>) {
        let sum = match self.0.remove(name) {
            Some(sum) => sum + gradient,
            None => gradient,
        };
        self.0.insert(name.into(), sum);
    }

    /// Adds those of another batch.
    pub fn add_all(&mut self, other: Gradients) {
        for (name, gradient) in other.0 {
            self.add(&name, gradient);
        }
    }
}

/// FNV-1a, by words.
pub(super) fn hash(words: impl IntoIterator<Item = u32>) -> u64 {
    words.into_iter().fold(0xCBF2_9CE4_8422_2325, |hash, word| {
        (hash ^ u64::from(word)).wrapping_mul(0x0100_0000_01B3)
    })
}

fn unknown(name: &str) -> Error {
    Error::Invalid(format!("no weight is called {name}"))
}
