//! Where a drafted tree gets its shape from.

use super::Budget;
use crate::ops::WIDEST;
use crate::ops::ranking::{MOST, RANKED};
use crate::tree::Shape;

/// Candidates for a child: (token, log-probability), most likely first.
pub(super) type Candidates = Vec<(u32, f32)>;

/// The shape that a tree may grow into. On a GPU one of up to 128 nodes, 32 children a node and
/// 3072 candidates (`top_k` on the first level, its square on the others) grows and is verified
/// without a look at its levels.
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
        let nodes = self.nodes.min(budget.nodes);
        Self {
            // What is deeper than there are nodes is never kept.
            depth: self.depth.min(budget.depth).min(nodes),
            nodes,
            ..self
        }
    }

    /// Whether a device can choose the nodes by itself, of `tokens` tokens: see
    /// [`Ops::rank`](crate::ops::Ops::rank).
    pub(super) fn is_rankable(self, tokens: usize) -> bool {
        let Self {
            top_k,
            depth,
            nodes,
        } = self;
        (1..=tokens.min(WIDEST)).contains(&top_k)
            && (1..=RANKED).contains(&nodes)
            && depth > 0
            && depth <= self.rankable_depth()
    }

    /// The deepest tree of so many children a node that a device can rank.
    pub(super) fn rankable_depth(self) -> usize {
        let level = self.top_k.saturating_mul(self.top_k).max(1);
        1 + MOST.saturating_sub(self.top_k) / level
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ops::ranking::candidates;

    #[test]
    fn a_tree_is_no_deeper_than_it_has_nodes() {
        let growth = Growth {
            top_k: 1,
            depth: 3000,
            nodes: 5,
        };
        assert_eq!(growth.within(Budget::new(9, 9)).depth, 5);
        assert_eq!(growth.within(Budget::new(0, 9)).depth, 0);
        assert!(growth.within(Budget::new(9, 9)).is_rankable(100));
    }

    #[test]
    fn a_device_ranks_trees_of_so_many_candidates() {
        for top_k in [1, 2, 10, 32] {
            let growth = |depth| Growth {
                top_k,
                depth,
                nodes: 128,
            };
            let deepest = growth(0).rankable_depth();
            assert!(candidates(top_k, deepest) <= MOST && growth(deepest).is_rankable(100));
            assert!(candidates(top_k, deepest + 1) > MOST && !growth(deepest + 1).is_rankable(100));
        }
        let odd = |top_k, depth, nodes| Growth {
            top_k,
            depth,
            nodes,
        };
        for growth in [
            odd(0, 3, 3),
            odd(3, 0, 3),
            odd(3, 3, 0),
            odd(33, 1, 9),
            odd(usize::MAX, 2, 9),
            odd(3, 3, 129),
        ] {
            assert!(!growth.is_rankable(100), "{growth:?}");
        }
        assert!(!odd(4, 2, 9).is_rankable(3), "fewer tokens than children");
    }
}
