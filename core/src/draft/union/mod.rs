//! A head's tree and what the context repeats, in one.
//!
//! A head drafts what is likely, an n-gram lookup what was already said; where a text
//! repeats itself the second is surer and reaches deeper. Continuations are grafted onto
//! the head's tree as further children, following those that are there (as SAMD does,
//! Hu et al. 2024). The head is asked only where what it adds has been worth its passes.

mod asking;
mod rates;

use std::future::Future;
use std::pin::Pin;

use self::asking::{Asking, Situation, followed};
use self::rates::{Rates, View};
use super::{Budget, Drafter, Ngram, NgramOptions, Observation, Unseen};
use crate::error::Result;
use crate::tree::Tree;

/// A drafter whose trees get n-gram continuations; it keeps the drafter's name.
pub struct Union {
    inner: Box<dyn Drafter>,
    ngram: Ngram,
    rates: Rates,
    asking: Asking,
    /// This round, until there is a tree.
    begun: Option<Begun>,
    /// The last round, until the text shows what became of it.
    pending: Option<Pending>,
}

/// A round whose tree is to come.
struct Begun {
    /// Tokens of the context.
    at: usize,
    matched: usize,
    /// What the context repeats.
    repeated: Tree,
    situation: Situation,
    asks: bool,
    /// Of a pass, in tokens.
    cost: f32,
}

/// A round whose outcome is to come.
struct Pending {
    /// Tokens of the context when it was drafted.
    at: usize,
    lookup: Lookup,
    asked: Option<Asked>,
}

/// What the drafter said.
struct Asked {
    situation: Situation,
    tree: Tree,
    /// What its passes cost, in tokens.
    paid: f32,
}

/// What the context repeats.
struct Lookup {
    /// Tokens of the match; 0 where there is none.
    matched: usize,
    tree: Tree,
    /// What the drafter says of each node of `tree`.
    views: Vec<View>,
}

impl Union {
    /// Adds lookups to a drafter.
    pub fn new(inner: Box<dyn Drafter>, options: NgramOptions) -> Self {
        Self {
            inner,
            ngram: Ngram(options),
            rates: Rates::default(),
            asking: Asking::default(),
            begun: None,
            pending: None,
        }
    }

    /// What a round begins with: once, however often it is asked for a tree.
    fn begin(&mut self, context: &[u32], budget: Budget) -> Begun {
        let begun = self.begun.take();
        if let Some(begun) = begun.filter(|begun| begun.at == context.len()) {
            return begun;
        }
        if let Some(pending) = self.pending.take() {
            self.learn(&pending, context);
        }
        let (matched, repeated) = self.ngram.lookup(context, budget);
        let first = (repeated.len() > 1).then(|| self.rates.estimate(matched, View::Silent));
        let situation = Situation::of(first);
        Begun {
            at: context.len(),
            matched,
            repeated,
            situation,
            asks: budget.nodes > 0 && self.asking.asks(situation),
            cost: budget.cost,
        }
    }

    async fn draft(&mut self, context: &[u32], budget: Budget) -> Result<Tree> {
        let begun = self.begin(context, budget);
        let room = match begun.asks {
            true => budget,
            false => Budget { nodes: 0, ..budget },
        };
        let mut tree = self.inner.propose(context, room).await?;
        let said = tree.clone();
        let views = self.graft(&mut tree, begun.matched, &begun.repeated);
        tree.keep_likeliest(budget.nodes);
        self.wait(begun, said, views);
        Ok(tree)
    }

    /// Waits for what becomes of a round, in which the drafter said something and thought
    /// something of what is repeated.
    fn wait(&mut self, begun: Begun, said: Tree, views: Vec<View>) {
        let asked = begun.asks.then(|| Asked {
            situation: begun.situation,
            tree: said,
            paid: begun.cost * self.inner.passes().unwrap_or(0) as f32,
        });
        self.pending = Some(Pending {
            at: begun.at,
            lookup: Lookup {
                matched: begun.matched,
                tree: begun.repeated,
                views,
            },
            asked,
        });
    }

    /// Adds what is repeated to the drafter's tree. Returns what that says of each node.
    fn graft(&self, tree: &mut Tree, matched: usize, repeated: &Tree) -> Vec<View> {
        let own = tree.len();
        let mut views = vec![View::Silent; repeated.len()];
        let mut nodes = vec![0; repeated.len()];
        for node in 1..repeated.len() {
            let (parent, token) = (nodes[repeated.parent(node)], repeated.token(node));
            views[node] = View::of(tree, own, parent, token);
            let chance = self.rates.estimate(matched, views[node]);
            nodes[node] = tree.add(parent, token, chance);
            tree.raise(nodes[node], chance);
        }
        views
    }

    /// Follows a round along what the text turned out to be.
    fn learn(&mut self, pending: &Pending, context: &[u32]) {
        let text = context.get(pending.at..).unwrap_or_default();
        self.rates.learn(&pending.lookup, text);
        if let (Some(asked), Some((_, accepted))) = (&pending.asked, text.split_last()) {
            let gained = followed(&asked.tree, accepted)
                .saturating_sub(followed(&pending.lookup.tree, accepted));
            self.asking.learn(asked.situation, gained, asked.paid);
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

    /// Where nothing is repeated, the drafter's.
    fn propose_unseen(&mut self, context: &[u32], budget: Budget) -> Result<Option<Unseen>> {
        let begun = self.begin(context, budget);
        let unseen = match begun.asks && begun.repeated.len() == 1 {
            true => self.inner.propose_unseen(context, budget)?,
            false => None,
        };
        self.begun = Some(begun);
        Ok(unseen)
    }

    fn see(&mut self, tree: Option<&Tree>) {
        self.inner.see(tree);
        if let (Some(begun), Some(tree)) = (self.begun.take(), tree) {
            self.wait(begun, tree.clone(), vec![View::Silent]);
        }
    }

    fn passes(&self) -> Option<usize> {
        self.inner.passes()
    }

    fn keeps_account(&self) -> bool {
        true
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
        (self.begun, self.pending) = (None, None);
        self.asking.wake();
        self.inner.truncate(len)
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;
    use std::future::ready;
    use std::rc::Rc;

    use super::super::testing::now;
    use super::*;
    use crate::draft::ngram::chance;

    /// Always proposes the same children of the root, where it is asked, and counts that.
    struct Fixed(Vec<(u32, f32)>, Rc<Cell<usize>>);

    impl Drafter for Fixed {
        fn name(&self) -> &'static str {
            "fixed"
        }

        fn propose<'a>(
            &'a mut self,
            context: &'a [u32],
            budget: Budget,
        ) -> Pin<Box<dyn Future<Output = Result<Tree>> + 'a>> {
            let mut tree = Tree::new(context[context.len() - 1]);
            if budget.nodes > 0 {
                self.1.set(self.1.get() + 1);
                for &(token, chance) in &self.0 {
                    tree.add(0, token, chance);
                }
            }
            Box::pin(ready(Ok(tree)))
        }

        fn passes(&self) -> Option<usize> {
            Some(1)
        }
    }

    const ROOM: Budget = Budget::new(9, 9);

    fn union(children: &[(u32, f32)]) -> Union {
        let options = NgramOptions {
            copied: 3,
            ..Default::default()
        };
        Union::new(Box::new(Fixed(children.to_vec(), Rc::default())), options)
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

    #[test]
    fn a_drafter_is_asked_where_it_adds_more_than_it_costs() {
        // Nothing repeats; the drafter says 9, and 9 comes or does not.
        for (right, expected) in [(true, 200..=200), (false, 5..=60)] {
            let asked = Rc::new(Cell::new(0));
            let fixed = Fixed(vec![(9, 0.6)], asked.clone());
            let mut union = Union::new(Box::new(fixed), NgramOptions::GRAFTED);
            let budget = Budget { cost: 0.4, ..ROOM };
            let mut context = vec![5];
            for round in 0..200 {
                draft(&mut union, &context, budget);
                context.extend(right.then_some(9));
                context.push(10 + round);
            }
            assert!(expected.contains(&asked.get()), "{right}: {}", asked.get());
        }
    }
}
