//! Where a drafted tree gets its shape from.

use super::Budget;
use crate::tree::Shape;

/// Candidates for a child: (token, log-probability), most likely first.
pub(super) type Candidates = Vec<(u32, f32)>;

/// The shape that a tree may grow into.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Growth {
    /// Children of a node, and in EAGLE-2's growth nodes of a level that are expanded.
    pub top_k: usize,
    /// The deepest level; an EAGLE head needs no pass of its own for the first one.
    pub depth: usize,
    /// Nodes kept below the root.
    pub nodes: usize,
}

/// What pays on small machines; a measured budget takes less of it where less pays.
impl Default for Growth {
    fn default() -> Self {
        Self {
            top_k: 4,
            depth: 5,
            nodes: 8,
        }
    }
}

impl Growth {
    /// What of it a round has room for.
    pub(super) fn within(self, budget: Budget) -> Self {
        Self {
            depth: self.depth.min(budget.depth),
            nodes: self.nodes.min(budget.nodes),
            ..self
        }
    }
}

/// Where a head's tree gets its shape from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Shaping {
    /// It grows where the head is confident (EAGLE-2).
    Dynamic(Growth),
    /// It is always the same (EAGLE-1, Medusa).
    Static(Shape),
}

impl Shaping {
    /// The shape that a tree gets whatever its tokens are, if there is one: a chain where a
    /// node has one child, and so nothing to choose from.
    pub(super) fn fixed(&self, budget: Budget) -> Option<Shape> {
        match self {
            Self::Static(shape) => Some(shape.clone()),
            Self::Dynamic(growth) if growth.top_k == 1 => {
                let growth = growth.within(budget);
                Some(Shape::chain(growth.depth.min(growth.nodes)))
            }
            Self::Dynamic(_) => None,
        }
    }

    /// How many candidates of a node are asked for at most.
    pub(super) fn width(&self) -> usize {
        match self {
            Self::Dynamic(growth) => growth.top_k,
            Self::Static(shape) => shape.width(),
        }
    }
}

impl From<Growth> for Shaping {
    fn from(growth: Growth) -> Self {
        Self::Dynamic(growth)
    }
}

impl From<Shape> for Shaping {
    fn from(shape: Shape) -> Self {
        Self::Static(shape)
    }
}
