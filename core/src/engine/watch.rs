//! Who looks over a session's shoulder.

use std::future::{Future, ready};
use std::pin::Pin;

/// A word that may have to be waited for.
pub type Word<'a> = Pin<Box<dyn Future<Output = bool> + 'a>>;

/// Sees every token of every sequence as it is emitted, in order.
///
/// Any `FnMut(usize, u32) -> bool` is one that cancels nothing and sees no logits.
pub trait Watch {
    /// A sequence emitted a token. Returns whether it ends there: a stop string was met,
    /// or nobody wants to read on.
    fn emitted(&mut self, sequence: usize, token: u32) -> bool;

    /// Whether to give up on a long prompt; asked between its chunks. Where that is told by
    /// an event, as in a browser, this waits for the events that are due.
    fn cancelled(&mut self) -> Word<'_> {
        Box::pin(ready(false))
    }

    /// Whether it wants [`Watch::logits`]: every round then reads them back from the device.
    fn wants_logits(&self) -> bool {
        false
    }

    /// Sees the logits (`[vocab]`, as the model gave them) that a sequence's next token is
    /// drawn from, in the order in which tokens are emitted. A round may draw a few tokens
    /// more than it emits, where the answer ends inside it. Only with the exact rule of
    /// verification.
    fn logits(&mut self, sequence: usize, logits: &[f32]) {
        let _ = (sequence, logits);
    }
}

impl<F: FnMut(usize, u32) -> bool> Watch for F {
    fn emitted(&mut self, sequence: usize, token: u32) -> bool {
        self(sequence, token)
    }
}
