//! Trees that are verified before the host sees them.

use burn::tensor::Tensor;

/// A tree that is queued on a device, and on its way from the head to the target does not come
/// by the host.
#[derive(Clone, Debug)]
pub struct Unseen {
    /// Its nodes, likeliest first: see [`Ops::rank`](crate::ops::Ops::rank).
    pub ranked: Tensor<2>,
    /// How many there are to choose from, at least one. On the device there may be fewer.
    pub nodes: usize,
    /// No node is deeper; at least 1.
    pub depth: usize,
}
