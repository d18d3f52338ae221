//! Which slot holds which position of one sequence.

use std::ops::Range;

use crate::ops::Rows;

/// The committed part of a sequence: its tokens, and the slot of each one's keys.
/// Position i is the i-th entry.
#[derive(Clone, Debug, Default)]
pub struct Table {
    tokens: Vec<u32>,
    slots: Vec<u32>,
}

impl Table {
    /// Committed positions.
    pub fn len(&self) -> usize {
        self.tokens.len()
    }

    /// Whether nothing is committed.
    pub fn is_empty(&self) -> bool {
        self.tokens.is_empty()
    }

    /// Committed tokens, in order.
    pub fn tokens(&self) -> &[u32] {
        &self.tokens
    }

    /// The slot of each committed token.
    pub fn slots(&self) -> &[u32] {
        &self.slots
    }

    /// Appends a token whose keys and values are in `slot`.
    pub fn commit(&mut self, token: u32, slot: u32) {
        self.tokens.push(token);
        self.slots.push(slot);
    }

    /// Appends a stretch of text, a slot for each token, and makes the rows that run it.
    pub fn extend(&mut self, tokens: &[u32], slots: &[u32]) -> Rows<'_> {
        let first = self.len();
        self.tokens.extend(tokens);
        self.slots.extend(slots);
        self.rows(first..self.len())
    }

    /// The rows that run committed positions: each sees the table up to itself.
    pub fn rows(&self, positions: Range<usize>) -> Rows<'_> {
        let mut rows = Rows::default();
        let id = rows.add_table(&self.slots);
        for at in positions {
            rows.push(self.tokens[at], self.slots[at], id, at as u32 + 1, &[]);
        }
        rows
    }

    /// Drops every position from `len` on and returns their slots, to be released.
    #[must_use = "the slots go back to the pool"]
    pub fn truncate(&mut self, len: usize) -> Vec<u32> {
        let len = len.min(self.slots.len());
        self.tokens.truncate(len);
        self.slots.split_off(len)
    }

    /// How many of the first tokens of `prompt` are committed already.
    pub fn shared_prefix(&self, prompt: &[u32]) -> usize {
        let pairs = self.tokens.iter().zip(prompt);
        pairs.take_while(|(a, b)| a == b).count()
    }
}
