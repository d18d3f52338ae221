//! A flat list of rows: the only shape of work that a forward pass knows.

use std::any::Any;
use std::sync::Arc;

use super::staged::Staged;
use crate::error::Result;

/// Tokens to run through the model in one forward pass, ragged over sequences.
///
/// A row sees, in this order, the first `prefixes[row]` slots of its sequence's table
/// and then the slots of its path: the drafted ancestors that are in no table yet, from
/// the root to the row itself. The i-th slot seen holds logical position i, so a row
/// sees `positions[row] + 1` slots. A prefill row has an empty path: its own slot is in
/// the table already. There is no mask.
#[derive(Clone, Debug, Default)]
pub struct Rows<'a> {
    /// Token ids.
    pub tokens: Vec<u32>,
    /// Logical positions, which set the rotary angle.
    pub positions: Vec<u32>,
    /// The cache slot that each row writes.
    pub slots: Vec<u32>,
    /// The table of slots that each row reads: an index into `tables`.
    pub sequences: Vec<u32>,
    /// How much of that table each row sees.
    pub prefixes: Vec<u32>,
    /// Where each row's path ends in `path_slots`; it starts where the last one ended.
    pub path_ends: Vec<u32>,
    /// The paths of all rows, one after the other.
    pub path_slots: Vec<u32>,
    /// For each sequence, the slot of every committed position.
    pub tables: Vec<&'a [u32]>,
    staged: Staged,
}

impl<'a> Rows<'a> {
    /// The number of rows.
    pub fn len(&self) -> usize {
        self.tokens.len()
    }

    /// Whether there is nothing to run.
    pub fn is_empty(&self) -> bool {
        self.tokens.is_empty()
    }

    /// Adds a sequence's table and returns the index that its rows name.
    pub fn add_table(&mut self, table: &'a [u32]) -> u32 {
        self.staged = Staged::default();
        self.tables.push(table);
        self.tables.len() as u32 - 1
    }

    /// Adds a row that sees the first `prefix` slots of table `sequence`, then `path`.
    pub fn push(&mut self, token: u32, slot: u32, sequence: u32, prefix: u32, path: &[u32]) {
        self.staged = Staged::default();
        self.tokens.push(token);
        self.positions.push(prefix + path.len() as u32 - 1);
        self.slots.push(slot);
        self.sequences.push(sequence);
        self.prefixes.push(prefix);
        self.path_slots.extend_from_slice(path);
        self.path_ends.push(self.path_slots.len() as u32);
    }

    /// Gives a row its token and what comes before its own slot in its path, which was added
    /// with the length that it has now. For the levels of a tree, which are placed before
    /// anything is known of them but their slots.
    pub fn settle(&mut self, row: usize, token: u32, above: &[u32]) {
        self.staged = Staged::default();
        self.tokens[row] = token;
        let own = self.path_ends[row] as usize - 1;
        self.path_slots[own - above.len()..own].copy_from_slice(above);
    }

    /// The slots that a row sees, as (committed, path), in order of logical position.
    pub fn visible(&self, row: usize) -> (&[u32], &[u32]) {
        let start = row.checked_sub(1).map_or(0, |r| self.path_ends[r] as usize);
        let table = self.tables[self.sequences[row] as usize];
        (
            &table[..self.prefixes[row] as usize],
            &self.path_slots[start..self.path_ends[row] as usize],
        )
    }

    /// The form that a device gives to rows, such as a buffer in its memory: made by the
    /// first operation that asks and kept for the others of the pass.
    ///
    /// # Errors
    /// Those of `make`.
    pub fn staged<T: Any + Send + Sync>(&self, make: impl FnOnce() -> Result<T>) -> Result<Arc<T>> {
        self.staged.get(make)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_staged_form_is_made_once_and_again_after_a_change() {
        let table = [3];
        let mut rows = Rows::default();
        rows.add_table(&table);
        rows.push(0, 3, 0, 1, &[]);
        let made = |rows: &Rows<'_>, value: u32| *rows.staged(|| Ok(value)).unwrap();
        assert_eq!((made(&rows, 1), made(&rows, 2)), (1, 1));
        assert_eq!(
            *rows.staged(|| Ok("another device's")).unwrap(),
            "another device's"
        );
        rows.push(0, 3, 0, 1, &[]);
        assert_eq!(made(&rows, 3), 3);
    }
}
