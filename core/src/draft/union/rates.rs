//! How often a copied token is right: what an n-gram says, corrected by what was seen.

use super::Lookup;
use crate::draft::ngram::chance;
use crate::tree::Tree;

/// What the drafter says of a copied token.
#[derive(Clone, Copy)]
pub(super) enum View {
    /// It drafted the token too.
    Agrees,
    /// It drafted others in its place.
    Differs,
    /// It drafted nothing there.
    Silent,
}

impl View {
    /// Of a child of `parent`, in a tree whose first `own` nodes are the drafter's.
    pub(super) fn of(tree: &Tree, own: usize, parent: usize, token: u32) -> Self {
        let mut children = tree.children(parent).take_while(|&node| node < own);
        match tree.child(parent, token) {
            Some(node) if node < own => Self::Agrees,
            _ if children.next().is_some() => Self::Differs,
            _ => Self::Silent,
        }
    }
}

/// How often copied tokens were right, by the length of the match and by what the
/// drafter said of them.
#[derive(Default)]
pub(super) struct Rates {
    /// (hits, tries) by view and length, fading out.
    seen: [Vec<(f32, f32)>; 3],
}

/// Tries that the first estimate is worth.
const TRUST: f32 = 4.0;
/// How fast old tries are forgotten.
const MEMORY: f32 = 0.98;

impl Rates {
    /// The chance of a copied token if its parent is right.
    pub(super) fn estimate(&self, matched: usize, view: View) -> f32 {
        let seen = self.seen[view as usize].get(matched);
        let (hits, tries) = seen.copied().unwrap_or_default();
        (hits + TRUST * chance(matched)) / (tries + TRUST)
    }

    /// Follows a lookup along what the text turned out to be.
    pub(super) fn learn(&mut self, lookup: &Lookup, text: &[u32]) {
        let tree = &lookup.tree;
        let mut node = 0;
        for &token in text {
            for child in tree.children(node) {
                let seen = &mut self.seen[lookup.views[child] as usize];
                if seen.len() <= lookup.matched {
                    seen.resize(lookup.matched + 1, (0.0, 0.0));
                }
                let (hits, tries) = &mut seen[lookup.matched];
                let hit = f32::from(u8::from(tree.token(child) == token));
                (*hits, *tries) = (*hits * MEMORY + hit, *tries * MEMORY + 1.0);
            }
            match tree.child(node, token) {
                Some(child) => node = child,
                None => break,
            }
        }
    }
}
