//! EAGLE heads: what they compute, and how their files are read.

#![allow(missing_docs, clippy::unwrap_used)]

use burn::tensor::{DType, Tensor, TensorData};
use eaglet_core::cache::KvPool;
use eaglet_core::draft::Head;
use eaglet_core::model::{Features, Transformer};
use eaglet_core::ops::Rows;
use eaglet_core::weights::{Dtype, Role};
use eaglet_tests::heads::{self, Kind, TinyHead};
use eaglet_tests::numbers::{relative_error, spread};
use eaglet_tests::tiny::{HIDDEN, Tiny};

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
    let outputs = head.pass(&fused, &rows, pool.layer(0)).unwrap();
    let last = ops.select(&outputs, &[count as u32 - 1]).unwrap();
    let read = |t| pollster::block_on(ops.read(t)).unwrap();
    (read(last.clone()), read(head.logits(&last).unwrap()))
}

#[test]
fn heads_compute_what_the_papers_say() {
    let model = Tiny::new("llama", 1);
    let target = model.load(Dtype::F32);
    let embedding = model.values(Role::Embedding).unwrap();
    let tokens = [3, 17, 95, 0, 17];
    let streams: Vec<Vec<f32>> = (0..3).map(|i| spread(50 + i, 5 * HIDDEN)).collect();
    let features = Features {
        last: tensor(&target, &streams[2], 5),
        taps: streams.iter().map(|s| tensor(&target, s, 5)).collect(),
    };
    for kind in KINDS {
        let tiny = TinyHead::random(kind, 7);
        let head = tiny.load(&target, Dtype::F32);
        let (output, logits) = run(&*head, &target, &features, &tokens);
        let normed = target
            .ops()
            .norm(&features.last, target.final_norm())
            .unwrap();
        let normed = pollster::block_on(target.ops().read(normed)).unwrap();
        let pairs: Vec<_> = (0..5)
            .map(|i| {
                let at = |s: &Vec<f32>| s[i * HIDDEN..(i + 1) * HIDDEN].to_vec();
                let taps = match kind {
                    Kind::Eagle1 => vec![at(&normed)],
                    Kind::Eagle3 => streams.iter().map(at).collect(),
                };
                (tiny.fuse(&taps), tokens[i])
            })
            .collect();
        let (expected, expected_logits) = tiny.naive(embedding, &pairs);
        let single = |v: &[f64]| v.iter().map(|&v| v as f32).collect::<Vec<_>>();
        assert!(
            relative_error(&output, &single(&expected)) < 1e-5,
            "{kind:?}"
        );
        if kind == Kind::Eagle3 {
            assert!(relative_error(&logits, &single(&expected_logits)) < 1e-5);
            assert_eq!((head.token(0), head.token(39)), (0, 78));
        } else {
            let own = target
                .ops()
                .norm_linear(&tensor(&target, &output, 1), None, target.head());
            let own = pollster::block_on(target.ops().read(own.unwrap())).unwrap();
            assert_eq!(logits, own, "the target's head, without a norm");
        }
    }
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

#[test]
fn heads_that_do_not_fit_are_refused_by_name() {
    let target = Tiny::new("llama", 1).load(Dtype::F32);
    let refused = |change: fn(&mut TinyHead), named: &str| {
        let mut head = TinyHead::random(Kind::Eagle3, 1);
        change(&mut head);
        let file = head.file(str::to_owned, false);
        let error = heads::load(&file, &TinyHead::config(), &target, Dtype::F32);
        let error = error.err().unwrap().to_string();
        assert!(error.contains(named), "{error} does not name {named}");
    };
    refused(
        |h| drop(h.tensors.remove("norm.weight")),
        "`norm.weight` is missing",
    );
    refused(
        |h| drop(h.tensors.remove("lm_head.weight")),
        "lm_head.weight",
    );
    refused(
        |h| h.tensors.get_mut("fc.weight").unwrap().1[5] = f32::NAN,
        "fc.weight",
    );
    refused(
        |h| {
            drop(
                h.tensors
                    .insert("extra.weight".into(), (vec![1], vec![0.0])),
            )
        },
        "extra.weight",
    );
    refused(
        |h| {
            drop(
                h.tensors
                    .insert("fc.weight".into(), (vec![64, 96], vec![0.0; 64 * 96])),
            )
        },
        "expected shape [64, 192], found [64, 96]",
    );
    let file = TinyHead::random(Kind::Eagle3, 1).file(str::to_owned, false);
    for cut in [4, 100, file.len() - 1] {
        let error = heads::load(&file[..cut], &TinyHead::config(), &target, Dtype::F32);
        assert!(
            error
                .err()
                .unwrap()
                .to_string()
                .contains("head.safetensors")
        );
    }
    refused(
        |h| drop(h.tensors.insert("fc.weight".into(), (vec![], vec![0.0]))),
        "fc.weight",
    );
    refused(
        |h| {
            h.tensors.remove("midlayer.self_attn.q_proj.weight");
        },
        "self_attn.q_proj.weight",
    );
    // Half as wide as the target, with no embedding of its own.
    refused(
        |h| {
            drop(
                h.tensors
                    .insert("fc.weight".into(), (vec![32, 192], vec![0.0; 32 * 192])),
            )
        },
        "embed_tokens.weight",
    );
    let config = |key: &str, value: serde_json::Value| {
        let mut config = TinyHead::config();
        config[key] = value;
        let error = heads::load(&file, &config, &target, Dtype::F32);
        error.err().unwrap().to_string()
    };
    let taps = serde_json::json!({ "eagle_aux_hidden_state_layer_ids": [0, 1, 9] });
    assert!(config("eagle_config", taps).contains("[0, 1, 9]"));
    assert!(config("rope_theta", 0.into()).contains("rope_theta 0"));
    assert!(config("rms_norm_eps", (-1e9).into()).contains("rms_norm_eps"));
    let stretched = serde_json::json!({ "rope_type": "llama3", "factor": 8 });
    assert!(config("rope_scaling", stretched).contains("stretched"));
}
