//! Trees that are drafted without the host: every level is queued at once, and all that was
//! found is read back at the end.
//!
//! In a tree of a fixed shape it is settled before any token is known which candidate becomes
//! which node. A tree that grows is chosen on the device, which also ranks its nodes: the target
//! can verify it before the host has seen it.

use burn::tensor::Tensor;

use super::Head;
use super::drafter::{Eagle, chunks};
use super::waiting::{Taken, extend};
use crate::draft::fill::fill;
use crate::draft::{Budget, Candidates, Growth, Shaping};
use crate::error::Result;
use crate::ops::ranking::{RANKED, nodes};
use crate::ops::{KvLayer, Level, Ops, Rows, take_up};
use crate::tree::{Shape, Tree};

/// What is known of a tree before it is drafted.
pub(super) struct Plan {
    shaping: Planned,
    /// Candidates of a node.
    width: usize,
    /// The levels below the root that are expanded.
    levels: Vec<Expanded>,
}

enum Planned {
    Shape {
        shape: Shape,
        /// The shape's node of each row, level by level, the root first.
        order: Vec<usize>,
    },
    Growth(Growth),
}

/// The nodes of a level that are expanded.
struct Expanded {
    rows: usize,
    /// Which candidates of the level above they are, if that is settled.
    places: Option<Vec<u32>>,
}

impl Plan {
    /// Levels of the tree.
    pub fn depth(&self) -> usize {
        self.levels.len() + 1
    }
}

impl Eagle {
    /// How the next tree is drafted; nothing where the host looks at each level.
    pub(super) fn plan(&mut self, mut budget: Budget) -> Option<Plan> {
        if budget.price != 0.0 {
            if self.looks {
                return None;
            }
            let deepest = match &self.shaping {
                Shaping::Dynamic(growth) => growth.rankable_depth().min(budget.depth),
                Shaping::Static(_) => budget.depth,
            };
            budget.depth = self.promise.depth(budget.price, deepest);
        }
        let tokens = self.head.ids().map_or(self.vocab, |ids| ids.len());
        let growth = match &self.shaping {
            Shaping::Static(shape) => return Some(in_shape(shape.clone(), budget, tokens)),
            Shaping::Dynamic(growth) => growth.within(budget),
        };
        let level = |_| Expanded {
            rows: growth.top_k,
            places: None,
        };
        growth.is_rankable(tokens).then(|| Plan {
            width: growth.top_k,
            levels: (1..growth.depth).map(level).collect(),
            shaping: Planned::Growth(growth),
        })
    }

    /// Drafts below the last token. One readback.
    pub(super) async fn read_queued(
        &mut self,
        plan: &Plan,
        context: &[u32],
        budget: Budget,
    ) -> Result<Tree> {
        let found = self.queue(plan, context)?;
        let width = found.dims()[1];
        let read = self.ops.read(found).await;
        if read.is_err() {
            self.cache.take_recorded(); // It may be what failed.
        }
        let values = read?;
        let root = context.last().copied().unwrap_or_default();
        match &plan.shaping {
            Planned::Shape { shape, order } => {
                let found = take_up(&values, width);
                // All that there is was worth its price.
                let whole = Budget::new(budget.nodes, budget.depth);
                let tree = self.filled(shape, order, found, root, whole).await?;
                self.promise.record_all(&tree);
                Ok(tree)
            }
            Planned::Growth(growth) => {
                let mut tree = Tree::ranked(root, nodes(&values), RANKED);
                self.promise
                    .record_ranked(&tree, growth.top_k, growth.depth);
                tree.truncate(growth.nodes);
                Ok(tree)
            }
        }
    }

    /// Queues a tree. Returns what is known of it: of a shape's the candidates of all nodes that
    /// are expanded, of one that grows its nodes by rank. The slots that it borrows are free
    /// again: whoever takes them next is queued behind it.
    pub(super) fn queue(&mut self, plan: &Plan, context: &[u32]) -> Result<Tensor<2>> {
        let first = self.pairs.len();
        let mut borrowed = Vec::new();
        let found = self.queue_in(plan, context, &mut borrowed);
        if found.is_err() {
            self.unpair(first);
        }
        self.cache.release(borrowed.into_iter());
        found
    }

    /// Queues the passes over what waits and over all levels.
    fn queue_in(
        &mut self,
        plan: &Plan,
        context: &[u32],
        borrowed: &mut Vec<u32>,
    ) -> Result<Tensor<2>> {
        let waiting = std::mem::take(&mut self.waiting);
        let first = self.pair(context, waiting.rows())?;
        for level in &plan.levels {
            borrowed.extend(self.cache.reserve(level.rows)?);
        }
        let mut slots = &borrowed[..];
        let mut levels = Vec::with_capacity(plan.levels.len());
        for (depth, level) in (1..).zip(&plan.levels) {
            let (own, others) = slots.split_at(level.rows);
            levels.push(placed(own, depth, self.pairs.slots()));
            slots = others;
        }
        let head = &*self.head;
        let mut rows = chunks(&self.pairs, &waiting, first);
        let parts = rows.len();
        rows.extend(levels);
        let Taken { mut tensors, raw } = waiting.take(head, &*self.ops)?;
        let features = tensors.len();
        for places in plan
            .levels
            .iter()
            .filter_map(|level| level.places.as_deref())
        {
            tensors.push(self.ops.places(places)?);
        }
        let mut recorded = self.cache.take_recorded();
        let layer = self.cache.layer(0);
        let mut pass = |inputs: &[Tensor<2>], rows: &mut [Rows<'_>]| {
            let (features, places) = inputs.split_at(features);
            let (chunks, levels) = rows.split_at_mut(parts);
            let first = extend((features, raw), head, &*self.ops, chunks, layer)?;
            let all = go_down(head, &*self.ops, plan.width, first, places, levels, layer)?;
            Ok(vec![match plan.shaping {
                Planned::Shape { .. } => all,
                Planned::Growth(_) => self.ops.rank(&all, head.ids().map(|ids| ids.tensor()))?,
            }])
        };
        let found = match raw {
            true => self
                .ops
                .repeat(&mut recorded, &tensors, &mut rows, &mut pass),
            // Long prompts are taken in differently each time.
            false => {
                let staged = rows.iter().try_for_each(|rows| self.ops.stage(rows));
                staged.and_then(|()| pass(&tensors, &mut rows))
            }
        };
        let mut found = found?;
        self.cache.keep(recorded);
        self.passes += parts + plan.levels.len();
        Ok(found.swap_remove(0))
    }

    /// The tree of a shape, from the candidates of its nodes in that order.
    async fn filled(
        &self,
        shape: &Shape,
        order: &[usize],
        found: Vec<Candidates>,
        root: u32,
        budget: Budget,
    ) -> Result<Tree> {
        let found = self.named(found);
        let of = |place: usize| {
            let row = order.iter().position(|&node| node == place);
            row.map(|row| found[row].clone()).unwrap_or_default()
        };
        fill(root, of(0), shape, budget, async |_, _, places| {
            Ok(places.iter().map(|&place| of(place)).collect())
        })
        .await
    }
}

/// Expands levels below a root whose output is `outputs`, `[1, hidden]`, at places that are
/// known or where candidates are likeliest. Returns all that is found: the root's candidates,
/// then each level's, after its choice where it made one.
fn go_down(
    head: &dyn Head,
    ops: &dyn Ops,
    width: usize,
    mut outputs: Tensor<2>,
    places: &[Tensor<2>],
    levels: &mut [Rows<'_>],
    cache: &mut KvLayer,
) -> Result<Tensor<2>> {
    let find = |outputs: &Tensor<2>| ops.candidates(&head.logits(outputs)?, width);
    let mut found = find(&outputs)?;
    let mut all = vec![found.clone()];
    let (mut above, mut scores) = (None, None);
    let mut places = places.iter();
    for rows in levels {
        let known = places.next();
        let chosen = match known {
            Some(places) => places.clone(),
            None => ops.frontier(&found, scores.as_ref())?,
        };
        let level = Level {
            found: &found,
            outputs: &outputs,
            rows: above,
        };
        let ids = head.ids().map(|ids| ids.tensor());
        let features = ops.descend(&level, &chosen, ids, rows)?;
        let embedded = ops.embed_rows(head.embedding(), rows)?;
        outputs = head.pass(&features, embedded, rows, cache)?;
        found = find(&outputs)?;
        if known.is_none() {
            all.push(chosen.clone());
            scores = Some(chosen);
        }
        all.push(found.clone());
        above = Some(&*rows);
    }
    match &all[..] {
        [only] => Ok(only.clone()),
        all => ops.concat(all, 0),
    }
}

/// Nodes of a level, of which only the slots are known.
fn placed<'a>(slots: &[u32], depth: usize, pairs: &'a [u32]) -> Rows<'a> {
    let mut rows = Rows::default();
    let table = rows.add_table(pairs);
    for &slot in slots {
        rows.push(0, slot, table, pairs.len() as u32, &vec![slot; depth]);
    }
    rows
}

/// The plan of a shape, as far as there is room for it; of `tokens` tokens no more can be
/// candidates.
fn in_shape(shape: Shape, budget: Budget, tokens: usize) -> Plan {
    let width = shape.width().clamp(1, tokens);
    // Tokens, which are not known, are ranks.
    let ranks = shape.ranks(budget.nodes, budget.depth);
    let (mut order, mut above) = (vec![0], vec![0]);
    let mut levels = Vec::new();
    for depth in 1..ranks.height() {
        let place = |node: usize| {
            let row = above.iter().position(|&n| n == ranks.parent(node))?;
            let rank = ranks.token(node) as usize;
            (rank < width).then(|| (node, (row * width + rank) as u32))
        };
        let inner = (1..ranks.len()).filter(|&node| ranks.depth(node) == depth);
        let inner = inner.filter(|&node| ranks.children(node).next().is_some());
        let (nodes, places): (Vec<_>, Vec<_>) = inner.filter_map(place).unzip();
        if nodes.is_empty() {
            break;
        }
        levels.push(Expanded {
            rows: nodes.len(),
            places: Some(places),
        });
        order.extend(&nodes);
        above = nodes;
    }
    Plan {
        shaping: Planned::Shape { shape, order },
        width,
        levels,
    }
}
