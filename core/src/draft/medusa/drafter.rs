//! Drafting with Medusa heads: one pass of all heads, then a tree of their products.

use std::future::Future;
use std::pin::Pin;
use std::rc::Rc;

use burn::tensor::Tensor;

use super::MedusaHeads;
use super::best_first::best_first;
use crate::draft::fill::fill;
use crate::draft::{Budget, Drafter, Observation, Shaping};
use crate::error::Result;
use crate::tree::Tree;

/// Medusa heads as a drafter. It has no cache: all it keeps is one feature.
pub struct Medusa {
    heads: Rc<MedusaHeads>,
    shaping: Shaping,
    /// The last position that the target ran, and its feature, `[1, hidden]`.
    last: Option<(usize, Tensor<2>)>,
    /// Whether the heads ran for the last proposal.
    ran: bool,
}

impl Medusa {
    /// A drafter for one sequence; drafters of several can share their heads. `shaping` is
    /// a [`Growth`](crate::draft::Growth), which keeps the likeliest products, or a
    /// [`Shape`](crate::tree::Shape), as in the paper.
    pub fn new(heads: impl Into<Rc<MedusaHeads>>, shaping: impl Into<Shaping>) -> Self {
        Self {
            heads: heads.into(),
            shaping: shaping.into(),
            last: None,
            ran: false,
        }
    }

    async fn draft(&mut self, context: &[u32], budget: Budget) -> Result<Tree> {
        self.ran = false;
        let root = context.last().copied().unwrap_or_default();
        let feature = match &self.last {
            // The feature before the root's, or none: the drafter came late.
            Some((position, feature)) if position + 2 == context.len() => feature,
            _ => return Ok(Tree::new(root)),
        };
        if budget.nodes == 0 || budget.depth == 0 {
            return Ok(Tree::new(root));
        }
        self.ran = true;
        let logits = self.heads.logits(feature)?;
        let levels = self.heads.ops.top_k(&logits, self.shaping.width()).await?;
        match &self.shaping {
            Shaping::Dynamic(growth) => Ok(best_first(root, &levels, growth.within(budget))),
            Shaping::Static(shape) => {
                let depth = budget.depth.min(levels.len());
                // One pass gives all levels.
                let budget = Budget::new(budget.nodes, depth);
                let first = levels[0].clone();
                let expand = async |tree: &Tree, nodes: &[usize], _: &[usize]| {
                    let of = |&node: &usize| levels[tree.depth(node)].clone();
                    Ok(nodes.iter().map(of).collect())
                };
                fill(root, first, shape, budget, expand).await
            }
        }
    }
}

impl Drafter for Medusa {
    fn name(&self) -> &'static str {
        "medusa"
    }

    fn propose<'a>(
        &'a mut self,
        context: &'a [u32],
        budget: Budget,
    ) -> Pin<Box<dyn Future<Output = Result<Tree>> + 'a>> {
        Box::pin(self.draft(context, budget))
    }

    fn passes(&self) -> Option<usize> {
        Some(usize::from(self.ran))
    }

    fn observe(&mut self, observation: Observation<'_>) -> Result<()> {
        if let Some(&row) = observation.rows.last() {
            let position = observation.position + observation.rows.len() - 1;
            let feature = self.heads.feature(observation.features, row)?;
            self.last = Some((position, feature));
        }
        Ok(())
    }

    fn truncate(&mut self, len: usize) -> usize {
        // A prompt's last token is always run, and its feature is all that is needed.
        self.last = None;
        len
    }
}
