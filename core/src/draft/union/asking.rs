//! Whether the drafter is worth asking, beside what the context repeats.
//!
//! Its passes take time whatever comes of them. Where a lookup is sure, or the drafter
//! weak, it is left out of the round.

use crate::draft::rest::Rest;
use crate::tree::Tree;

/// How sure the lookup is of its first token: what the drafter adds depends on it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Situation {
    /// It found nothing.
    New,
    /// Less than even.
    Doubtful,
    Likely,
    /// Four of five times and more.
    Sure,
}

impl Situation {
    /// By the chance of the first copied token, if there is one.
    pub fn of(chance: Option<f32>) -> Self {
        match chance {
            None => Self::New,
            Some(chance) if chance < 0.5 => Self::Doubtful,
            Some(chance) if chance < 0.8 => Self::Likely,
            Some(_) => Self::Sure,
        }
    }
}

/// What asking gave and cost, by situation.
#[derive(Default)]
pub(super) struct Asking([Record; 4]);

#[derive(Default)]
struct Record {
    /// Tokens gained, less what the passes cost, fading out.
    net: f32,
    rest: Rest,
}

/// Rounds before asking is judged.
const TRIAL: usize = 5;
/// Rounds after which a judgement is certain.
const CERTAIN: usize = 48;
/// How fast rounds are forgotten.
const MEMORY: f32 = 0.96;

impl Asking {
    /// Another prompt has come: a drafter that rests is tried again.
    pub fn wake(&mut self) {
        self.0.iter_mut().for_each(|record| record.rest.wake());
    }

    /// Whether to ask in this round.
    pub fn asks(&mut self, situation: Situation) -> bool {
        let rest = &mut self.0[situation as usize].rest;
        let asks = !rest.is_on();
        rest.pass_round();
        asks
    }

    /// Takes note of a round in which the drafter was asked.
    pub fn learn(&mut self, situation: Situation, gained: usize, paid: f32) {
        let Record { net, rest } = &mut self.0[situation as usize];
        *net = *net * MEMORY + gained as f32 - paid;
        let judged = rest.tried();
        if judged >= TRIAL && *net < 0.0 {
            rest.begin();
            *net = 0.0;
        } else if judged >= CERTAIN {
            rest.forget();
        }
    }
}

/// Tokens of `text` that follow a tree down from its root.
pub(super) fn followed(tree: &Tree, text: &[u32]) -> usize {
    let mut node = 0;
    let next = |token: &u32| {
        node = tree.child(node, *token)?;
        Some(())
    };
    text.iter().map_while(next).count()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Of `rounds` rounds, those in which a drafter is asked that gains one token every
    /// `every` rounds and costs `paid` tokens.
    fn asked(asking: &mut Asking, rounds: usize, every: usize, paid: f32) -> usize {
        let mut asked = 0;
        for _ in 0..rounds {
            if asking.asks(Situation::New) {
                asked += 1;
                asking.learn(Situation::New, usize::from(asked % every == 0), paid);
            }
        }
        asked
    }

    #[test]
    fn a_drafter_is_asked_as_long_as_it_gains_more_than_it_costs() {
        let mut asking = Asking::default();
        assert_eq!(asked(&mut asking, 500, 2, 0.3), 500);
        assert!((5..120).contains(&asked(&mut asking, 500, 4, 0.4)));
        assert_eq!(asked(&mut Asking::default(), 500, 500, 0.0), 500, "free");
    }

    #[test]
    fn each_situation_has_its_own_record() {
        let mut asking = Asking::default();
        asked(&mut asking, 100, 100, 0.3);
        assert!(!asking.asks(Situation::New));
        for situation in [Some(0.3), Some(0.6), Some(0.9)].map(Situation::of) {
            assert!(asking.asks(situation), "{situation:?}");
        }
        asking.wake();
        assert!(asking.asks(Situation::New), "another prompt");
    }

    #[test]
    fn a_text_follows_a_tree_as_far_as_it_agrees() {
        let mut tree = Tree::new(0);
        tree.graft(0, &[1, 2, 3], 0.5);
        tree.graft(0, &[1, 4], 0.5);
        for (text, expected) in [(&[1, 2, 3, 4][..], 3), (&[1, 4], 2), (&[2, 2], 0), (&[], 0)] {
            assert_eq!(followed(&tree, text), expected);
        }
    }
}
