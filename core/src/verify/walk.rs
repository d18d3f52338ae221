//! The rule for drafts that were chosen, and the default for all.

use super::Verdict;
use crate::error::Result;
use crate::tree::Tree;

/// Draw, then walk: at each node draw a token from the target's own distribution; if a
/// child holds it, descend; else it is the bonus token and the walk ends.
///
/// Every token that is emitted was drawn by the target at its place, whatever was
/// drafted, so this is exact for every deterministic tree, and at temperature 0 it is
/// greedy verification. `draw` is called once for each node of the walk, in order.
pub fn walk(tree: &Tree, mut draw: impl FnMut(usize) -> Result<u32>) -> Result<Verdict> {
    let mut accepted = Vec::new();
    let mut node = 0;
    loop {
        let token = draw(node)?;
        match tree.child(node, token) {
            Some(child) => {
                accepted.push(child);
                node = child;
            }
            None => {
                return Ok(Verdict {
                    accepted,
                    bonus: token,
                });
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_walk_follows_the_draws_and_ends_where_no_child_matches() {
        let mut tree = Tree::chain(9, &[1, 2]);
        tree.graft(0, &[3, 4], 1.0);
        let walk = |draws: &[u32]| {
            let mut draws = draws.iter().copied();
            walk(&tree, |_| Ok(draws.next().unwrap())).unwrap()
        };
        let verdict = |accepted: &[usize], bonus| Verdict {
            accepted: accepted.to_vec(),
            bonus,
        };
        assert_eq!(walk(&[5]), verdict(&[], 5));
        assert_eq!(walk(&[3, 4, 8]), verdict(&[3, 4], 8));
        assert_eq!(walk(&[1, 4]), verdict(&[1], 4));
    }
}
