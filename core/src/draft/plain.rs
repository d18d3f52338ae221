//! Plain decoding: nothing is proposed, every round emits one token.

use std::future::{Future, ready};
use std::pin::Pin;

use super::{Budget, Drafter};
use crate::error::Result;
use crate::tree::Tree;

/// Proposes nothing. The oracle that every other method is compared with.
pub struct Plain;

impl Drafter for Plain {
    fn name(&self) -> &'static str {
        "plain"
    }

    fn propose<'a>(
        &'a mut self,
        context: &'a [u32],
        _: Budget,
    ) -> Pin<Box<dyn Future<Output = Result<Tree>> + 'a>> {
        let root = context.last().copied().unwrap_or_default();
        Box::pin(ready(Ok(Tree::new(root))))
    }
}
