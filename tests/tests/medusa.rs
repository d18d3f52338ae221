//! Medusa heads: what they compute, how their files are read, and when they draft what.

#![allow(missing_docs, clippy::unwrap_used)]

use burn::tensor::{Tensor, TensorData};
use eaglet_core::draft::{Budget, Drafter, Growth, Medusa, Observation, Plain, Shaping};
use eaglet_core::model::Features;
use eaglet_core::sample::Sampling;
use eaglet_core::tree::{Shape, published};
use eaglet_core::weights::{Dtype, Role};
use eaglet_tests::decode::{decode, options};
use eaglet_tests::medusa::{self, TinyMedusa};
use eaglet_tests::numbers::{relative_error, spread};
use eaglet_tests::tiny::{EPSILON, HIDDEN, Tiny, VOCAB};

#[test]
fn heads_compute_what_the_paper_says() {
    let model = Tiny::new("llama", 1);
    let target = model.load(Dtype::F32);
    let ops = target.ops();
    let stream = spread(70, 3 * HIDDEN);
    let data = TensorData::new(stream.clone(), [3, HIDDEN]);
    let features = Features {
        last: Tensor::from_data(data, ops.device()),
        taps: Vec::new(),
    };
    // Row 1, after the final norm, in f64.
    let row: Vec<f64> = stream[HIDDEN..2 * HIDDEN]
        .iter()
        .map(|&v| v.into())
        .collect();
    let mean = row.iter().map(|v| v * v).sum::<f64>() / HIDDEN as f64;
    let scale = (mean + f64::from(EPSILON)).sqrt();
    let norm = model.values(Role::FinalNorm).unwrap();
    let scaled = row.iter().zip(norm).map(|(v, &w)| v / scale * f64::from(w));
    let feature: Vec<f64> = scaled.collect();
    let shared = model.values(Role::Head).unwrap();
    // One block and two, own output layers, the target's, and both in one file.
    for (blocks, own) in [
        (vec![1, 1], vec![0, 1]),
        (vec![1, 2, 1], vec![]),
        (vec![2, 1, 3], vec![0, 2]),
    ] {
        let tiny = TinyMedusa::random(&blocks, &own, VOCAB, 5);
        let heads = tiny.load(&target, Dtype::F32);
        assert_eq!(heads.count(), blocks.len());
        let found = heads.feature(&features, 1).unwrap();
        let logits = heads.logits(&found).unwrap();
        let logits = pollster::block_on(ops.read(logits)).unwrap();
        assert_eq!(logits.len(), blocks.len() * VOCAB);
        for (head, logits) in logits.chunks_exact(VOCAB).enumerate() {
            let expected = tiny.naive(head, &feature, shared);
            let expected: Vec<f32> = expected.iter().map(|&v| v as f32).collect();
            assert!(
                relative_error(logits, &expected) < 1e-5,
                "{blocks:?} {head}"
            );
        }
    }
}

/// A target that counts, and heads that count further: a head that saw another position
/// than the one before the root would never be right.
#[test]
fn heads_that_know_the_target_are_accepted_whole() {
    let mut model = Tiny::new("llama", 4);
    for (role, (_, values)) in &mut model.tensors {
        match role {
            Role::AttentionOutput(_) | Role::Down(_) => values.fill(0.0),
            Role::FinalNorm => values.fill(1.0),
            Role::Embedding => one_hot(values, 0),
            Role::Head => one_hot(values, 1),
            _ => {}
        }
    }
    let target = model.load(Dtype::F32);
    let mut tiny = TinyMedusa::published(1);
    for (name, (_, values)) in &mut tiny.tensors {
        match name.split_once('.').unwrap() {
            (head, "1.weight") => one_hot(values, head.parse::<usize>().unwrap() + 2),
            _ => values.fill(0.0),
        }
    }
    let greedy = Sampling::default();
    let count = 1 + 7 * 4;
    let plain = decode(&target, &[9, 3], options(&greedy, count, Box::new(Plain)));
    let counted: Vec<u32> = (4..).take(count).collect();
    assert_eq!(plain.ids, counted);
    let growth = Growth {
        top_k: 2,
        depth: 9,
        nodes: 3,
    };
    let shape: Shape = published::MEDUSA[0].1.parse().unwrap();
    for shaping in [Shaping::from(growth), Shaping::from(shape)] {
        let heads = tiny.load(&target, Dtype::F32);
        let drafter = Box::new(Medusa::new(heads, shaping.clone()));
        let mut options = options(&greedy, count, drafter);
        options.budget.nodes = 63;
        let found = decode(&target, &[9, 3], options);
        assert_eq!(found.ids, plain.ids);
        assert_eq!(found.stats.tau(), 4.0, "{shaping:?}");
        let drafted = match shaping {
            Shaping::Dynamic(_) => 3,
            Shaping::Static(_) => 61, // Three heads reach three of its four levels.
        };
        // At the end of the answer there is no room for the whole tree.
        assert!(found.stats.drafted_tokens >= 6 * drafted, "{shaping:?}");
    }
}

/// A drafter beside which a lookup stands is asked only where its passes pay: it has to own
/// up to them.
#[test]
fn a_pass_of_the_heads_is_counted_where_they_ran() {
    let target = Tiny::new("llama", 1).load(Dtype::F32);
    let heads = TinyMedusa::published(1).load(&target, Dtype::F32);
    let growth = Growth {
        top_k: 2,
        depth: 3,
        nodes: 3,
    };
    let mut medusa = Medusa::new(heads, growth);
    let mut passes = |context: &[u32], nodes| {
        pollster::block_on(medusa.propose(context, Budget::new(nodes, nodes))).unwrap();
        let passes = medusa.passes().unwrap();
        let features = Features {
            last: Tensor::zeros([1, HIDDEN], target.ops().device()),
            taps: Vec::new(),
        };
        let observation = Observation {
            tokens: &context[context.len() - 1..],
            position: context.len() - 1,
            features: &features,
            rows: &[0],
        };
        medusa.observe(observation).unwrap();
        passes
    };
    assert_eq!(passes(&[1], 3), 0, "nothing was seen yet");
    assert_eq!(passes(&[1, 2], 3), 1);
    assert_eq!(passes(&[1, 2, 3], 0), 0, "there is no room");
    assert_eq!(passes(&[1, 2, 3, 4], 1), 1);
}

/// Row v is the unit vector of token v - `ahead`, for the tokens that have one.
fn one_hot(rows: &mut [f32], ahead: usize) {
    rows.fill(0.0);
    for token in 0..HIDDEN {
        rows[(token + ahead) % VOCAB * HIDDEN + token] = 8.0;
    }
}

#[test]
fn files_that_do_not_fit_are_refused_by_name() {
    let target = Tiny::new("llama", 1).load(Dtype::F32);
    let refused = |change: fn(&mut TinyMedusa), causes: &[&str]| {
        let mut heads = TinyMedusa::published(1);
        change(&mut heads);
        let error = medusa::load(&heads.file(), &target, Dtype::F32);
        let error = error.err().unwrap().to_string();
        for cause in ["medusa_lm_head.safetensors"].iter().chain(causes) {
            assert!(error.contains(cause), "{error} does not name {cause}");
        }
    };
    refused(
        |h| drop(h.tensors.remove("1.0.linear.bias")),
        &["`1.0.linear.bias` is missing"],
    );
    refused(|h| h.tensors.clear(), &["`0.0.linear.weight` is missing"]);
    // A head after a gap is none.
    refused(
        |h| drop(h.tensors.remove("1.0.linear.weight")),
        &["1.0.linear.bias"],
    );
    refused(
        |h| drop(h.tensors.insert("extra".into(), (vec![1], vec![0.0]))),
        &["`extra`"],
    );
    refused(
        |h| h.tensors.get_mut("2.1.weight").unwrap().1[7] = f32::NAN,
        &["2.1.weight"],
    );
    refused(
        |h| h.tensors.get_mut("2.0.linear.bias").unwrap().1[7] = f32::INFINITY,
        &["2.0.linear.bias"],
    );
    refused(
        |h| {
            let half = (vec![32, 32], vec![0.0; 32 * 32]);
            h.tensors.insert("0.0.linear.weight".into(), half);
        },
        &[
            "`0.0.linear.weight`",
            "expected shape [64, 64], found [32, 32]",
        ],
    );
    refused(
        |h| *h = TinyMedusa::random(&[1], &[0], 100, 1),
        &["`0.1.weight`", "expected shape [96, 64], found [100, 64]"],
    );
    let file = TinyMedusa::published(1).file();
    for cut in [4, 100, file.len() - 1] {
        let error = medusa::load(&file[..cut], &target, Dtype::F32);
        let error = error.err().unwrap().to_string();
        assert!(error.contains("medusa_lm_head.safetensors"), "{error}");
    }
}

#[test]
fn medusa_2_calls_its_heads_a_part_of_the_model() {
    let target = Tiny::new("llama", 1).load(Dtype::F32);
    let mut heads = TinyMedusa::published(1);
    let tensors = std::mem::take(&mut heads.tensors).into_iter();
    heads.tensors = tensors
        .map(|(name, t)| (format!("medusa_head.{name}"), t))
        .collect();
    assert_eq!(heads.load(&target, Dtype::F32).count(), 3);
}
