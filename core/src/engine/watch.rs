//! Who looks over a session's shoulder.

/// Sees every token of every sequence as it is emitted, in order.
///
/// Any `FnMut(usize, u32) -> bool` is one that cancels nothing.
pub trait Watch {
    /// A sequence emitted a token. Returns whether it ends there: a stop string was met,
    /// or nobody wants to read on.
    fn emitted(&mut self, sequence: usize, token: u32) -> bool;

    /// Whether to give up on a long prompt; asked between its chunks.
    fn cancelled(&mut self) -> bool {
        false
    }
}

impl<F: FnMut(usize, u32) -> bool> Watch for F {
    fn emitted(&mut self, sequence: usize, token: u32) -> bool {
        self(sequence, token)
    }
}
