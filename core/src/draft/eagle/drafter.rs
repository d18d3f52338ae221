//! Drafting with a head: extend over what became final, then grow a tree.

use std::future::Future;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;

use burn::tensor::{DType, Tensor};

use super::Head;
use super::grow::grow;
use super::grown::Grown;
use super::promise::Promise;
use super::waiting::{self, Waiting};
use crate::cache::{KvPool, Table};
use crate::draft::fill::fill;
use crate::draft::{Budget, Candidates, Drafter, Drawn, Observation, Shaping, Unseen};
use crate::error::{Error, Result};
use crate::model::Transformer;
use crate::ops::{Async, Ops, Rows, ranking};
use crate::sample::Sampling;
use crate::tree::Tree;

/// An EAGLE head as a drafter. Its cache keeps only pairs made from the target's own
/// features; what a tree added is dropped with the round.
pub struct Eagle {
    name: &'static str,
    pub(super) head: Rc<dyn Head>,
    pub(super) ops: Arc<dyn Ops>,
    pub(super) shaping: Shaping,
    /// Tokens of the target.
    pub(super) vocab: usize,
    pub(super) cache: KvPool,
    /// The pairs in the cache: pair i stands under token i + 1.
    pub(super) pairs: Table,
    /// Features of the positions after those, not yet paired.
    pub(super) waiting: Waiting,
    /// Passes of the head for the last tree.
    pub(super) passes: usize,
    /// Whether each level is looked at where passes have a price.
    pub(super) looks: bool,
    /// How deep trees are worth being where it is not.
    pub(super) promise: Promise,
    /// The tree that was proposed unseen: children of a node, and levels.
    unseen: Option<(usize, usize)>,
}

impl Eagle {
    /// A drafter for one sequence. `name` is the method's, as users know it; drafters of
    /// several sequences can share a head. `shaping` is a [`Growth`](crate::draft::Growth)
    /// (EAGLE-2) or a [`Shape`](crate::tree::Shape) (EAGLE-1).
    ///
    /// # Errors
    /// The device has not enough memory, or trees are beyond counting.
    pub fn new(
        name: &'static str,
        head: impl Into<Rc<dyn Head>>,
        target: &Transformer,
        shaping: impl Into<Shaping>,
    ) -> Result<Self> {
        let (head, shaping) = (head.into(), shaping.into());
        let ops = target.ops().clone();
        // The text, and the nodes of one tree that are expanded.
        let nodes = match &shaping {
            Shaping::Dynamic(growth) => {
                let depth = growth.depth.min(growth.nodes);
                growth.top_k.saturating_mul(depth).max(growth.nodes)
            }
            Shaping::Static(shape) => shape.len(),
        };
        let slots = target.context().checked_add(nodes);
        let slots = slots.filter(|&slots| slots < u32::MAX as usize);
        let slots = slots
            .ok_or_else(|| Error::Invalid(format!("a tree of {nodes} nodes cannot be counted")))?;
        let looks = !ops.reads_dearly();
        let cache = KvPool::new(&*ops, 1, slots, head.heads(), DType::F32)?;
        Ok(Self {
            name,
            head,
            ops,
            shaping,
            vocab: target.config().vocab,
            cache,
            pairs: Table::default(),
            waiting: Waiting::default(),
            passes: 0,
            looks,
            promise: Promise::default(),
            unseen: None,
        })
    }

    /// Looks at each level of a tree before the next one is drafted, where passes have a price,
    /// or drafts as deep as trees were worth on average. The device decides otherwise.
    #[must_use]
    pub fn looking(mut self, looks: bool) -> Self {
        self.looks = looks;
        self
    }

    /// Pairs the waiting features with the tokens that followed them. Returns the output
    /// of the last pair, `[1, hidden]`: the feature to come.
    fn extend(&mut self, context: &[u32]) -> Result<Tensor<2>> {
        let waiting = std::mem::take(&mut self.waiting);
        let first = self.pair(context, waiting.rows())?;
        let chunks = chunks(&self.pairs, &waiting, first);
        self.passes += chunks.len();
        let layer = self.cache.layer(0);
        let (head, ops) = (&*self.head, &*self.ops);
        let output = waiting.take(head, ops).and_then(|taken| {
            let taken = (&taken.tensors[..], taken.raw);
            waiting::extend(taken, head, ops, &chunks, layer)
        });
        if output.is_err() {
            self.unpair(first);
        }
        output
    }

    /// Commits pairs with the next tokens of the context. Returns the first of them.
    pub(super) fn pair(&mut self, context: &[u32], count: usize) -> Result<usize> {
        let first = self.pairs.len();
        debug_assert!(context.len() > first + count, "every pair has its token");
        let slots = self.cache.reserve(count)?;
        for (&token, slot) in context[first + 1..].iter().zip(slots) {
            self.pairs.commit(token, slot);
        }
        Ok(first)
    }

    /// Gives pairs back, from `first` on.
    pub(super) fn unpair(&mut self, first: usize) {
        let slots = self.pairs.truncate(first);
        self.cache.release(slots.into_iter());
    }

    /// The likeliest tokens after each output of a level.
    async fn candidates(&self, level: &Grown) -> Result<Vec<Candidates>> {
        let logits = self.head.logits(&level.outputs)?;
        let all = self.ops.top_k(&logits, self.shaping.width()).await?;
        Ok(self.named(all))
    }

    /// Candidates by the target's ids.
    pub(super) fn named(&self, mut all: Vec<Candidates>) -> Vec<Candidates> {
        for (index, _) in all.iter_mut().flatten() {
            *index = self.head.token(*index);
        }
        all
    }

    /// Logits of all the target's tokens after each output of a level; those that the
    /// head does not know are impossible.
    pub(super) async fn target_logits(&self, level: &Grown) -> Result<Vec<Vec<f32>>> {
        let logits = self.head.logits(&level.outputs)?;
        let width = logits.dims()[1];
        let values = self.ops.read(logits).await?;
        let spread = |row: &[f32]| {
            let mut all = vec![f32::NEG_INFINITY; self.vocab];
            for (index, &logit) in (0..).zip(row) {
                all[self.head.token(index) as usize] = logit;
            }
            all
        };
        Ok(values.chunks_exact(width).map(spread).collect())
    }

    /// Whether a tree is drafted this round. Where it is not, what waits may be taken in.
    fn is_due(&mut self, context: &[u32], budget: Budget) -> Result<bool> {
        // Every position but the root's has a feature, here or in the cache; a drafter
        // that came late, or has no room, sits the round out.
        // The root's chance is 1: a pass that costs more will not pay.
        self.passes = 0;
        let seen = self.pairs.len() + self.waiting.rows();
        if seen + 1 != context.len() || self.waiting.rows() == 0 {
            return Ok(false);
        }
        let pays = budget.nodes > 0 && budget.price <= 1.0;
        if !pays && self.waiting.is_full() || pays && budget.depth == 0 {
            self.extend(context)?;
        }
        if !pays {
            self.passes = 0;
        }
        Ok(pays && budget.depth > 0)
    }

    /// Takes in what became final. Returns the level that a tree begins with, or nothing
    /// where this round has none.
    pub(super) fn begin(&mut self, context: &[u32], budget: Budget) -> Result<Option<Grown>> {
        match self.is_due(context, budget)? {
            true => self.extend(context).map(|output| Some(Grown::new(output))),
            false => Ok(None),
        }
    }

    /// Runs nodes of a tree, children of those of `level`, which they become.
    pub(super) fn expand(
        &mut self,
        level: &mut Grown,
        tree: &Tree,
        frontier: &[usize],
    ) -> Result<()> {
        let slots = self.cache.reserve(frontier.len())?;
        level.borrowed.extend(&slots);
        let (parents, rows) = level.rows(&self.pairs, tree, frontier, &slots);
        let embedded = self.ops.embed_rows(self.head.embedding(), &rows)?;
        let features = self.ops.select(&level.outputs, &parents)?;
        let layer = self.cache.layer(0);
        level.outputs = self.head.pass(&features, embedded, &rows, layer)?;
        self.passes += 1;
        level.nodes = frontier.to_vec();
        Ok(())
    }

    /// Gives back what a tree borrowed of the cache.
    pub(super) fn end(&mut self, level: Grown) {
        self.cache.release(level.borrowed.into_iter());
    }

    async fn draft(&mut self, context: &[u32], budget: Budget) -> Result<Tree> {
        let root = context.last().copied().unwrap_or_default();
        if !self.is_due(context, budget)? {
            return Ok(Tree::new(root));
        }
        if let Some(plan) = self.plan(budget) {
            return self.read_queued(&plan, context, budget).await;
        }
        let mut level = Grown::new(self.extend(context)?);
        let tree = self.plant(root, budget, &mut level).await;
        self.end(level);
        tree
    }

    /// Fills or grows a tree whose levels are looked at one by one.
    async fn plant(&mut self, root: u32, budget: Budget, level: &mut Grown) -> Result<Tree> {
        let shaping = self.shaping.clone();
        let first = self.candidates(level).await?.pop().unwrap_or_default();
        let mut expand = async |tree: &Tree, frontier: &[usize]| {
            self.expand(level, tree, frontier)?;
            self.candidates(level).await
        };
        match &shaping {
            Shaping::Dynamic(growth) => {
                grow(root, first, growth.within(budget), budget.price, expand).await
            }
            Shaping::Static(shape) => {
                let expand =
                    async |tree: &Tree, nodes: &[usize], _: &[usize]| expand(tree, nodes).await;
                fill(root, first, shape, budget, expand).await
            }
        }
    }
}

/// The rows of what waited, once it is paired.
pub(super) fn chunks<'a>(pairs: &'a Table, waiting: &Waiting, first: usize) -> Vec<Rows<'a>> {
    let mut start = first;
    let rows = |rows: usize| {
        let chunk = pairs.rows(start..start + rows);
        start += rows;
        chunk
    };
    waiting.chunks().map(rows).collect()
}

impl Drafter for Eagle {
    fn name(&self) -> &'static str {
        self.name
    }

    fn taps(&self) -> &[usize] {
        self.head.taps()
    }

    fn propose<'a>(
        &'a mut self,
        context: &'a [u32],
        budget: Budget,
    ) -> Pin<Box<dyn Future<Output = Result<Tree>> + 'a>> {
        Box::pin(self.draft(context, budget))
    }

    fn propose_unseen(&mut self, context: &[u32], budget: Budget) -> Result<Option<Unseen>> {
        let Shaping::Dynamic(growth) = self.shaping else {
            return Ok(None);
        };
        if budget.depth == 0 || !self.is_due(context, budget)? {
            return Ok(None);
        }
        let Some(plan) = self.plan(budget) else {
            return Ok(None);
        };
        let depth = plan.depth();
        let ranked = self.queue(&plan, context)?;
        self.unseen = Some((growth.top_k, depth));
        let there = ranking::candidates(growth.top_k, depth);
        Ok(Some(Unseen {
            ranked,
            nodes: growth.within(budget).nodes.min(there),
            depth,
        }))
    }

    fn see(&mut self, tree: Option<&Tree>) {
        match (self.unseen.take(), tree) {
            (Some((width, depth)), Some(tree)) => self.promise.record_ranked(tree, width, depth),
            // What it was recorded with may be what failed.
            _ => drop(self.cache.take_recorded()),
        }
    }

    fn sample<'a>(
        &'a mut self,
        context: &'a [u32],
        budget: Budget,
        sampling: &'a Sampling,
    ) -> Async<'a, (Tree, Drawn)> {
        Box::pin(self.draw(context, budget, sampling))
    }

    fn passes(&self) -> Option<usize> {
        Some(self.passes)
    }

    fn observe(&mut self, observation: Observation<'_>) -> Result<()> {
        if observation.position != self.pairs.len() + self.waiting.rows() {
            return Ok(()); // It came late: see `draft`.
        }
        let features = observation.features.rows(&*self.ops, observation.rows)?;
        self.waiting.push(features, &*self.head, &*self.ops)
    }

    fn truncate(&mut self, len: usize) -> usize {
        if len > self.pairs.len() {
            let kept = self.waiting.truncate(len - self.pairs.len(), &*self.ops);
            if kept.is_err() {
                self.waiting = Waiting::default(); // What is gone is seen again.
            }
            return self.pairs.len() + self.waiting.rows();
        }
        // The pair at len - 1 holds the token at len, which may change; its feature is
        // gone, and has to be seen again.
        let keep = len.saturating_sub(1);
        self.unpair(keep);
        self.waiting = Waiting::default();
        if keep == 0 {
            self.promise = Promise::default(); // Another text is worth other trees.
        }
        keep
    }
}
