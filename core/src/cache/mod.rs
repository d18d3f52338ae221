//! Keys and values: a pool of slots that all sequences share, and for each sequence the
//! table that says which slot holds which position.
//!
//! A row of a forward pass writes any free slot; committing a token is adding its slot
//! to the table, and rejecting it is giving the slot back. Nothing is ever moved.

mod pool;
mod table;

pub use pool::KvPool;
pub use table::Table;
