//! A head's tree and what the context repeats, in one.
//!
//! A head drafts what is likely, an n-gram lookup what was already said; where a text
//! repeats itself the second is surer and reaches deeper. Continuations are grafted onto
//! the head's tree as further children, following those that are there (as SAMD does,
//! Hu et al. 2024).

use std::future::Future;
use std::pin::Pin;

use super::ngram::chance;
use super::{Budget, Drafter, Ngram, NgramOptions, Observation};
use crate::error::Result;
use crate::tree::Tree;

/// A drafter whose trees get n-gram continuations; it keeps the drafter's name.
pub struct Union {
    inner: Box<dyn Drafter>,
    ngram: Ngram,
    rates: Rates,
    /// The last lookup, until the text shows what became of it.
    pending: Option<Lookup>,
}

/// A lookup that found something.
struct Lookup {
    /// Tokens of the context when it was made.
    at: usize,
    /// Tokens of the match.
    matched: usize,
    tree: Tree,
    /// What the drafter says of each node of `tree`.
    views: Vec<View>,
}

/// What the drafter says of a copied token.
#[derive(Clone, Copy)]
enum View {
    /// It drafted the token too.
    Agrees,
    /// It drafted others in its place.
    Differs,
    /// It drafted nothing there.
    Silent,
}

impl View {
    /// Of a child of `parent`, in a tree whose first `own` nodes are the drafter's.
    fn of(tree: &Tree, own: usize, parent: usize, token: u32) -> Self {
        let mut children = tree.children(parent).take_while(|&node| node < own);
        match tree.child(parent, token) {
            Some(node) if node < own => Self::Agrees,
            _ if children.next().is_some() => Self::Differs,
            _ => Self::Silent,
        }
    }
}

impl Union {
    /// Adds lookups to a drafter.
    pub fn new(inner: Box<dyn Drafter>, options: NgramOptions) -> Self {
        Self {
            inner,
            ngram: Ngram(options),
            rates: Rates::default(),
            pending: None,
        }
    }

    async fn draft(&mut self, context: &[u32], budget: Budget) -> Result<Tree> {
        if let Some(lookup) = self.pending.take() {
            self.rates.learn(&lookup, context);
        }
        let mut tree = self.inner.propose(context, budget).await?;
        let (matched, repeated) = self.ngram.lookup(context, budget);
        if matched == 0 {
            return Ok(tree);
        }
        let own = tree.len();
        let mut views = vec![View::Silent; repeated.len()];
        let mut nodes = vec![0; repeated.len()];
        for node in 1..repeated.len() {
            let (parent, token) = (nodes[repeated.parent(node)], repeated.token(node));
            views[node] = View::of(&tree, own, parent, token);
            let chance = self.rates.estimate(matched, views[node]);
            nodes[node] = tree.add(parent, token, chance);
            tree.raise(nodes[node], chance);
        }
        tree.keep_likeliest(budget.nodes);
        self.pending = Some(Lookup {
            at: context.len(),
            matched,
            tree: repeated,
            views,
        });
        Ok(tree)
    }
}

/// How often copied tokens were right, by the length of the match and by what the
/// drafter said of them.
#[derive(Default)]
struct Rates {
    /// (hits, tries) by view and length, fading out.
    seen: [Vec<(f32, f32)>; 3],
}

/// Tries that the first estimate is worth.
const TRUST: f32 = 4.0;
/// How fast old tries are forgotten.
const MEMORY: f32 = 0.98;

impl Rates {
    /// The chance of a copied token if its parent is right.
    fn estimate(&self, matched: usize, view: View) -> f32 {
        let seen = self.seen[view as usize].get(matched);
        let (hits, tries) = seen.copied().unwrap_or_default();
        (hits + TRUST * chance(matched)) / (tries + TRUST)
    }

    /// Follows a lookup along what the text turned out to be.
    fn learn(&mut self, lookup: &Lookup, context: &[u32]) {
        let tree = &lookup.tree;
        let mut node = 0;
        for &token in context.get(lookup.at..).unwrap_or_default() {
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

impl Drafter for Union {
    fn name(&self) -> &'static str {
        self.inner.name()
    }

    fn taps(&self) -> &[usize] {
        self.inner.taps()
    }

    fn propose<'a>(
        &'a mut self,
        context: &'a [u32],
        budget: Budget,
    ) -> Pin<Box<dyn Future<Output = Result<Tree>> + 'a>> {
        Box::pin(self.draft(context, budget))
    }

    fn passes(&self) -> usize {
        self.inner.passes()
    }

    fn observe(&mut self, observation: Observation<'_>) -> Result<()> {
        self.inner.observe(observation)
    }

    fn wants_choices(&self) -> bool {
        self.inner.wants_choices()
    }

    fn note_choices(&mut self, tree: &Tree, choices: &[u32]) {
        self.inner.note_choices(tree, choices);
    }

    fn truncate(&mut self, len: usize) -> usize {
        self.pending = None;
        self.inner.truncate(len)
    }
}

#[cfg(test)]
mod tests {
    use std::future::ready;

    use super::super::testing::now;
    use super::*;

    /// Always proposes the same children of the root.
    struct Fixed(Vec<(u32, f32)>);

    impl Drafter for Fixed {
        fn name(&self) -> &'static str {
            "fixed"
        }

        fn propose<'a>(
            &'a mut self,
            context: &'a [u32],
            _: Budget,
        ) -> Pin<Box<dyn Future<Output = Result<Tree>> + 'a>> {
            let mut tree = Tree::new(context[context.len() - 1]);
            for &(token, chance) in &self.0 {
                tree.add(0, token, chance);
            }
            Box::pin(ready(Ok(tree)))
        }
    }

    const ROOM: Budget = Budget::new(9, 9);

    fn union(children: &[(u32, f32)]) -> Union {
        let options = NgramOptions {
            copied: 3,
            ..Default::default()
        };
        Union::new(Box::new(Fixed(children.to_vec())), options)
    }

    fn draft(union: &mut Union, context: &[u32], budget: Budget) -> Tree {
        now(union.draft(context, budget)).unwrap()
    }

    #[test]
    fn what_repeats_is_grafted_and_follows_what_is_there() {
        let context = [1, 2, 3, 4, 5, 1, 2];
        let tree = draft(&mut union(&[(9, 0.6), (3, 0.1)]), &context, ROOM);
        let mut expected = Tree::new(2);
        expected.add(0, 9, 0.6);
        let three = expected.add(0, 3, chance(2));
        expected.graft(three, &[4, 5], chance(2));
        assert_eq!(tree, expected);
        let tree = draft(&mut union(&[(9, 0.6), (3, 0.9)]), &context, ROOM);
        assert_eq!(tree.chance(2), 0.9, "the surer of two estimates");
        let tree = draft(&mut union(&[(9, 0.6)]), &[1, 2, 3], ROOM);
        assert_eq!(tree.len(), 2, "nothing repeats");
    }

    #[test]
    fn the_likeliest_fill_the_budget() {
        let context = [1, 2, 3, 4, 5, 1, 2];
        let budget = Budget::new(3, 9);
        let tree = draft(&mut union(&[(8, 0.6), (9, 0.05)]), &context, budget);
        let mut expected = Tree::new(2);
        expected.add(0, 8, 0.6);
        expected.graft(0, &[3, 4], chance(2));
        assert_eq!(tree, expected);
        let none = Budget::new(0, 0);
        assert_eq!(draft(&mut union(&[]), &context, none), Tree::new(2));
    }

    #[test]
    fn estimates_follow_what_became_of_earlier_ones() {
        // After "6 1 2" comes 3 every time, or what never came before.
        for (repeats, expected) in [(true, 0.85..1.0), (false, 0.0..0.15)] {
            let mut union = union(&[(9, 0.1)]);
            let mut context = vec![5];
            let mut estimate = f32::NAN;
            for round in 0..20 {
                context.extend([6, 1, 2]);
                let tree = draft(&mut union, &context, ROOM);
                estimate = tree.chance(tree.len().min(3) - 1);
                context.push(if repeats { 3 } else { 10 + round });
            }
            assert!(expected.contains(&estimate), "{repeats}: {estimate}");
        }
    }
}
