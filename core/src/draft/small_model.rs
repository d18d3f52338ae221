//! Classic speculative decoding's drafter: a second, smaller model of one vocabulary.
//!
//! Leviathan et al., "Fast Inference from Transformers via Speculative Decoding" (2023);
//! a chain of the small model's most likely tokens, or of its draws.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use burn::tensor::{DType, Tensor};

use super::{Budget, Drafter, Drawn};
use crate::cache::{KvPool, Table};
use crate::error::{Error, Result};
use crate::model::Transformer;
use crate::ops::Async;
use crate::sample::{Sampling, Stream, uniform_in};
use crate::tree::Tree;

/// A model that drafts for another. Its cache follows the text by comparing tokens, so
/// it needs to be told nothing.
pub struct SmallModel {
    model: Arc<Transformer>,
    pool: KvPool,
    table: Table,
    /// Passes for the last chain.
    passes: usize,
}

/// Tokens of a text that are run in one pass: activations stay small.
const CHUNK: usize = 256;

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
            passes: 0,
        })
    }

    /// Goes back to what the cache shares with `tokens`, runs the rest, and returns the
    /// logits of the next token, `[1, vocab]`.
    fn follow(&mut self, tokens: &[u32]) -> Result<Tensor<2>> {
        // The last token is always run: its logits are what is asked for.
        let shared = self.table.shared_prefix(tokens).min(tokens.len() - 1);
        let dropped = self.table.truncate(shared);
        self.pool.release(dropped.into_iter());
        let mut last = None;
        for chunk in tokens[shared..].chunks(CHUNK) {
            let first = self.table.len();
            let features = self.run(chunk);
            if features.is_err() {
                let slots = self.table.truncate(first);
                self.pool.release(slots.into_iter());
            }
            last = Some(features?);
        }
        match last {
            Some(last) => self.model.logits(&last),
            None => Err(Error::Invalid("there is no text to draft from".into())),
        }
    }

    /// Runs and commits tokens; returns the features of the last, `[1, hidden]`.
    fn run(&mut self, tokens: &[u32]) -> Result<Tensor<2>> {
        let slots = self.pool.reserve(tokens.len())?;
        let rows = self.table.extend(tokens, &slots);
        let features = self.model.forward(&rows, &mut self.pool, &[])?;
        let last = tokens.len() as u32 - 1;
        self.model.ops().select(&features.last, &[last])
    }

    /// A chain: of draws from the model's distribution if `sampling` is given, else of
    /// its most likely tokens.
    async fn draft(
        &mut self,
        context: &[u32],
        budget: Budget,
        sampling: Option<&Sampling>,
    ) -> Result<(Tree, Drawn)> {
        let mut tree = Tree::new(context.last().copied().unwrap_or_default());
        let mut drawn = Drawn::default();
        // The small model may have the shorter context.
        let room = self.model.context().saturating_sub(context.len());
        let depth = budget.depth.min(budget.nodes).min(room);
        let mut tokens = context.to_vec();
        let (mut node, mut chance) = (0, 1.0);
        self.passes = 0;
        while tree.height() < depth && chance >= budget.price {
            let logits = self.follow(&tokens)?;
            self.passes += 1;
            let ops = self.model.ops();
            node = match sampling {
                Some(sampling) => {
                    let mut logits = ops.read(logits).await?;
                    let draft = sampling.distribution(&mut logits, tokens.iter().copied())?;
                    let position = tokens.len() as u64;
                    let uniform =
                        |child| uniform_in(Stream::Draft, sampling.seed, position, child as u32);
                    drawn.draw(&mut tree, node, draft, 1, uniform)[0]
                }
                None => match ops.top_k(&logits, 1).await?[..] {
                    [ref best] if !best.is_empty() => tree.add(node, best[0].0, best[0].1.exp()),
                    _ => break, // A model whose output is not a number drafts nothing.
                },
            };
            chance *= tree.chance(node);
            tokens.push(tree.token(node));
        }
        Ok((tree, drawn))
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
        Box::pin(async move { Ok(self.draft(context, budget, None).await?.0) })
    }

    fn passes(&self) -> Option<usize> {
        Some(self.passes)
    }

    fn sample<'a>(
        &'a mut self,
        context: &'a [u32],
        budget: Budget,
        sampling: &'a Sampling,
    ) -> Async<'a, (Tree, Drawn)> {
        Box::pin(self.draft(context, budget, Some(sampling)))
    }
}
