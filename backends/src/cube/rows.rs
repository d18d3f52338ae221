//! Rows on the device: uploaded once a forward pass, in one buffer.

use burn_cubecl::CubeRuntime;
use cubecl::server::Handle;
use eaglet_core::error::Result;
use eaglet_core::ops::Rows;

use super::gpu::Gpu;

/// Words that describe a row, before the tables and paths.
pub const FIELDS: usize = 5;
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

/// The buffer, in 32-bit words.
pub struct Staged {
    /// `[rows, FIELDS]`, then the tables as far as a row sees them, then the paths.
    pub buffer: Handle,
}

impl Staged {
    /// Uploads what kernels ask of rows.
    ///
    /// # Errors
    /// The device takes no buffer of that size.
    pub fn new<R: CubeRuntime>(gpu: &Gpu<R>, rows: &Rows<'_>) -> Result<Self> {
        Ok(Self {
            buffer: gpu.upload(bytemuck::cast_slice(&words(rows)))?,
        })
    }
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
        }
        // The fourth slot of the first table is no row's business.
        assert!(!words.contains(&4));
    }
}
