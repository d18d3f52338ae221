//! The n-grams that were seen, by their first token.

use std::collections::{HashMap, VecDeque};

/// For each first token the most recent continuations, every one once.
pub(super) struct Pool {
    /// Continuations kept for one token.
    capacity: usize,
    /// The most recent first.
    entries: HashMap<u32, VecDeque<Vec<u32>>>,
}

impl Pool {
    pub fn new(capacity: usize) -> Self {
        Self {
            capacity,
            entries: HashMap::new(),
        }
    }

    /// Takes in an n-gram; one that is known becomes the most recent.
    pub fn insert(&mut self, ngram: &[u32]) {
        let Some((&first, rest)) = ngram.split_first() else {
            return;
        };
        let known = self.entries.entry(first).or_default();
        let again = known.iter().position(|continuation| continuation == rest);
        let continuation = match again.and_then(|index| known.remove(index)) {
            Some(continuation) => continuation,
            None => rest.to_vec(),
        };
        known.push_front(continuation);
        known.truncate(self.capacity);
    }

    /// What came after a token, the most recent first.
    pub fn after(&self, token: u32) -> impl Iterator<Item = &[u32]> {
        self.entries
            .get(&token)
            .into_iter()
            .flatten()
            .map(Vec::as_slice)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_most_recent_are_kept_each_once() {
        let mut pool = Pool::new(2);
        let after = |pool: &Pool, token| -> Vec<Vec<u32>> {
            pool.after(token).map(<[u32]>::to_vec).collect()
        };
        for ngram in [[1, 2, 3], [1, 4, 5], [7, 8, 9]] {
            pool.insert(&ngram);
        }
        assert_eq!(after(&pool, 1), [[4, 5], [2, 3]]);
        pool.insert(&[1, 2, 3]);
        assert_eq!(after(&pool, 1), [[2, 3], [4, 5]]);
        pool.insert(&[1, 6, 6]);
        assert_eq!(after(&pool, 1), [[6, 6], [2, 3]]);
        assert_eq!(after(&pool, 7), [[8, 9]]);
        assert!(after(&pool, 2).is_empty());
        pool.insert(&[]);
    }
}
