//! The law of the token that follows a node, summed over everything that can be drawn.

use super::*;
use crate::sample::uniform;
use crate::verify::walk;

/// Random probabilities, steep ones and some of them 0, as after top-p.
fn random(seed: u64, vocab: usize) -> Distribution {
    let weight = |token: u64| match uniform(seed, 1000 + token) {
        hidden if hidden < 0.2 => 0.0,
        _ => uniform(seed, token).powi(4),
    };
    let first = 1e-3 + uniform(seed, 0);
    Distribution::new(
        [first]
            .into_iter()
            .chain((1..vocab as u64).map(weight))
            .collect(),
    )
}

/// What is done after a child that was not accepted.
type Reject = dyn Fn(&mut Trial, u32);

/// Adds up the chances of all ways in which `children` more children can be drawn from
/// what is left of the draft distribution, accepted and rejected.
fn enumerate(
    trial: &Trial,
    left: &Distribution,
    children: usize,
    chance: f64,
    reject: &Reject,
    law: &mut [f64],
) {
    let drawn = left.probabilities().iter().enumerate();
    let drawn: Vec<_> = drawn.filter(|&(_, &q)| q > 0.0).collect();
    if children == 0 || drawn.is_empty() {
        let rest = trial.residual().probabilities();
        law.iter_mut()
            .zip(rest)
            .for_each(|(sum, p)| *sum += chance * p);
        return;
    }
    for (token, q) in drawn {
        let accepted = trial.chance(token as u32);
        law[token] += chance * q * accepted;
        if accepted < 1.0 {
            let (mut trial, mut left) = (trial.clone(), left.clone());
            reject(&mut trial, token as u32);
            left.remove(token as u32);
            let chance = chance * q * (1.0 - accepted);
            enumerate(&trial, &left, children - 1, chance, reject, law);
        }
    }
}

/// The law with `children` children drawn from `q` without replacement.
fn law(p: &Distribution, q: &Distribution, children: usize) -> Vec<f64> {
    law_with(p, q, children, &Trial::reject)
}

fn law_with(p: &Distribution, q: &Distribution, children: usize, reject: &Reject) -> Vec<f64> {
    let mut law = vec![0.0; p.probabilities().len()];
    let trial = Trial::new(p.clone(), Some(q.clone()));
    enumerate(&trial, q, children, 1.0, reject, &mut law);
    law
}

fn error(law: &[f64], p: &Distribution) -> f64 {
    let differences = law
        .iter()
        .zip(p.probabilities())
        .map(|(a, b)| (a - b).abs());
    differences.fold(0.0, f64::max)
}

/// Sizes of vocabularies and numbers of children that can be enumerated.
const SIZES: [(usize, usize); 9] = [
    (5, 1),
    (5, 3),
    (5, 5),
    (8, 4),
    (12, 3),
    (20, 3),
    (30, 2),
    (50, 1),
    (50, 2),
];

/// Pairs of target and draft distributions: random, equal, and without common tokens.
fn pairs(vocab: usize) -> Vec<(Distribution, Distribution)> {
    let mut pairs: Vec<_> = (0..20)
        .map(|seed| (random(seed, vocab), random(seed + 100, vocab)))
        .collect();
    pairs.push((random(1, vocab), random(1, vocab)));
    let half =
        |odd: usize| (0..vocab).map(move |i| if i % 2 == odd { 1.0 + i as f64 } else { 0.0 });
    pairs.push((
        Distribution::new(half(0).collect()),
        Distribution::new(half(1).collect()),
    ));
    let certain = Distribution::new((0..vocab).map(|i| f64::from(u8::from(i == 3))).collect());
    pairs.push((random(2, vocab), certain.clone()));
    pairs.push((certain, random(2, vocab)));
    pairs
}

#[test]
fn drawn_children_leave_the_law_of_the_target() {
    for (vocab, children) in SIZES {
        for (p, q) in pairs(vocab) {
            let error = error(&law(&p, &q, children), &p);
            assert!(error < 1e-12, "{vocab} {children}: {error:e}");
        }
    }
}

#[test]
fn a_chain_accepts_what_both_distributions_share() {
    for vocab in [5, 20, 50] {
        for (p, q) in pairs(vocab) {
            let trial = Trial::new(p.clone(), Some(q.clone()));
            let both = q.probabilities().iter().enumerate();
            let (mut accepted, mut shared) = (0.0, 0.0);
            for (token, q) in both {
                accepted += q * trial.chance(token as u32);
                shared += q.min(p.probability(token as u32));
            }
            assert!((accepted - shared).abs() < 1e-12, "{accepted} {shared}");
        }
    }
}

#[test]
fn chosen_children_leave_the_law_of_the_target() {
    for (vocab, children) in SIZES {
        for (p, q) in pairs(vocab) {
            // The likeliest of the draft, one of them twice, and one of no vocabulary.
            let mut tokens: Vec<u32> = (0..vocab as u32).collect();
            tokens.sort_by(|&a, &b| q.probability(b).total_cmp(&q.probability(a)));
            tokens.truncate(children);
            tokens.extend([tokens[0], vocab as u32 + 7]);
            let mut found = vec![0.0; vocab];
            let mut trial = Trial::new(p.clone(), None);
            let mut chance = 1.0;
            for &token in &tokens {
                let accepted = trial.chance(token);
                if let Some(sum) = found.get_mut(token as usize) {
                    *sum += chance * accepted;
                }
                chance *= 1.0 - accepted;
                trial.reject(token);
            }
            let rest = trial.residual().probabilities();
            found
                .iter_mut()
                .zip(rest)
                .for_each(|(sum, p)| *sum += chance * p);
            assert!(error(&found, &p) < 1e-12, "{vocab} {children}");

            // Draw, then walk: the law of the draw, whatever the tree.
            let mut tree = Tree::new(0);
            tokens.iter().for_each(|&token| _ = tree.add(0, token, 1.0));
            let mut found = vec![0.0; vocab];
            let mut below = 0.0;
            for (token, &p) in p.probabilities().iter().enumerate() {
                let verdict = walk(&tree, |node| Ok(if node == 0 { token as u32 } else { 0 }));
                let verdict = verdict.unwrap();
                let first = verdict
                    .accepted
                    .first()
                    .map_or(verdict.bonus, |&n| tree.token(n));
                found[first as usize] += p;
                below += p * f64::from(u8::from(!verdict.accepted.is_empty()));
            }
            assert!(error(&found, &p) < 1e-12);
            // Both rules accept with the same chance.
            assert!((below - (1.0 - chance)).abs() < 1e-12);
        }
    }
}

#[test]
fn a_wrong_residual_is_caught() {
    // What is left above the first child's distribution, not the rejected one's.
    let stale = |trial: &mut Trial, token: u32| {
        let first = trial.draft.clone();
        trial.reject(token);
        trial.draft = first;
    };
    // Nothing is taken away for a rejected child.
    let forgetful = |trial: &mut Trial, token: u32| {
        let p = trial.target.clone();
        trial.reject(token);
        trial.target = p;
    };
    // A rejected child takes its own probability along, as if it had been chosen.
    let mixed = |trial: &mut Trial, token: u32| {
        trial.target.subtract(&Distribution::point(token));
        trial.draft.as_mut().map(|q| q.remove(token));
    };
    let wrong: [&Reject; 3] = [&stale, &forgetful, &mixed];
    for (index, reject) in wrong.into_iter().enumerate() {
        let caught = (0..20).filter(|&seed| {
            let (p, q) = (random(seed, 8), random(seed + 100, 8));
            error(&law_with(&p, &q, 3, reject), &p) > 1e-3
        });
        assert!(caught.count() > 15, "{index}");
    }
}

#[test]
fn the_first_child_that_is_accepted_is_descended_to() {
    let mut tree = Tree::new(9);
    let [a, b] = [0, 1].map(|token| tree.add(0, token, 1.0));
    let c = tree.add(b, 2, 1.0);
    let even = Distribution::new(vec![1.0; 4]);
    let judge = |drawn: Option<&Distribution>, accept: [f64; 4], bonus: f64| {
        let target = |_| Ok(even.clone());
        let draft = |node| drawn.filter(|_| node == 0);
        let verdict = rejection(&tree, target, draft, |stream, node| match stream {
            Stream::Accept => accept[node],
            _ => bonus,
        });
        let verdict = verdict.unwrap();
        (verdict.accepted, verdict.bonus)
    };
    // Drawn from 0 and 1: p / q is a half, and what is left is 2 and 3.
    let drawn = Some(&Distribution::new(vec![1.0, 1.0]));
    assert_eq!(judge(drawn, [9.0, 0.49, 9.0, 9.0], 0.3), (vec![a], 1));
    assert_eq!(judge(drawn, [9.0, 0.51, 0.0, 9.0], 0.3), (vec![], 2));
    assert_eq!(judge(drawn, [9.0, 0.51, 0.0, 9.0], 0.7), (vec![], 3));
    // Chosen: p is a quarter, a third without the first child, a quarter below.
    assert_eq!(judge(None, [9.0, 0.24, 9.0, 9.0], 0.3), (vec![a], 1));
    assert_eq!(judge(None, [9.0, 0.26, 0.34, 9.0], 0.3), (vec![], 2));
    assert_eq!(judge(None, [9.0, 0.26, 0.32, 0.24], 0.3), (vec![b, c], 1));
    assert_eq!(judge(None, [9.0, 0.26, 0.32, 0.26], 0.3), (vec![b], 0));
}
