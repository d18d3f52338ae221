//! A head's values as numbers, for whoever trains it further.

use std::collections::BTreeMap;

use super::load::draft_ids;
use super::{HeadCheckpoint, HeadKind, names};
use crate::error::Result;
use crate::weights::Dtype;

/// What a head's file holds, in f32.
pub struct HeadValues {
    /// Tensors by the names that all exporters' names are brought to: official ones
    /// without the layer's prefix. Shapes outermost first, values row-major.
    tensors: BTreeMap<String, (Vec<usize>, Vec<f32>)>,
    /// The target's id of each token that an EAGLE-3 head drafts, ascending; `None` for
    /// others, which draft all.
    pub ids: Option<Vec<u32>>,
}

impl HeadValues {
    /// Takes a tensor out, by its official name.
    pub fn take(&mut self, official: &str) -> Option<(Vec<usize>, Vec<f32>)> {
        self.tensors.remove(&names::ours(official)?)
    }

    /// Makes an EAGLE-3 head draft other tokens: `ids`, ascending. A token that it knows
    /// already keeps its row of the output layer; another gets that of `others`,
    /// `[ids, hidden]`. Heads of other kinds stay as they are.
    pub fn redraft(&mut self, ids: &[u32], others: &[f32]) {
        let known = self.ids.as_deref().filter(|known| *known != ids);
        let head = self.tensors.get_mut("lm_head.weight");
        let (Some(known), Some((shape, rows))) = (known, head) else {
            return;
        };
        let width = others.len() / ids.len().max(1);
        if shape[..] != [known.len(), width] {
            return; // Of another width: not for this target.
        }
        let row = |(place, id): (usize, &u32)| match known.binary_search(id) {
            Ok(known) => &rows[known * width..(known + 1) * width],
            Err(_) => &others[place * width..(place + 1) * width],
        };
        *rows = ids.iter().enumerate().flat_map(row).copied().collect();
        *shape = vec![ids.len(), width];
        self.ids = Some(ids.to_vec());
    }

    /// A tensor that nobody took.
    pub fn left(&self) -> Option<&str> {
        self.tensors.keys().next().map(String::as_str)
    }
}

impl HeadCheckpoint {
    /// Reads every value, for a target of `vocab` tokens.
    ///
    /// # Errors
    /// A tensor is damaged, not finite or not what it is called, or an id lies outside
    /// the vocabulary.
    pub fn values(mut self, vocab: usize) -> Result<HeadValues> {
        let info = self.describe()?;
        let file = &mut self.tensors;
        file.rename(names::ours)?;
        if let Some((_, _, dim)) = info.as_ref().and_then(|info| info.heads) {
            names::unpair(file, dim);
        }
        let kind = info.map(|info| info.kind);
        let mut ids = None;
        if kind == Some(HeadKind::Eagle3) {
            let drafted = file.shape("lm_head.weight").and_then(|shape| shape.first());
            let own = draft_ids(file, drafted.copied().unwrap_or(vocab), vocab)?;
            ids = Some(own.unwrap_or_else(|| (0..vocab as u32).collect()));
        }
        let named = file
            .tensors()
            .map(|t| (t.name.to_owned(), t.shape.to_vec()));
        // EAGLE-1's embedding is a copy of the target's.
        let others = match kind {
            Some(HeadKind::Eagle1) => &["embed_tokens.weight"][..],
            _ => &["d2t", "t2d"],
        };
        let named = named.filter(|(name, _)| !others.contains(&name.as_str()));
        let mut tensors = BTreeMap::new();
        for (name, shape) in named.collect::<Vec<_>>() {
            let values = match shape[..] {
                [rows, cols] => file.matrix(&name, [rows, cols], Dtype::F32)?.to_f32(),
                _ => file.vector(&name, shape.iter().product())?,
            };
            tensors.insert(name, (shape, values));
        }
        Ok(HeadValues { tensors, ids })
    }
}
