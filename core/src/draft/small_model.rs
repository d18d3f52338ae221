//! Classic speculative decoding's drafter: a second, smaller model of one vocabulary.
//!
//! Leviathan et al., "Fast Inference from Transformers via Speculative Decoding" (2023);
//! the drafts are the small model's most likely tokens, a chain.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use burn::tensor::{DType, Tensor};

use super::{Budget, Drafter};
use crate::cache::{KvPool, Table};
use crate::error::{Error, Result};
use crate::model::Transformer;
use crate::tree::Tree;

/// A model that drafts for another. Its cache follows the text by comparing tokens, so
/// it needs to be told nothing.
pub struct SmallModel {
    model: Arc<Transformer>,
    pool: KvPool,
    table: Table,
}

/// Tokens of a text that are run in one pass: activations stay small.
const CHUNK: usize = 256;

/// How sure a draft is taken to be before the engine knows better.
const CHANCE: f32 = 0.7;

impl SmallModel {
    /// A drafter for one sequence of `target`.
    ///
    /// # Errors
    /// The vocabularies differ in size, or the device has not enough memory.
    pub fn new(model: Arc<Transformer>, target: &Transformer) -> Result<Self> {
        let (own, other) = (model.config(), target.config());
        if own.vocab != other.vocab {
            return Err(Error::Invalid(format!(
                "a model of {} tokens cannot draft for one of {}: the vocabularies must be \
                 the same",
                own.vocab, other.vocab
            )));
        }
        let (ops, heads) = (&**model.ops(), own.attention_heads());
        let pool = KvPool::new(ops, own.layers, model.context(), heads, DType::F16)?;
        Ok(Self {
            model,
            pool,
            table: Table::default(),
        })
    }

    /// Goes back to what the cache shares with `tokens`, runs the rest, and returns the
    /// most likely next token.
    async fn follow(&mut self, tokens: &[u32]) -> Result<u32> {
        // The last token is always run: its logits are what is asked for.
        let shared = self.table.shared_prefix(tokens).min(tokens.len() - 1);
        let dropped = self.table.truncate(shared);
        self.pool.release(dropped.into_iter());
        let mut next = 0;
        for chunk in tokens[shared..].chunks(CHUNK) {
            let first = self.table.len();
            let last = self.run(chunk);
            if last.is_err() {
                let slots = self.table.truncate(first);
                self.pool.release(slots.into_iter());
            }
            let logits = self.model.logits(&last?)?;
            let ids = self.model.ops().argmax(&logits).await?;
            next = ids.first().copied().unwrap_or_default();
        }
        Ok(next)
    }

    /// Runs and commits tokens; returns the features of the last, `[1, hidden]`.
    fn run(&mut self, tokens: &[u32]) -> Result<Tensor<2>> {
        let slots = self.pool.reserve(tokens.len())?;
        let rows = self.table.extend(tokens, &slots);
        let features = self.model.forward(&rows, &mut self.pool, &[])?;
        let last = tokens.len() as u32 - 1;
        self.model.ops().select(&features.last, &[last])
    }

    async fn draft(&mut self, context: &[u32], budget: Budget) -> Result<Tree> {
        let mut tree = Tree::new(context.last().copied().unwrap_or_default());
        // The small model may have the shorter context.
        let room = self.model.context().saturating_sub(context.len());
        let depth = budget.depth.min(budget.nodes).min(room);
        let mut tokens = context.to_vec();
        let mut node = 0;
        for _ in 0..depth {
            let token = self.follow(&tokens).await?;
            node = tree.add(node, token, CHANCE);
            tokens.push(token);
        }
        Ok(tree)
    }
}

impl Drafter for SmallModel {
    fn name(&self) -> &'static str {
        "small-model"
    }

    fn propose<'a>(
        &'a mut self,
        context: &'a [u32],
        budget: Budget,
    ) -> Pin<Box<dyn Future<Output = Result<Tree>> + 'a>> {
        Box::pin(self.draft(context, budget))
    }
}
