//! Fixed tree shapes: which rank of which node's candidates becomes a node.

use std::ops::Range;
use std::str::FromStr;

use super::Tree;
use crate::error::{Error, Result};

/// A tree without tokens: each node is its parent's `rank`-th likeliest child.
///
/// Node 0 is the root. Nodes lie level by level, and by rising ranks within a level.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Shape {
    nodes: Vec<Node>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Node {
    parent: usize,
    rank: usize,
    depth: usize,
}

impl Shape {
    /// From paths of ranks, root to node, in any order.
    ///
    /// # Errors
    /// A path is empty, comes twice, or has a parent that is no path.
    pub fn new(mut paths: Vec<Vec<usize>>) -> Result<Self> {
        let wrong = |path: &[usize], rule| {
            let message = format!("a tree shape holds {path:?}, {rule}");
            Err(Error::Invalid(message))
        };
        paths.sort_by(|a, b| a.len().cmp(&b.len()).then(a.cmp(b)));
        let mut nodes = vec![Node {
            parent: 0,
            rank: 0,
            depth: 0,
        }];
        for (index, path) in paths.iter().enumerate() {
            let Some((&rank, above)) = path.split_last() else {
                return wrong(path, "a path that leads nowhere");
            };
            if index > 0 && paths[index - 1] == *path {
                return wrong(path, "and that twice");
            }
            let parent = match above {
                [] => 0,
                _ => match paths[..index].iter().position(|p| p == above) {
                    Some(parent) => parent + 1,
                    None => return wrong(path, "but not its parent"),
                },
            };
            nodes.push(Node {
                parent,
                rank,
                depth: path.len(),
            });
        }
        Ok(Self { nodes })
    }

    /// A chain of `length` likeliest children.
    pub fn chain(length: usize) -> Self {
        let node = |depth: usize| Node {
            parent: depth.saturating_sub(1),
            rank: 0,
            depth,
        };
        Self {
            nodes: (0..=length).map(node).collect(),
        }
    }

    /// The number of nodes, the root included; never 0.
    #[allow(clippy::len_without_is_empty)] // A tree has a root.
    pub fn len(&self) -> usize {
        self.nodes.len()
    }

    /// The deepest node's depth.
    pub fn height(&self) -> usize {
        self.nodes[self.len() - 1].depth
    }

    /// How many candidates of a node are asked for at most.
    pub fn width(&self) -> usize {
        let ranks = self.nodes[1..].iter().map(|node| node.rank + 1);
        ranks.max().unwrap_or(0)
    }

    /// The nodes at a depth.
    pub fn level(&self, depth: usize) -> Range<usize> {
        let start = self.nodes.partition_point(|node| node.depth < depth);
        start..self.nodes.partition_point(|node| node.depth <= depth)
    }

    /// A node's parent; the root is its own.
    pub fn parent(&self, node: usize) -> usize {
        self.nodes[node].parent
    }

    /// Which of its parent's candidates a node is, 0 the likeliest.
    pub fn rank(&self, node: usize) -> usize {
        self.nodes[node].rank
    }

    /// The shape as a tree whose tokens are ranks, as far as `nodes` below the root and
    /// `depth` levels go: the first nodes, level by level.
    pub fn ranks(&self, nodes: usize, depth: usize) -> Tree {
        let mut tree = Tree::new(0);
        let first = self.nodes[1..].iter().take(nodes);
        for node in first.take_while(|node| node.depth <= depth) {
            // Parents come first, so that a node has the number it has here.
            tree.add(node.parent, node.rank as u32, 1.0);
        }
        tree
    }

    /// Whether a node has no children.
    pub fn is_leaf(&self, node: usize) -> bool {
        !self.nodes[1..].iter().any(|child| child.parent == node)
    }
}

/// Reads words of digits: a digit is a rank, a word the path of a node, and `20-23` the
/// words 20, 21, 22 and 23.
impl FromStr for Shape {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let mut paths = Vec::new();
        for word in text.split_whitespace() {
            paths.extend(words(word).ok_or_else(|| {
                Error::Invalid(format!(
                    "`{word}` is no path of a tree shape: digits, or two paths of one parent \
                     with a - between them"
                ))
            })?);
        }
        Self::new(paths)
    }
}

/// The paths that a word stands for.
fn words(word: &str) -> Option<Vec<Vec<usize>>> {
    let (first, last) = word.split_once('-').unwrap_or((word, word));
    let (first, last) = (path(first)?, path(last)?);
    let ((&from, above), (&to, also)) = (first.split_last()?, last.split_last()?);
    let path = |rank| [above, &[rank]].concat();
    (above == also && from <= to).then(|| (from..=to).map(path).collect())
}

fn path(digits: &str) -> Option<Vec<usize>> {
    let rank = |digit: char| Some(digit.to_digit(10)? as usize);
    digits.chars().map(rank).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_paths_and_ranges_of_paths() {
        let shape: Shape = "00-01 0-2 20".parse().unwrap();
        let paths = [&[0][..], &[1], &[2], &[0, 0], &[0, 1], &[2, 0]];
        let same = Shape::new(paths.map(<[usize]>::to_vec).to_vec()).unwrap();
        assert_eq!(shape, same);
        assert_eq!((shape.len(), shape.height(), shape.width()), (7, 2, 3));
        assert_eq!((shape.level(1), shape.level(2)), (1..4, 4..7));
        assert_eq!((shape.parent(6), shape.rank(6)), (3, 0));
        assert_eq!((shape.is_leaf(2), shape.is_leaf(3)), (true, false));
        let ranks = shape.ranks(5, 2);
        let parents: Vec<_> = (0..6).map(|node| ranks.parent(node)).collect();
        let tokens: Vec<_> = (0..6).map(|node| ranks.token(node)).collect();
        assert_eq!(
            (parents, tokens),
            (vec![0, 0, 0, 0, 1, 1], vec![0, 0, 1, 2, 0, 1])
        );
        assert_eq!((ranks.len(), shape.ranks(9, 1).len()), (6, 4));
        let empty: Shape = "".parse().unwrap();
        assert_eq!((empty.len(), empty.height(), empty.width()), (1, 0, 0));
    }

    #[test]
    fn shapes_that_are_no_trees_are_refused() {
        for (text, cause) in [
            ("0 00 10", "[1, 0], but not its parent"),
            ("0 0", "[0], and that twice"),
            ("0 1x", "`1x`"),
            ("0-", "`0-`"),
            ("2-1", "`2-1`"),
            ("0 00-11", "`00-11`"),
        ] {
            let error = text.parse::<Shape>().unwrap_err().to_string();
            assert!(error.contains(cause), "{error}");
        }
        assert!(Shape::new(vec![vec![]]).is_err());
    }
}
