//! A draft vocabulary: the target's token of each index that a head drafts.

use burn::tensor::{Device, Tensor, TensorData};

/// The tokens, here and on the device.
pub struct DraftIds {
    here: Vec<u32>,
    there: Tensor<2>,
}

impl DraftIds {
    /// From the target's token of each index.
    pub fn new(ids: Vec<u32>, device: &Device) -> Self {
        // Below 2^24, as the indices of candidates are.
        let values: Vec<f32> = ids.iter().map(|&id| id as f32).collect();
        let data = TensorData::new(values, [1, ids.len()]);
        Self {
            here: ids,
            there: Tensor::from_data(data, device),
        }
    }

    /// The target's token of an index.
    pub fn token(&self, index: u32) -> u32 {
        self.here[index as usize]
    }

    /// How many there are.
    #[allow(clippy::len_without_is_empty)] // A head drafts something.
    pub fn len(&self) -> usize {
        self.here.len()
    }

    /// All of them, `[1, draft vocab]`, as [`Ops::descend`] takes them.
    ///
    /// [`Ops::descend`]: crate::ops::Ops::descend
    pub fn tensor(&self) -> &Tensor<2> {
        &self.there
    }
}
