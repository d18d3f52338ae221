//! EAGLE heads: what they compute, and how their files are read.

#![allow(missing_docs, clippy::unwrap_used)]

use std::path::Path;

use burn::tensor::{DType, Tensor, TensorData};
use eaglet_core::cache::KvPool;
use eaglet_core::draft::{Head, HeadCheckpoint, HeadFile};
use eaglet_core::model::{Features, Transformer};
use eaglet_core::ops::Rows;
use eaglet_core::weights::{Dtype, NamedTensors, Role};
use eaglet_tests::heads::{self, Kind, TinyHead};
use eaglet_tests::numbers::{relative_error, spread};
use eaglet_tests::tiny::{HIDDEN, Tiny, VOCAB};

const KINDS: [Kind; 2] = [Kind::Eagle1, Kind::Eagle3];

fn tensor(target: &Transformer, values: &[f32], rows: usize) -> Tensor<2> {
    let data = TensorData::new(values.to_vec(), [rows, values.len() / rows]);
    Tensor::from_data(data, target.ops().device())
}

/// Outputs and logits of a head over a chain of pairs with given features.
fn run(
    head: &dyn Head,
    target: &Transformer,
    features: &Features,
    tokens: &[u32],
) -> (Vec<f32>, Vec<f32>) {
    let ops = target.ops();
    let count = tokens.len();
    let mut pool = KvPool::new(&**ops, 1, count, head.heads(), DType::F32).unwrap();
    let slots = pool.reserve(count).unwrap();
    let mut rows = Rows::default();
    let table = rows.add_table(&slots);
    for (i, &token) in tokens.iter().enumerate() {
        rows.push(token, slots[i], table, i as u32 + 1, &[]);
    }
    let fused = head.fuse(features).unwrap();
    let embedded = ops.embed(head.embedding(), tokens).unwrap();
    let outputs = head.pass(&fused, embedded, &rows, pool.layer(0)).unwrap();
    let last = ops.select(&outputs, &[count as u32 - 1]).unwrap();
    let read = |t| pollster::block_on(ops.read(t)).unwrap();
    (read(last.clone()), read(head.logits(&last).unwrap()))
}

/// Random features of five positions: three taps, the last of which is the last layer's.
fn features(target: &Transformer) -> (Vec<Vec<f32>>, Features) {
    let streams: Vec<Vec<f32>> = (0..3).map(|i| spread(50 + i, 5 * HIDDEN)).collect();
    let features = Features {
        last: tensor(target, &streams[2], 5),
        taps: streams.iter().map(|s| tensor(target, s, 5)).collect(),
    };
    (streams, features)
}

const TOKENS: [u32; 5] = [3, 17, 95, 0, 17];

/// Outputs and logits of a head after five pairs: as the papers write it, in f64.
fn naive(tiny: &TinyHead, model: &Tiny, target: &Transformer) -> (Vec<f32>, Vec<f32>) {
    let (streams, features) = features(target);
    let normed = target.ops().norm(&features.last, target.final_norm());
    let normed = pollster::block_on(target.ops().read(normed.unwrap())).unwrap();
    let pairs: Vec<_> = (0..5)
        .map(|i| {
            let at = |s: &Vec<f32>| s[i * HIDDEN..(i + 1) * HIDDEN].to_vec();
            let fused = tiny.kind == Kind::Eagle3 && tiny.tensors.contains_key("fc.weight");
            let taps = match fused {
                false => vec![at(&normed)],
                true => streams.iter().map(at).collect(),
            };
            (tiny.fuse(&taps), TOKENS[i])
        })
        .collect();
    let values = |role| model.values(role).unwrap();
    let (output, logits) = tiny.naive(values(Role::Embedding), values(Role::Head), &pairs);
    let single = |v: Vec<f64>| v.iter().map(|&v| v as f32).collect();
    (single(output), single(logits))
}

/// Asserts that a head does what its naive pass does; returns that.
fn agrees(tiny: &TinyHead, model: &Tiny, target: &Transformer, what: &str) -> Vec<f32> {
    let head = tiny.load(target, Dtype::F32);
    let (_, features) = features(target);
    let (output, logits) = run(&*head, target, &features, &TOKENS);
    let (expected, expected_logits) = naive(tiny, model, target);
    assert!(relative_error(&output, &expected) < 1e-5, "{what}");
    assert!(relative_error(&logits, &expected_logits) < 1e-5, "{what}");
    [expected, expected_logits].concat()
}

#[test]
fn heads_compute_what_the_papers_say() {
    let model = Tiny::new("llama", 1);
    let target = model.load(Dtype::F32);
    for kind in KINDS {
        let tiny = TinyHead::random(kind, 7);
        agrees(&tiny, &model, &target, &format!("{kind:?}"));
        if kind == Kind::Eagle3 {
            let head = tiny.load(&target, Dtype::F32);
            assert_eq!((head.token(0), head.token(39)), (0, 78));
        }
    }
}

#[test]
fn every_feature_of_a_head_counts() {
    type Change = fn(&mut TinyHead);
    const H: usize = HIDDEN;
    let eagle1: [(&str, Change); 5] = [
        ("no bias of fc", |h| drop(h.tensors.remove("fc.bias"))),
        ("biases of attention", |h| attention_biases(h, "layers.0")),
        ("base of the angles", |h| h.theta = 300.0),
        ("stretched angles", |h| h.stretch = 4.0),
        ("head dimension", |h| {
            h.dim = 32;
        }),
    ];
    let eagle3: [(&str, Change); 14] = [
        ("use_aux_hidden_state", |h| {
            drop(h.tensors.remove("fc.weight"))
        }),
        ("norm_before_residual", |h| h.norm_before_residual = true),
        ("norm_output", |h| h.norm_output = true),
        ("norm_before_fc", |h| {
            h.set("input_norm.weight", &[3 * H], 1.0)
        }),
        ("fc_norm", |h| {
            for i in 0..3 {
                h.set(&format!("fc_norm.{i}.weight"), &[H], 1.0 + i as f32);
            }
        }),
        ("bias of fc", |h| h.set("fc.bias", &[H], 0.0)),
        ("biases of attention", |h| attention_biases(h, "midlayer")),
        ("bias of the output", |h| {
            h.set("midlayer.self_attn.o_proj.bias", &[H], 0.0)
        }),
        ("bias of the feed-forward block", |h| {
            h.set("midlayer.mlp.down_proj.bias", &[H], 0.0);
        }),
        ("bias of the head", |h| {
            h.set("lm_head.bias", &[heads::DRAFT_VOCAB], 0.0)
        }),
        ("own embedding", |h| {
            h.set("embed_tokens.weight", &[VOCAB, H], 0.0)
        }),
        ("base of the angles", |h| h.theta = 300.0),
        ("stretched angles", |h| h.stretch = 4.0),
        ("head dimension", |h| h.dim = 32),
    ];
    let model = Tiny::new("llama", 1);
    let target = model.load(Dtype::F32);
    for (kind, changes) in [(Kind::Eagle1, &eagle1[..]), (Kind::Eagle3, &eagle3[..])] {
        let plain = TinyHead::random(kind, 7);
        let unchanged = agrees(&plain, &model, &target, "as it is");
        for (what, change) in changes {
            let mut tiny = plain.clone();
            change(&mut tiny);
            let changed = agrees(&tiny, &model, &target, what);
            let same =
                changed.len() == unchanged.len() && relative_error(&changed, &unchanged) < 1e-3;
            assert!(!same, "{kind:?}: {what} makes no difference");
        }
        // All that go together, together.
        let mut all = plain.clone();
        changes
            .iter()
            .filter(|(what, _)| !["fc_norm", "use_aux_hidden_state"].contains(what))
            .for_each(|(_, change)| change(&mut all));
        agrees(&all, &model, &target, "all at once");
    }
}

fn attention_biases(head: &mut TinyHead, layer: &str) {
    for (part, rows) in [("q", 64), ("k", 32), ("v", 32)] {
        head.set(&format!("{layer}.self_attn.{part}_proj.bias"), &[rows], 0.1);
    }
}

#[test]
fn a_head_without_an_output_layer_uses_its_targets() {
    let model = Tiny::new("llama", 1);
    let target = model.load(Dtype::F32);
    let mut tiny = TinyHead::random(Kind::Eagle3, 7);
    tiny.tensors.remove("lm_head.weight");
    let mut file = tiny.head_file();
    file.ids = None;
    let load = |file: &HeadFile| {
        let bytes = file.safetensors(Dtype::F32).unwrap();
        heads::load(&bytes, &file.config, &target, Dtype::F32)
    };
    let head = load(&file).unwrap();
    let (_, features) = features(&target);
    let (output, logits) = run(&*head, &target, &features, &TOKENS);
    let (expected, expected_logits) = naive(&tiny, &model, &target);
    assert_eq!(logits.len(), VOCAB);
    assert!(relative_error(&output, &expected) < 1e-5);
    assert!(relative_error(&logits, &expected_logits) < 1e-5);
    assert_eq!(head.token(95), 95);
    // A draft vocabulary without rows for it is a file with a hole.
    file.ids = tiny.head_file().ids;
    let error = load(&file).err().unwrap().to_string();
    assert!(error.contains("`lm_head.weight"), "{error}");
}

#[test]
fn a_head_that_fuses_nothing_may_have_the_layer_that_would() {
    let model = Tiny::new("llama", 1);
    let target = model.load(Dtype::F32);
    let with = TinyHead::random(Kind::Eagle3, 7);
    let mut without = with.clone();
    without.tensors.remove("fc.weight");
    let expected = agrees(&without, &model, &target, "without");
    let told = without.head_file().gguf().unwrap_err().to_string();
    assert!(told.contains("last feature alone"), "{told}");
    let bytes = with.file(str::to_owned, false);
    let head = heads::load(&bytes, &without.settings(), &target, Dtype::F32).unwrap();
    assert!(head.taps().is_empty());
    let (_, features) = features(&target);
    let (output, logits) = run(&*head, &target, &features, &TOKENS);
    assert!(relative_error(&[output, logits].concat(), &expected) < 1e-5);
    let checkpoint = HeadCheckpoint {
        tensors: NamedTensors::from_bytes(Path::new("head"), &bytes).unwrap(),
        config: without.settings().to_string().into_bytes(),
    };
    let info = checkpoint.describe().unwrap().unwrap();
    assert_eq!((info.hidden, info.target_hidden), (HIDDEN, HIDDEN));
    assert_eq!(info.taps, Some(Vec::new()));
}

#[test]
fn every_exporters_names_give_the_same_head() {
    let target = Tiny::new("llama", 1).load(Dtype::F32);
    let streams: Vec<Vec<f32>> = (0..3).map(|i| spread(60 + i, 2 * HIDDEN)).collect();
    let features = Features {
        last: tensor(&target, &streams[2], 2),
        taps: streams.iter().map(|s| tensor(&target, s, 2)).collect(),
    };
    for kind in KINDS {
        let tiny = TinyHead::random(kind, 3);
        let load = |rename: fn(&str) -> String, absolute, config: serde_json::Value| {
            let head = heads::load(&tiny.file(rename, absolute), &config, &target, Dtype::F32);
            run(&*head.unwrap(), &target, &features, &[5, 6])
        };
        let official = load(str::to_owned, false, TinyHead::config());
        let vllm = |name: &str| {
            let name = name.replace("midlayer.", "layers.0.");
            format!("model.{}", name.replace("d2t", "draft_id_to_target_id"))
        };
        assert_eq!(load(vllm, false, TinyHead::config()), official);
        let speculators = |name: &str| {
            let name = name.replace("midlayer.", "transformer.");
            let name = name.replace("layers.0.", "transformer.");
            if name.starts_with("fc.") {
                format!("fusion_{name}")
            } else {
                name
            }
        };
        let wrapped = serde_json::json!({
            "transformer_layer_config": TinyHead::config(),
            "eagle_aux_hidden_state_layer_ids": heads::TAPS,
        });
        assert_eq!(load(speculators, true, wrapped), official);
    }
}
