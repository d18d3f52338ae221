//! Drafting with a head: extend over what became final, then grow a tree.

use std::collections::HashMap;
use std::future::Future;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;

use burn::tensor::{DType, Tensor};

use super::Head;
use super::grow::grow;
use super::waiting::Waiting;
use crate::cache::{KvPool, Table};
use crate::draft::fill::fill;
use crate::draft::{Budget, Candidates, Drafter, Drawn, Observation, Shaping};
use crate::error::Result;
use crate::model::{Features, Transformer};
use crate::ops::{Async, Ops, Rows};
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
    vocab: usize,
    cache: KvPool,
    /// The pairs in the cache: pair i stands under token i + 1.
    pairs: Table,
    /// Features of the positions after those, not yet paired.
    waiting: Waiting,
    /// Passes of the head for the last tree.
    passes: usize,
}

impl Eagle {
    /// A drafter for one sequence. `name` is the method's, as users know it; drafters of
    /// several sequences can share a head. `shaping` is a [`Growth`](crate::draft::Growth)
    /// (EAGLE-2) or a [`Shape`](crate::tree::Shape) (EAGLE-1).
    ///
    /// # Errors
    /// The device has not enough memory.
    pub fn new(
        name: &'static str,
        head: impl Into<Rc<dyn Head>>,
        target: &Transformer,
        shaping: impl Into<Shaping>,
    ) -> Result<Self> {
        let (head, shaping) = (head.into(), shaping.into());
        let ops = target.ops().clone();
        // The text, and the nodes of one tree that are expanded.
        let slots = target.context()
            + match &shaping {
                Shaping::Dynamic(growth) => (growth.top_k * growth.depth).max(growth.nodes),
                Shaping::Static(shape) => shape.len(),
            };
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
        })
    }

    /// Pairs the waiting features with the tokens that followed them. Returns the output
    /// of the last pair, `[1, hidden]`: the feature to come.
    fn extend(&mut self, context: &[u32]) -> Result<Option<Tensor<2>>> {
        let mut last = None;
        for features in std::mem::take(&mut self.waiting).fused(&*self.head, &*self.ops)? {
            let first = self.pairs.len();
            let output = self.run(context, &features);
            if output.is_err() {
                let slots = self.pairs.truncate(first);
                self.cache.release(slots.into_iter());
            }
            last = Some(output?);
            self.passes += 1;
        }
        Ok(last)
    }

    /// Runs and commits the pairs of some features, the next in order.
    fn run(&mut self, context: &[u32], features: &Tensor<2>) -> Result<Tensor<2>> {
        let (first, count) = (self.pairs.len(), features.dims()[0]);
        let tokens = &context[first + 1..first + 1 + count];
        let slots = self.cache.reserve(count)?;
        let rows = self.pairs.extend(tokens, &slots);
        let embedded = self.ops.embed_rows(self.head.embedding(), &rows)?;
        let layer = self.cache.layer(0);
        let outputs = self.head.pass(features, embedded, &rows, layer)?;
        match count {
            1 => Ok(outputs),
            _ => self.ops.select(&outputs, &[count as u32 - 1]),
        }
    }

    /// The likeliest tokens after each output of a level.
    async fn candidates(&self, level: &Level) -> Result<Vec<Candidates>> {
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
    pub(super) async fn target_logits(&self, level: &Level) -> Result<Vec<Vec<f32>>> {
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

    /// Takes in what became final. Returns the level that a tree begins with, or nothing
    /// where this round has none.
    pub(super) fn begin(&mut self, context: &[u32], budget: Budget) -> Result<Option<Level>> {
        // Every position but the root's has a feature, here or in the cache; a drafter
        // that came late, or has no room, sits the round out.
        // The root's chance is 1: a pass that costs more will not pay.
        self.passes = 0;
        let seen = self.pairs.len() + self.waiting.rows();
        let pays = budget.nodes > 0 && budget.price <= 1.0;
        if seen + 1 != context.len() || self.waiting.rows() == 0 {
            return Ok(None);
        }
        if !pays {
            if self.waiting.is_full() {
                self.extend(context)?;
                self.passes = 0;
            }
            return Ok(None);
        }
        let last = self.extend(context)?.filter(|_| budget.depth > 0);
        Ok(last.map(Level::new))
    }

    /// Runs nodes of a tree, children of those of `level`, which they become.
    pub(super) fn expand(
        &mut self,
        level: &mut Level,
        tree: &Tree,
        frontier: &[usize],
    ) -> Result<()> {
        let tokens: Vec<u32> = frontier.iter().map(|&node| tree.token(node)).collect();
        let embedded = self.ops.embed(self.head.embedding(), &tokens)?;
        self.descend(level, tree, frontier, embedded)
    }

    /// The same for nodes whose tokens are `embedded` already: `[nodes, hidden]`.
    pub(super) fn descend(
        &mut self,
        level: &mut Level,
        tree: &Tree,
        frontier: &[usize],
        embedded: Tensor<2>,
    ) -> Result<()> {
        let slots = self.cache.reserve(frontier.len())?;
        level.borrowed.extend(&slots);
        let (features, rows) = level.rows(&*self.ops, &self.pairs, tree, frontier, &slots)?;
        let layer = self.cache.layer(0);
        level.outputs = self.head.pass(&features, embedded, &rows, layer)?;
        self.passes += 1;
        level.nodes = frontier.to_vec();
        Ok(())
    }

    /// Gives back what a tree borrowed of the cache.
    pub(super) fn end(&mut self, level: Level) {
        self.cache.release(level.borrowed.into_iter());
    }

    async fn draft(&mut self, context: &[u32], budget: Budget) -> Result<Tree> {
        let root = context.last().copied().unwrap_or_default();
        let Some(mut level) = self.begin(context, budget)? else {
            return Ok(Tree::new(root));
        };
        let tree = self.plant(root, budget, &mut level).await;
        self.end(level);
        tree
    }

    async fn plant(&mut self, root: u32, budget: Budget, level: &mut Level) -> Result<Tree> {
        let shaping = self.shaping.clone();
        // Where a level has a price it must be looked at before the next is run.
        if budget.price == 0.0
            && let Some(shape) = shaping.fixed(budget)
        {
            return self.plant_in(&shape, root, budget, level).await;
        }
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

/// The outputs that the next level of a tree goes on from.
pub(super) struct Level {
    /// `[nodes, hidden]`
    pub(super) outputs: Tensor<2>,
    /// The nodes of the rows of `outputs`.
    pub(super) nodes: Vec<usize>,
    /// The slot of every node that was expanded.
    slots: HashMap<usize, u32>,
    /// The same, in the order in which they were taken from the cache.
    borrowed: Vec<u32>,
}

impl Level {
    /// The root's own output.
    fn new(outputs: Tensor<2>) -> Self {
        Self {
            outputs,
            nodes: vec![0],
            slots: Default::default(),
            borrowed: Vec::new(),
        }
    }

    /// The rows of a frontier and the feature of each: its parent's output.
    fn rows<'a>(
        &mut self,
        ops: &dyn Ops,
        pairs: &'a Table,
        tree: &Tree,
        frontier: &[usize],
        slots: &[u32],
    ) -> Result<(Tensor<2>, Rows<'a>)> {
        let mut rows = Rows::default();
        let table = rows.add_table(pairs.slots());
        let mut parents = Vec::with_capacity(frontier.len());
        for (&node, &slot) in frontier.iter().zip(slots) {
            self.slots.insert(node, slot);
            // The root has its pair in the table; its descendants have their slots.
            let path = tree.path(node);
            let path: Vec<u32> = path[1..].iter().map(|n| self.slots[n]).collect();
            rows.push(tree.token(node), slot, table, pairs.len() as u32, &path);
            let parent = tree.parent(node);
            let row = self.nodes.iter().position(|&n| n == parent);
            parents.push(row.unwrap_or(0) as u32);
        }
        Ok((ops.select(&self.outputs, &parents)?, rows))
    }
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
        let of = |t: &Tensor<2>| self.ops.select(t, observation.rows);
        let features = Features {
            last: of(&observation.features.last)?,
            taps: observation
                .features
                .taps
                .iter()
                .map(of)
                .collect::<Result<_>>()?,
        };
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
        let slots = self.pairs.truncate(keep);
        self.cache.release(slots.into_iter());
        self.waiting = Waiting::default();
        keep
    }
}
