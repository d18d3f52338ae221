//! The nodes of a tree that grew on a device, ranked over all its levels: what devices whose
//! tensors lie in the host's memory do, and what the kernels of the others are compared with.
//!
//! What was found while it grew, with k children a node: the root's candidates, `[1, 2 k]` as
//! [`Ops::candidates`](super::Ops::candidates) gives them; then for each level what
//! [`Ops::frontier`](super::Ops::frontier) chose, `[1, 2 k]`, and the candidates of what was
//! chosen, `[k, 2 k]`.

use super::Rows;
use super::levels::score;

/// Nodes that [`Ops::rank`](super::Ops::rank) tells.
pub const RANKED: usize = 128;
/// Values of a node.
pub const WIDTH: usize = 4;
/// The most candidates among which it finds them: kernels keep the scores of all in a
/// workgroup's own memory.
pub const MOST: usize = 3072;
/// The score of a candidate that is not worth a node, whatever there is room for: its own chance
/// is no number, or it was found after a row that stands for nothing.
pub const HOPELESS: f32 = -3.3e38;

/// A node as [`Ops::rank`](super::Ops::rank) tells it, in [`WIDTH`] values; the first is -1 where
/// there is none.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Node {
    /// Its token.
    pub token: u32,
    /// Its parent: 0 the root, n the n-th node.
    pub parent: usize,
    /// The logarithm of its chance, given its parent.
    pub log_chance: f32,
    /// Its distance from the root.
    pub depth: usize,
}

impl Node {
    fn of(&[token, parent, log_chance, depth]: &[f32; WIDTH]) -> Option<Self> {
        (token >= 0.0).then_some(Self {
            token: token as u32,
            parent: parent as usize,
            log_chance,
            depth: depth as usize,
        })
    }
}

/// The nodes that are there, likeliest first.
pub fn nodes(ranked: &[f32]) -> impl Iterator<Item = Node> {
    ranked.as_chunks().0.iter().map_while(Node::of)
}

/// Candidates of a tree that grows `depth` levels deep, with `top_k` children a node.
pub fn candidates(top_k: usize, depth: usize) -> usize {
    let below = top_k
        .saturating_mul(top_k)
        .saturating_mul(depth - depth.min(1));
    top_k.saturating_mul(depth.min(1)).saturating_add(below)
}

/// [`Ops::rank`](super::Ops::rank) over values: `grown` in rows of `width`.
pub fn rank(grown: &[f32], width: usize, ids: Option<&[f32]>) -> Vec<f32> {
    let k = width / 2;
    let rows: Vec<&[[f32; 2]]> = grown.chunks(width).map(|row| row.as_chunks().0).collect();
    let (root, levels) = rows.split_at(1);
    // The score of each candidate, and the node that it would be: its parent is a candidate.
    let mut all: Vec<(f32, Node)> = Vec::new();
    let mut add = |found: &[[f32; 2]], parent, above, depth| {
        all.extend(found.iter().map(|&[index, log_chance]| {
            let token = ids.map_or(index, |ids| ids[index.max(0.0) as usize]) as u32;
            let score = match index >= 0.0 {
                true => score(above, log_chance),
                false => HOPELESS,
            };
            let node = Node {
                token,
                parent,
                log_chance,
                depth,
            };
            (score.max(HOPELESS), node)
        }));
    };
    add(root[0], 0, 0.0, 1);
    for (level, rows) in levels.chunks(k + 1).enumerate() {
        let first = level.checked_sub(1).map_or(0, |above| k + above * k * k);
        for (&[place, score], found) in rows[0].iter().zip(&rows[1..]) {
            add(found, first + place.max(0.0) as usize, score, level + 2);
        }
    }
    let mut order: Vec<usize> = (0..all.len()).collect();
    order.retain(|&item| all[item].0 > HOPELESS);
    order.sort_by(|&a, &b| all[b].0.total_cmp(&all[a].0).then(a.cmp(&b)));
    order.truncate(RANKED);
    let node = |&item: &usize| {
        let node = &all[item].1;
        // A parent is likelier than its child, and comes before it.
        let parent = order.iter().position(|&other| other == node.parent);
        let parent = if node.depth == 1 {
            0
        } else {
            parent.map_or(0, |at| at + 1)
        };
        [
            node.token as f32,
            parent as f32,
            node.log_chance,
            node.depth as f32,
        ]
    };
    let mut ranked: Vec<f32> = order.iter().flat_map(node).collect();
    ranked.extend([-1.0, 0.0, 0.0, 0.0].repeat(RANKED - order.len()));
    ranked
}

/// [`Ops::settle`](super::Ops::settle) over values.
pub fn settle(ranked: &[f32], rows: &mut Rows<'_>) {
    let mut settled = Rows::default();
    for table in &rows.tables {
        settled.add_table(table);
    }
    let nodes: Vec<Node> = nodes(ranked).collect();
    for (row, &slot) in rows.slots.iter().enumerate() {
        let mut path = vec![slot];
        let mut at = row;
        while at > 0 {
            at = nodes.get(at - 1).map_or(0, |node| node.parent);
            path.push(rows.slots[at]);
        }
        path.reverse();
        let token = match row {
            0 => rows.tokens[0],
            row => nodes.get(row - 1).map_or(0, |node| node.token),
        };
        settled.push(token, slot, rows.sequences[row], rows.prefixes[row], &path);
    }
    *rows = settled;
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Two levels below the root's, two children a node.
    const GROWN: [[f32; 4]; 7] = [
        [3., -0.5, 8., -1.5],
        [0., -0.5, 1., -1.5],
        [4., -0.1, 5., -3.0],
        [6., -0.2, -1., -1.],
        // Of what was found below, the first and the third.
        [0., -0.6, 2., -1.7],
        [7., -0.3, 9., f32::NAN],
        [2., -0.1, 1., -0.2],
    ];

    #[test]
    fn the_likeliest_come_first_and_know_their_parents() {
        let ranked = rank(GROWN.as_flattened(), 4, None);
        assert_eq!(ranked.len(), WIDTH * RANKED);
        let found: Vec<_> = nodes(&ranked).collect();
        let node = |token, parent, log_chance, depth| Node {
            token,
            parent,
            log_chance,
            depth,
        };
        let expected = [
            node(3, 0, -0.5, 1),
            node(4, 1, -0.1, 2),
            node(7, 2, -0.3, 3),
            node(8, 0, -1.5, 1),
            node(6, 4, -0.2, 2),
            node(2, 5, -0.1, 3),
            node(1, 5, -0.2, 3),
            node(5, 1, -3.0, 2),
        ];
        assert_eq!(found, expected);
        let ids: Vec<f32> = (0..10).map(|i| 90. - i as f32).collect();
        let mapped = rank(GROWN.as_flattened(), 4, Some(&ids));
        assert_eq!(nodes(&mapped).next().map(|node| node.token), Some(87));
        let first = rank(&GROWN[0], 4, None);
        assert_eq!(nodes(&first).count(), 2);
    }

    #[test]
    fn what_was_found_after_nothing_is_no_node() {
        let grown = [
            [3., -0.5, -1., -1.],
            [0., -0.5, -1., HOPELESS],
            [4., -0.1, 5., -3.],
            [6., -0.2, 7., -0.3],
        ];
        let ranked = rank(grown.as_flattened(), 4, None);
        let tokens: Vec<u32> = nodes(&ranked).map(|node| node.token).collect();
        assert_eq!(tokens, [3, 4, 5]);
    }

    #[test]
    fn rows_get_their_nodes_paths() {
        let table = [7, 3];
        let mut rows = Rows::default();
        rows.add_table(&table);
        rows.push(50, 10, 0, 2, &[10]);
        for slot in 11..21 {
            rows.push(0, slot, 0, 2, &[slot; 4]);
        }
        settle(&rank(GROWN.as_flattened(), 4, None), &mut rows);
        assert_eq!(rows.tokens, [50, 3, 4, 7, 8, 6, 2, 1, 5, 0, 0]);
        let path = |row| rows.visible(row).1;
        assert_eq!((path(0), path(3)), (&[10][..], &[10, 11, 12, 13][..]));
        assert_eq!(
            (path(7), path(8)),
            (&[10, 14, 15, 17][..], &[10, 11, 18][..])
        );
        // Where there is no node, a row below the root that means nothing.
        assert_eq!((path(10), rows.positions[10]), (&[10, 20][..], 3));
    }

    #[test]
    fn candidates_are_those_of_all_levels() {
        let counts = [(4, 0), (4, 1), (4, 3), (10, 6)].map(|(k, depth)| candidates(k, depth));
        assert_eq!(counts, [0, 4, 36, 510]);
        assert_eq!(candidates(usize::MAX, 3), usize::MAX);
    }
}
