//! Rows on the device: uploaded once a forward pass, in one buffer.

use burn_cubecl::CubeRuntime;
use cubecl::server::Handle;
use eaglet_core::error::{Error, Result};
use eaglet_core::ops::Rows;

use super::gpu::Gpu;

/// Words that describe a row, before the tables and paths.
pub const FIELDS: usize = 6;
/// A row's logical position; it sees one slot more.
pub const POSITION: usize = 0;
/// The slot that it writes.
pub const SLOT: usize = 1;
/// How many slots of its table it sees.
pub const PREFIX: usize = 2;
/// Where its table begins in the buffer.
pub const TABLE: usize = 3;
/// Where its path begins in the buffer.
pub const PATH: usize = 4;
/// Its token.
pub const TOKEN: usize = 5;

/// The buffer, in 32-bit words.
pub struct Staged {
    /// `[rows, FIELDS]`, then the tables as far as a row sees them, then the paths.
    pub buffer: Handle,
    /// One more than the highest slot that is read or written.
    pub slots: usize,
    /// One more than the highest position.
    pub positions: usize,
}

impl Staged {
    /// Uploads what kernels ask of rows.
    ///
    /// # Errors
    /// Rows see slots that they do not name, or the device takes no buffer of that size.
    pub fn new<R: CubeRuntime>(gpu: &Gpu<R>, rows: &Rows<'_>) -> Result<Self> {
        Self::of(gpu, rows, &Self::words(rows)?)
    }

    /// The same of [`Staged::words`].
    ///
    /// # Errors
    /// The device takes no buffer of that size.
    pub fn of<R: CubeRuntime>(gpu: &Gpu<R>, rows: &Rows<'_>, words: &[u32]) -> Result<Self> {
        let buffer = gpu.upload(bytemuck::cast_slice(words))?;
        Ok(Self::around(buffer, rows, words))
    }

    /// The same around a buffer that begins with those words.
    pub fn around(buffer: Handle, rows: &Rows<'_>, words: &[u32]) -> Self {
        let seen = &words[rows.len() * FIELDS..];
        Self {
            buffer,
            slots: highest(seen).max(highest(&rows.slots)),
            positions: highest(&rows.positions),
        }
    }

    /// What the buffer holds.
    ///
    /// # Errors
    /// Rows see slots that they do not name.
    pub fn words(rows: &Rows<'_>) -> Result<Vec<u32>> {
        check(rows)?;
        Ok(words(rows))
    }

    /// Whether a cache of `slots` slots holds all that rows see. Kernels do not look.
    ///
    /// # Errors
    /// It does not.
    pub fn check_slots(&self, slots: usize) -> Result<()> {
        within("slot", self.slots, slots)
    }

    /// Whether `positions` rows of angles are enough.
    ///
    /// # Errors
    /// They are not.
    pub fn check_positions(&self, positions: usize) -> Result<()> {
        within("position", self.positions, positions)
    }
}

/// One more than the highest.
fn highest(of: &[u32]) -> usize {
    of.iter().max().map_or(0, |&most| most as usize + 1)
}

fn within(what: &str, used: usize, there: usize) -> Result<()> {
    match used <= there {
        true => Ok(()),
        false => Err(Error::Device(format!(
            "{what} {} was asked for, of {there}",
            used - 1
        ))),
    }
}

/// Whether each row sees exactly as many slots as its position says.
fn check(rows: &Rows<'_>) -> Result<()> {
    let mut start = 0;
    for row in 0..rows.len() {
        let (end, prefix) = (rows.path_ends[row], rows.prefixes[row]);
        let table = rows.tables.get(rows.sequences[row] as usize);
        let committed = table.is_some_and(|table| table.len() >= prefix as usize);
        let position = u64::from(rows.positions[row]);
        let path = end.checked_sub(start).map(u64::from);
        let all = path.map(|path| u64::from(prefix) + path);
        if !committed || all != Some(position + 1) || end as usize > rows.path_slots.len() {
            return Err(Error::Device(format!(
                "row {row}, at position {position}, does not see as many slots"
            )));
        }
        start = end;
    }
    Ok(())
}

fn words(rows: &Rows<'_>) -> Vec<u32> {
    // Of a table no more than some row sees.
    let mut seen = vec![0; rows.tables.len()];
    for (&sequence, &prefix) in rows.sequences.iter().zip(&rows.prefixes) {
        let most = &mut seen[sequence as usize];
        *most = prefix.max(*most);
    }
    let mut start = (rows.len() * FIELDS) as u32;
    let mut starts = Vec::with_capacity(seen.len());
    for most in &seen {
        starts.push(start);
        start += most;
    }
    let mut words = Vec::with_capacity(start as usize + rows.path_slots.len());
    let mut path = start;
    for row in 0..rows.len() {
        words.extend([
            rows.positions[row],
            rows.slots[row],
            rows.prefixes[row],
            starts[rows.sequences[row] as usize],
            path,
            rows.tokens[row],
        ]);
        path = start + rows.path_ends[row];
    }
    for (table, &most) in rows.tables.iter().zip(&seen) {
        words.extend(&table[..most as usize]);
    }
    words.extend(&rows.path_slots);
    words
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_row_finds_the_slots_it_sees() {
        let tables = [vec![7, 3, 9, 4], vec![1, 2]];
        let mut rows = Rows::default();
        for table in &tables {
            rows.add_table(table);
        }
        rows.push(0, 5, 0, 2, &[6, 5]);
        rows.push(0, 2, 1, 2, &[]);
        rows.push(0, 8, 0, 3, &[8]);
        let words = words(&rows);
        for row in 0..rows.len() {
            let field = |field| words[row * FIELDS + field] as usize;
            let (prefix, seen) = (field(PREFIX), field(POSITION) + 1);
            let (committed, path) = rows.visible(row);
            assert_eq!(words[field(TABLE)..][..prefix], *committed, "{row}");
            assert_eq!(words[field(PATH)..][..seen - prefix], *path, "{row}");
            assert_eq!(field(SLOT), rows.slots[row] as usize);
            assert_eq!(field(TOKEN), rows.tokens[row] as usize);
        }
        // The fourth slot of the first table is no row's business.
        assert!(!words.contains(&4));
        check(&rows).unwrap();
    }

    #[test]
    fn rows_that_see_what_is_not_there_are_refused() {
        let table = [7, 3, 9];
        let row = |position: u32, prefix: u32, path: &[u32]| {
            let mut rows = Rows::default();
            rows.add_table(&table);
            rows.push(0, 5, 0, prefix, path);
            rows.positions[0] = position;
            check(&rows).map_err(|error| error.to_string())
        };
        row(3, 3, &[5]).unwrap();
        row(2, 3, &[]).unwrap();
        // More than the table has; more, and fewer, than the position says.
        for (position, prefix) in [(4, 4), (2, 3), (4, 3)] {
            let error = row(position, prefix, &[5]).unwrap_err();
            assert!(error.contains("does not see"), "{error}");
        }
        within("slot", 4, 4).unwrap();
        let error = within("slot", 5, 4).unwrap_err().to_string();
        assert!(error.contains("slot 4 was asked for, of 4"), "{error}");
    }
}
