//! Random Medusa heads for a small target, as a file and as the paper writes them: in
//! f64, on plain vectors.

use std::collections::BTreeMap;
use std::path::Path;

use eaglet_core::Result;
use eaglet_core::draft::{MedusaHeads, load_medusa};
use eaglet_core::model::Transformer;
use eaglet_core::weights::{Dtype, NamedTensors};

use crate::heads::{product, safetensors};
use crate::numbers::spread;
use crate::tiny::{HIDDEN, VOCAB};

/// Heads by the names of the published layout.
#[derive(Clone)]
pub struct TinyMedusa {
    pub tensors: BTreeMap<String, (Vec<usize>, Vec<f32>)>,
    /// The residual blocks of each head.
    pub blocks: Vec<usize>,
}

impl TinyMedusa {
    /// A head for each entry of `blocks`; `own` are those with an output layer.
    pub fn random(blocks: &[usize], own: &[usize], vocab: usize, seed: u64) -> Self {
        let mut tensors = BTreeMap::new();
        let mut add = |name: String, shape: Vec<usize>, scale: f32| {
            let values = spread(seed * 100 + tensors.len() as u64, shape.iter().product());
            let values = values.iter().map(|v| v * scale).collect();
            tensors.insert(name, (shape, values));
        };
        for (head, &blocks) in blocks.iter().enumerate() {
            for block in 0..blocks {
                let name = format!("{head}.{block}.linear");
                add(format!("{name}.weight"), vec![HIDDEN, HIDDEN], 0.3);
                add(format!("{name}.bias"), vec![HIDDEN], 0.3);
            }
            if own.contains(&head) {
                add(format!("{head}.{blocks}.weight"), vec![vocab, HIDDEN], 0.5);
            }
        }
        Self {
            tensors,
            blocks: blocks.to_vec(),
        }
    }

    /// Three heads of one block with their own output layers: the published kind.
    pub fn published(seed: u64) -> Self {
        Self::random(&[1; 3], &[0, 1, 2], VOCAB, seed)
    }

    pub fn file(&self) -> Vec<u8> {
        let entry = |(name, (shape, values)): (&String, &(Vec<usize>, Vec<f32>))| {
            let bytes = values.iter().flat_map(|v| v.to_le_bytes()).collect();
            (name.clone(), "F32", shape.clone(), bytes)
        };
        safetensors(self.tensors.iter().map(entry).collect())
    }

    pub fn load(&self, target: &Transformer, dtype: Dtype) -> MedusaHeads {
        load(&self.file(), target, dtype).unwrap()
    }

    /// Logits of one head after a feature; `shared` is the target's output head.
    pub fn naive(&self, head: usize, feature: &[f64], shared: &[f32]) -> Vec<f64> {
        let mut x = feature.to_vec();
        let blocks = self.blocks[head];
        for block in 0..blocks {
            let (_, weight) = &self.tensors[&format!("{head}.{block}.linear.weight")];
            let (_, bias) = &self.tensors[&format!("{head}.{block}.linear.bias")];
            let mut y = product(weight, &x);
            y.iter_mut()
                .zip(bias)
                .for_each(|(y, &b)| *y += f64::from(b));
            let silu = |y: f64| y / (1.0 + (-y).exp());
            x.iter_mut().zip(y).for_each(|(x, y)| *x += silu(y));
        }
        let own = self.tensors.get(&format!("{head}.{blocks}.weight"));
        product(own.map_or(shared, |(_, values)| values), &x)
    }
}

pub fn load(file: &[u8], target: &Transformer, dtype: Dtype) -> Result<MedusaHeads> {
    let file = NamedTensors::from_bytes(Path::new("medusa_lm_head.safetensors"), file)?;
    load_medusa(file, target, dtype)
}
