//! The tokens that a head may draft: the most frequent ones.

use std::collections::HashMap;

use super::Document;

/// A part of the target's vocabulary, ascending.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DraftVocabulary {
    /// The target's id of each draft id.
    ids: Vec<u32>,
    /// The draft id of a target's id.
    places: HashMap<u32, u32>,
}

impl DraftVocabulary {
    /// The `size` tokens most frequent in answers; rarer ones by rising id where they
    /// are equally frequent, so that any two runs agree.
    pub fn count(documents: &[Document], vocab: usize, size: usize) -> Self {
        let mut counts = vec![0usize; vocab];
        for document in documents {
            for (&token, _) in document
                .tokens
                .iter()
                .zip(&document.answer)
                .filter(|(_, a)| **a)
            {
                counts[token as usize] += 1;
            }
        }
        let mut ids: Vec<u32> = (0..vocab as u32).collect();
        ids.sort_by_key(|&id| (std::cmp::Reverse(counts[id as usize]), id));
        ids.truncate(size);
        Self::new(ids)
    }

    /// These tokens.
    pub fn new(mut ids: Vec<u32>) -> Self {
        ids.sort_unstable();
        ids.dedup();
        let places = ids
            .iter()
            .zip(0..)
            .map(|(&id, place)| (id, place))
            .collect();
        Self { ids, places }
    }

    /// The target's ids, ascending.
    pub fn ids(&self) -> &[u32] {
        &self.ids
    }

    /// Whether a token of the target can be drafted.
    pub fn contains(&self, id: u32) -> bool {
        self.places.contains_key(&id)
    }

    /// The share of the answers' tokens that can be drafted.
    pub fn coverage(&self, documents: &[Document]) -> f64 {
        let answers = documents
            .iter()
            .flat_map(|d| d.tokens.iter().zip(&d.answer))
            .filter(|(_, answer)| **answer);
        let (mut all, mut known) = (0usize, 0usize);
        for (&token, _) in answers {
            all += 1;
            known += usize::from(self.contains(token));
        }
        known as f64 / all.max(1) as f64
    }
}
