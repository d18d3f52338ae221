//! Trees of a fixed shape without the host: which candidate becomes which node is settled
//! before any token is known, so that every level is queued at once and read back at the end.

use super::drafter::{Eagle, Level};
use crate::draft::Budget;
use crate::draft::fill::fill;
use crate::error::Result;
use crate::tree::{Shape, Tree};

impl Eagle {
    /// Fills a shape below the root, whose output is `level`. One readback.
    pub(super) async fn plant_in(
        &mut self,
        shape: &Shape,
        root: u32,
        budget: Budget,
        level: &mut Level,
    ) -> Result<Tree> {
        // The nodes that there is room for; their tokens, which are not known, are ranks.
        let ranks = shape.ranks(budget.nodes, budget.depth);
        let has_children = |&node: &usize| ranks.children(node).next().is_some();
        let mut found = vec![self.chosen(level, shape)?];
        // Nodes in the order of the rows of `found`.
        let mut order = vec![0];
        for depth in 1..ranks.height() {
            let (last, top) = (&found[found.len() - 1], found[0].dims()[1] / 2);
            // A row has fewer candidates where the vocabulary has fewer tokens.
            let there = |&node: &usize| (ranks.token(node) as usize) < top;
            let place = |node: usize| {
                let parent = ranks.parent(node);
                let row = level.nodes.iter().position(|&n| n == parent)?;
                Some((node, (row * top) as u32 + ranks.token(node)))
            };
            let inner = (1..ranks.len()).filter(|&node| ranks.depth(node) == depth);
            let inner = inner.filter(has_children).filter(there).filter_map(place);
            let (frontier, places): (Vec<_>, Vec<_>) = inner.unzip();
            if frontier.is_empty() {
                break;
            }
            let (table, ids) = (self.head.embedding(), self.head.ids());
            let ids = ids.map(|ids| ids.tensor());
            let embedded = self.ops.embed_candidates(table, last, &places, ids)?;
            self.descend(level, &ranks, &frontier, embedded)?;
            found.push(self.chosen(level, shape)?);
            order.extend(frontier);
        }
        let found = match &found[..] {
            [only] => only.clone(),
            all => self.ops.concat(all, 0)?,
        };
        let all = self.named(self.ops.read_candidates(found).await?);
        let of = |place: usize| {
            let row = order.iter().position(|&node| node == place);
            row.map(|row| all[row].clone()).unwrap_or_default()
        };
        fill(root, of(0), shape, budget, async |_, _, places| {
            Ok(places.iter().map(|&place| of(place)).collect())
        })
        .await
    }

    /// The candidates of a level's outputs, on the device.
    fn chosen(&self, level: &Level, shape: &Shape) -> Result<burn::tensor::Tensor<2>> {
        let logits = self.head.logits(&level.outputs)?;
        self.ops.candidates(&logits, shape.width())
    }
}
