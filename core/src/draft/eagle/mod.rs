//! EAGLE heads: one transformer layer that continues the target's own features.
//!
//! The head sees, for each position i, the target's feature there and the token at
//! i + 1, which is known already: the *pair* (f_i, t_{i+1}), in slot i. Its output stands
//! for the next feature, so that it can go on with its own outputs and the tokens that it
//! drafts. Papers: EAGLE (Li et al. 2024), EAGLE-2 (2024), EAGLE-3 (2025).

mod config;
mod draft_ids;
mod drafter;
mod eagle1;
mod eagle3;
mod grow;
mod grown;
mod info;
mod layer;
mod load;
mod names;
mod open;
mod probe;
mod promise;
mod queued;
mod sampled;
mod save;
mod values;
mod waiting;

pub use draft_ids::DraftIds;
pub use drafter::Eagle;
pub use eagle1::Eagle1;
pub use eagle3::Eagle3;
pub use info::{HeadInfo, HeadKind};
pub use load::load_head;
pub use open::HeadCheckpoint;
pub use probe::{Agreement, probe};
pub use save::HeadFile;
pub use values::HeadValues;

use burn::tensor::Tensor;

use crate::error::Result;
use crate::model::Features;
use crate::ops::{Heads, KvLayer, Rows, Weight};

/// A head's network. Widths are those of the head: `hidden` is its own.
pub trait Head {
    /// The points of the target's residual stream that [`Head::fuse`] wants.
    fn taps(&self) -> &[usize];

    /// How its attention splits rows.
    fn heads(&self) -> Heads;

    /// The target's features as the head takes them: `[rows, hidden]`.
    fn fuse(&self, features: &Features) -> Result<Tensor<2>>;

    /// The table of what it sees of tokens, the target's ids: `[vocab, hidden]`.
    fn embedding(&self) -> &Weight;

    /// One pass over pairs of features (fused or its own outputs) and embedded tokens,
    /// `[rows, hidden]` each. Writes the rows' slots of its cache, does not look at their
    /// tokens, and returns `[rows, hidden]`.
    fn pass(
        &self,
        features: &Tensor<2>,
        embedded: Tensor<2>,
        rows: &Rows<'_>,
        cache: &mut KvLayer,
    ) -> Result<Tensor<2>>;

    /// Logits over its own vocabulary, `[rows, draft vocab]`.
    fn logits(&self, outputs: &Tensor<2>) -> Result<Tensor<2>>;

    /// Its own vocabulary, if that is not the target's.
    fn ids(&self) -> Option<&DraftIds>;

    /// The target's id of a token of its own vocabulary.
    fn token(&self, index: u32) -> u32 {
        self.ids().map_or(index, |ids| ids.token(index))
    }
}
