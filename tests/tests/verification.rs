//! The rules of verification leave the target's distribution as it is, or are caught.
//!
//! Here a language of five tokens in which the last token decides about the next, so that
//! the probability of every text is known; `sampled.rs` does the same with real models.

#![allow(missing_docs, clippy::unwrap_used)]

use eaglet_core::Result;
use eaglet_core::draft::Drawn;
use eaglet_core::sample::{Distribution, Sampling, Stream, uniform_in};
use eaglet_core::tree::Tree;
use eaglet_core::verify::{self, Verdict};
use eaglet_tests::numbers::spread;
use eaglet_tests::statistics::g_test;

const VOCAB: usize = 5;
/// Tokens of a text, after its first, which is always 0.
const LENGTH: usize = 3;
const TEXTS: usize = VOCAB.pow(LENGTH as u32);
const GENERATIONS: usize = 100_000;
/// The p-value below which a rule is wrong, of as many as 100 comparisons.
const WRONG: f64 = 0.01 / 100.0;

/// Trees by their levels: how many children each node of a level has.
const SHAPES: [&[&[usize]]; 4] = [
    &[&[1], &[1], &[1]],
    &[&[4]],
    &[&[2], &[2, 1], &[1, 0, 1]],
    &[&[3], &[5, 0, 2]],
];

/// The distributions after each token.
struct Toy {
    target: Vec<Distribution>,
    draft: Vec<Distribution>,
}

impl Toy {
    fn new(temperature: f32, top_p: f32) -> Self {
        let sampling = Sampling {
            temperature,
            top_p,
            ..Default::default()
        };
        let after = |token: usize, noise: f32| {
            let (own, other) = (
                spread(token as u64, VOCAB),
                spread(50 + token as u64, VOCAB),
            );
            let mix = own.iter().zip(other).map(|(a, b)| 2.0 * a + noise * b);
            let mut logits: Vec<f32> = mix.collect();
            sampling
                .distribution(&mut logits, std::iter::empty())
                .unwrap()
        };
        Self {
            target: (0..VOCAB).map(|token| after(token, 0.0)).collect(),
            draft: (0..VOCAB).map(|token| after(token, 1.5)).collect(),
        }
    }

    /// The probability of every text.
    fn law(&self) -> Vec<f64> {
        let probability = |text: usize| {
            let tokens = (0..LENGTH).map(|i| text / VOCAB.pow(i as u32) % VOCAB);
            let mut last = 0;
            tokens
                .map(|token| {
                    let p = self.target[last].probability(token as u32);
                    last = token;
                    p
                })
                .product()
        };
        (0..TEXTS).map(probability).collect()
    }

    /// A tree below `root`, its children drawn, or the most likely ones.
    fn tree(
        &self,
        root: u32,
        shape: &[&[usize]],
        drawing: Option<&dyn Fn(u64, usize) -> f64>,
    ) -> (Tree, Drawn) {
        let (mut tree, mut drawn) = (Tree::new(root), Drawn::default());
        let mut level = vec![0];
        for counts in shape {
            let mut next = Vec::new();
            for (&node, &count) in level.iter().zip(*counts) {
                let draft = &self.draft[tree.token(node) as usize];
                let depth = tree.depth(node) as u64;
                next.extend(match drawing {
                    Some(uniform) => drawn.draw(&mut tree, node, draft.clone(), count, |child| {
                        uniform(depth, child)
                    }),
                    None => {
                        let mut tokens: Vec<u32> = (0..VOCAB as u32).collect();
                        let order = |&token: &u32| -draft.probability(token);
                        tokens.sort_by(|a, b| order(a).total_cmp(&order(b)));
                        let add = |&token: &u32| tree.add(node, token, 1.0);
                        tokens[..count].iter().map(add).collect()
                    }
                });
            }
            level = next;
        }
        (tree, drawn)
    }

    /// How often each text is written by `rule`.
    fn write(&self, shape: &[&[usize]], drawing: bool, rule: Rule) -> Vec<usize> {
        let mut counts = vec![0; TEXTS];
        for seed in 0..GENERATIONS as u64 {
            let mut tokens = vec![0];
            while tokens.len() <= LENGTH {
                let len = tokens.len();
                let draw = |depth: u64, child: usize| {
                    uniform_in(Stream::Draft, seed, len as u64 + depth, child as u32)
                };
                let drawing = drawing.then_some(&draw as &dyn Fn(u64, usize) -> f64);
                let (tree, drawn) = self.tree(tokens[len - 1], shape, drawing);
                let uniform = |stream, node: usize| {
                    let (parent, index) = match stream {
                        Stream::Target => (node, 0),
                        _ => (tree.parent(node), node as u32),
                    };
                    uniform_in(stream, seed, (len + tree.depth(parent)) as u64, index)
                };
                let verdict = rule(&Round {
                    target: &self.target,
                    draft: &self.draft,
                    tree: &tree,
                    drawn: &drawn,
                    uniform: &uniform,
                });
                tokens.extend(verdict.accepted.iter().map(|&node| tree.token(node)));
                tokens.push(verdict.bonus);
            }
            let text = tokens[1..=LENGTH].iter().rev();
            counts[text.fold(0, |text, &token| text * VOCAB + token as usize)] += 1;
        }
        counts
    }

    fn p_value(&self, shape: &[&[usize]], drawing: bool, rule: Rule) -> f64 {
        g_test(&self.write(shape, drawing, rule), &self.law())
    }
}

/// What a rule is given.
struct Round<'a> {
    target: &'a [Distribution],
    draft: &'a [Distribution],
    tree: &'a Tree,
    drawn: &'a Drawn,
    uniform: &'a dyn Fn(Stream, usize) -> f64,
}

type Rule = fn(&Round<'_>) -> Verdict;

impl Round<'_> {
    fn target(&self, node: usize) -> Result<Distribution> {
        Ok(self.target[self.tree.token(node) as usize].clone())
    }

    /// A draw from the target's own distribution after a node.
    fn draw(&self, node: usize) -> Result<u32> {
        Ok(self
            .target(node)?
            .draw((self.uniform)(Stream::Target, node)))
    }
}

fn walk(round: &Round<'_>) -> Verdict {
    verify::walk(round.tree, |node| round.draw(node)).unwrap()
}

fn rejection(round: &Round<'_>) -> Verdict {
    let draft = |node| round.drawn.from(node);
    verify::rejection(round.tree, |node| round.target(node), draft, round.uniform).unwrap()
}

fn typical(round: &Round<'_>) -> Verdict {
    let uniform = |node| (round.uniform)(Stream::Target, node);
    verify::typical(round.tree, |node| round.target(node), uniform).unwrap()
}

/// Every way of sampling.
fn toys() -> impl Iterator<Item = (String, Toy)> {
    let temperatures = [0.5, 1.0, 1.5].into_iter();
    temperatures.flat_map(|temperature| {
        [0.7, 1.0].into_iter().map(move |top_p| {
            let name = format!("temperature {temperature}, top-p {top_p}");
            (name, Toy::new(temperature, top_p))
        })
    })
}

#[test]
fn drawn_drafts_leave_the_target_s_distribution() {
    for (name, toy) in toys() {
        for shape in SHAPES {
            let p = toy.p_value(shape, true, rejection);
            assert!(p > WRONG, "{name}, {shape:?}: {p:e}");
        }
    }
}

/// Draw, then walk, asks nothing of a draft, and no more does rejection that takes each
/// child for certain.
#[test]
fn chosen_drafts_leave_the_target_s_distribution() {
    fn taken_for_chosen(round: &Round<'_>) -> Verdict {
        let target = |node| round.target(node);
        verify::rejection(round.tree, target, |_| None, round.uniform).unwrap()
    }
    let right: [(&str, bool, Rule); 4] = [
        ("chosen, walk", false, walk),
        ("drawn, walk", true, walk),
        ("chosen, rejection", false, rejection),
        ("drawn, taken for chosen", true, taken_for_chosen),
    ];
    for (name, toy) in toys() {
        for (kind, drawing, rule) in right {
            let p = toy.p_value(SHAPES[2], drawing, rule);
            assert!(p > WRONG, "{kind}, {name}: {p:e}");
        }
    }
}

/// Mistakes that were made before, each of which must be found.
#[test]
fn wrong_rules_are_caught() {
    // The bonus of a node whose children fell is drawn as if it had none.
    fn no_residual(round: &Round<'_>) -> Verdict {
        let Verdict { accepted, .. } = rejection(round);
        let last = accepted.last().copied().unwrap_or(0);
        let bonus = round.draw(last).unwrap();
        Verdict { accepted, bonus }
    }
    // Drafts that were chosen are taken for drawn ones.
    fn taken_for_drawn(round: &Round<'_>) -> Verdict {
        let draft = |node: usize| Some(&round.draft[round.tree.token(node) as usize]);
        verify::rejection(round.tree, |node| round.target(node), draft, round.uniform).unwrap()
    }
    // A drafted token is judged by the number that drew it.
    fn one_stream(round: &Round<'_>) -> Verdict {
        let draft = |node| round.drawn.from(node);
        let uniform = |stream, node| match stream {
            Stream::Accept => (round.uniform)(Stream::Draft, node),
            _ => (round.uniform)(stream, node),
        };
        verify::rejection(round.tree, |node| round.target(node), draft, uniform).unwrap()
    }
    // The likelier ones of those that were drawn are kept.
    fn pruned(round: &Round<'_>) -> Verdict {
        let mut tree = round.tree.clone();
        let draft = round.drawn.from(0).unwrap();
        let chance = |node: usize| draft.probability(round.tree.token(node));
        let mut nodes: Vec<usize> = tree.children(0).collect();
        nodes.sort_by(|&a, &b| chance(b).total_cmp(&chance(a)));
        let keep: Vec<bool> = (0..tree.len())
            .map(|node| node == 0 || nodes[..2].contains(&node))
            .collect();
        tree.retain(&keep);
        let kept = Round {
            tree: &tree,
            ..*round
        };
        let draft = |node| (node == 0).then_some(draft);
        let mut verdict =
            verify::rejection(&tree, |node| kept.target(node), draft, round.uniform).unwrap();
        let node = |kept: usize| round.tree.child(0, tree.token(kept)).unwrap();
        verdict
            .accepted
            .iter_mut()
            .for_each(|kept| *kept = node(*kept));
        verdict
    }
    let toy = Toy::new(1.0, 1.0);
    let wrong: [(&str, usize, bool, Rule); 5] = [
        ("no residual in a chain", 0, true, no_residual),
        ("no residual in a tree", 2, true, no_residual),
        ("taken for drawn", 2, false, taken_for_drawn),
        ("one stream", 0, true, one_stream),
        ("pruned", 1, true, pruned),
    ];
    for (name, shape, drawing, rule) in wrong {
        let p = toy.p_value(SHAPES[shape], drawing, rule);
        assert!(p < 1e-9, "{name}: {p:e}");
    }
}

#[test]
fn typical_acceptance_is_lossy() {
    for (name, toy) in toys() {
        let p = toy.p_value(SHAPES[2], false, typical);
        assert!(p < 1e-9, "{name}: {p:e}");
    }
}
