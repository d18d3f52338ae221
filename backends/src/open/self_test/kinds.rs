//! What there may be many kinds of, each with kernels of its own.

use burn::tensor::DType;
use eaglet_core::ops::Heads;
use eaglet_core::weights::Dtype;

/// Dimensions of a head: fewer than a workgroup has invocations, as many, more.
const DIMS: [usize; 3] = [16, 64, 128];

/// Kinds of weights and of caches.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Kinds {
    /// How weights are stored.
    pub weights: Vec<Dtype>,
    /// The heads that share a cache, and how keys and values are stored.
    pub caches: Vec<(Heads, DType)>,
}

impl Kinds {
    /// All weights, and caches of heads of common sizes.
    pub fn all() -> Self {
        let (query, kv) = (4, 2);
        let stored = |dim| [DType::F32, DType::F16].map(|dtype| (Heads { query, kv, dim }, dtype));
        Self {
            weights: Dtype::ALL.to_vec(),
            caches: DIMS.into_iter().flat_map(stored).collect(),
        }
    }

    /// Takes note of weights.
    pub fn add_weights(&mut self, dtype: Dtype) {
        if !self.weights.contains(&dtype) {
            self.weights.push(dtype);
        }
    }

    /// Takes note of a cache.
    pub fn add_cache(&mut self, heads: Heads, dtype: DType) {
        if !self.caches.contains(&(heads, dtype)) {
            self.caches.push((heads, dtype));
        }
    }

    /// Takes note of all of `other`.
    pub fn add(&mut self, other: &Self) {
        other.weights.iter().for_each(|&w| self.add_weights(w));
        other
            .caches
            .iter()
            .for_each(|&(heads, d)| self.add_cache(heads, d));
    }

    /// Those that are not in `known`.
    pub fn without(mut self, known: &Self) -> Self {
        self.weights
            .retain(|weight| !known.weights.contains(weight));
        self.caches.retain(|cache| !known.caches.contains(cache));
        self
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.weights.is_empty() && self.caches.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_known_is_left_out() {
        let heads = Heads {
            query: 9,
            kv: 3,
            dim: 64,
        };
        let mut made = Kinds::default();
        assert!(made.is_empty());
        for _ in 0..2 {
            made.add_weights(Dtype::Q4);
            made.add_weights(Dtype::Q8);
            made.add_cache(heads, DType::F16);
        }
        assert_eq!((made.weights.len(), made.caches.len()), (2, 1));
        let mut known = Kinds::default();
        known.add_weights(Dtype::Q8);
        known.add_cache(heads, DType::F32);
        let lacking = made.clone().without(&known);
        assert_eq!(lacking.weights, [Dtype::Q4]);
        assert_eq!(lacking.caches, [(heads, DType::F16)]);
        known.add(&lacking);
        assert!(made.without(&known).is_empty());
    }
}
