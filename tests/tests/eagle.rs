//! EAGLE heads: what they compute, how they draft, and that they change nothing.

#![allow(missing_docs, clippy::unwrap_used)]

use std::cell::RefCell;
use std::future::Future;
use std::pin::Pin;
use std::rc::Rc;

use burn::tensor::{DType, Tensor, TensorData};
use eaglet_core::Result;
use eaglet_core::cache::KvPool;
use eaglet_core::draft::{Budget, Drafter, Eagle, Growth, Observation, Plain};
use eaglet_core::model::{Features, Transformer};
use eaglet_core::ops::Rows;
use eaglet_core::sample::Sampling;
use eaglet_core::tree::Tree;
use eaglet_core::weights::{Dtype, Role};
use eaglet_tests::decode::{answer, decode, options, session};
use eaglet_tests::heads::{self, Kind, TinyHead};
use eaglet_tests::numbers::{relative_error, spread};
use eaglet_tests::tiny::{HIDDEN, Tiny};

const GROWTH: Growth = Growth {
    top_k: 3,
    depth: 4,
    nodes: 6,
};
const KINDS: [Kind; 2] = [Kind::Eagle1, Kind::Eagle3];

fn eagle(kind: Kind, seed: u64, target: &Transformer) -> Box<Eagle> {
    let head = TinyHead::random(kind, seed).load(target, Dtype::F32);
    Box::new(Eagle::new("eagle", head, target, GROWTH).unwrap())
}

fn tensor(target: &Transformer, values: &[f32], rows: usize) -> Tensor<2> {
    let data = TensorData::new(values.to_vec(), [rows, values.len() / rows]);
    Tensor::from_data(data, target.ops().device())
}

/// Outputs and logits of a head over a chain of pairs with given features.
fn run(
    head: &dyn eaglet_core::draft::Head,
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
fn random_heads_never_change_a_token() {
    let mut accepted = 0;
    for kind in KINDS {
        for dtype in Dtype::ALL {
            let target = Tiny::new("llama", 2).load(dtype);
            for (temperature, top_p) in [(0.0, 1.0), (0.7, 1.0), (1.0, 0.9)] {
                let sampling = Sampling {
                    temperature,
                    top_p,
                    seed: 3,
                    ..Default::default()
                };
                let mut kept = session(&target, 1);
                let drafter = eagle(kind, 4, &target);
                kept.open(options(&sampling, 40, drafter)).unwrap();
                let mut history = vec![9, 8, 7];
                // Turns that go on and turns that go back, in one drafter's life.
                for turn in 0..5 {
                    let plain = options(&sampling, 40, Box::new(Plain));
                    let plain = decode(&target, &history, plain);
                    let found = answer(&mut kept, 0, &history);
                    assert_eq!(found.ids, plain.ids, "{kind:?} {dtype} {sampling:?} {turn}");
                    assert!(found.stats.drafted_tokens >= found.stats.rounds);
                    accepted += found.stats.accepted_by_depth.iter().sum::<usize>();
                    history.extend(&found.ids[..30]);
                    history.truncate(history.len() - 7 * turn);
                    history.push(turn as u32);
                }
            }
        }
    }
    assert!(accepted > 10, "{accepted}");
}

/// What a drafter proposed: each context with its tree.
type Log = Rc<RefCell<Vec<(Vec<u32>, Tree)>>>;

/// Writes down what a drafter proposes.
struct Recording {
    inner: Box<Eagle>,
    log: Log,
}

impl Drafter for Recording {
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
        let log = self.log.clone();
        Box::pin(async move {
            let tree = self.inner.propose(context, budget).await?;
            log.borrow_mut().push((context.to_vec(), tree.clone()));
            Ok(tree)
        })
    }
    fn observe(&mut self, observation: Observation<'_>) -> Result<()> {
        self.inner.observe(observation)
    }
    fn truncate(&mut self, len: usize) -> usize {
        self.inner.truncate(len)
    }
}

fn record(target: &std::sync::Arc<Transformer>, kind: Kind, prompt: &[u32], max: usize) -> Log {
    let log = Log::default();
    let recording = Recording {
        inner: eagle(kind, 5, target),
        log: log.clone(),
    };
    let greedy = Sampling::default();
    decode(target, prompt, options(&greedy, max, Box::new(recording)));
    log
}

#[test]
fn after_many_rounds_a_head_drafts_what_it_would_draft_afresh() {
    let target = Tiny::new("qwen3", 3).load(Dtype::F32);
    for kind in KINDS {
        let log = record(&target, kind, &[1, 2, 3, 4], 40);
        let log = log.borrow();
        assert!(log.len() > 20);
        for (context, tree) in log.iter().step_by(5).filter(|(_, tree)| tree.height() == 4) {
            // A fresh drafter whose first round has this context: its root is the last
            // token, which greedy decoding of the rest gives.
            let fresh = record(&target, kind, &context[..context.len() - 1], 40);
            let fresh = fresh.borrow();
            assert_eq!(&fresh[0], &(context.clone(), tree.clone()), "{kind:?}");
        }
    }
}

/// A target whose next token depends on the last one alone, and an EAGLE-1 head that
/// says exactly the same: every layer adds nothing, and embeddings have unit norm.
#[test]
fn a_head_that_imitates_its_target_is_accepted_whole() {
    let mut model = Tiny::new("llama", 4);
    for (role, (_, values)) in &mut model.tensors {
        match role {
            Role::AttentionOutput(_) | Role::Down(_) => values.fill(0.0),
            Role::FinalNorm => values.fill(1.0),
            Role::Embedding => values.chunks_exact_mut(HIDDEN).for_each(|row| {
                let size = row.iter().map(|v| v * v).sum::<f32>() / HIDDEN as f32;
                row.iter_mut().for_each(|v| *v /= size.sqrt());
            }),
            _ => {}
        }
    }
    let target = model.load(Dtype::F32);
    let mut tiny = TinyHead::random(Kind::Eagle1, 1);
    for (name, (_, values)) in &mut tiny.tensors {
        if name.contains("o_proj") || name.contains("down_proj") || name == "fc.bias" {
            values.fill(0.0);
        }
        if name == "fc.weight" {
            // The embedding's half is the identity, the feature's is nothing.
            values.fill(0.0);
            (0..HIDDEN).for_each(|i| values[i * 2 * HIDDEN + i] = 1.0);
        }
    }
    let chain = Growth {
        top_k: 1,
        depth: 5,
        nodes: 5,
    };
    let head = tiny.load(&target, Dtype::F32);
    let drafter = Eagle::new("eagle1", head, &target, chain).unwrap();
    let count = 1 + 8 * 6;
    let greedy = Sampling::default();
    let plain = decode(&target, &[7, 7], options(&greedy, count, Box::new(Plain)));
    let found = decode(&target, &[7, 7], options(&greedy, count, Box::new(drafter)));
    assert_eq!(found.ids, plain.ids);
    assert_eq!(found.stats.tau(), 6.0);
    assert_eq!(found.stats.accepted_by_depth, [8; 5]);
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

#[test]
fn a_head_that_overflows_only_drafts_nothing() {
    let target = Tiny::new("llama", 1).load(Dtype::F32);
    let mut head = TinyHead::random(Kind::Eagle3, 1);
    let (_, norm) = head.tensors.get_mut("norm.weight").unwrap();
    norm.fill(3e38);
    let greedy = Sampling::default();
    let plain = decode(&target, &[1, 2], options(&greedy, 20, Box::new(Plain)));
    let head = head.load(&target, Dtype::F32);
    let drafter = Eagle::new("eagle3", head, &target, GROWTH).unwrap();
    let found = decode(&target, &[1, 2], options(&greedy, 20, Box::new(drafter)));
    assert_eq!(found.ids, plain.ids);
}

#[test]
fn sequences_may_have_heads_with_other_taps() {
    let target = Tiny::new("llama", 1).load(Dtype::F32);
    let greedy = Sampling::default();
    let plain = decode(&target, &[1, 2], options(&greedy, 20, Box::new(Plain)));
    let mut kept = session(&target, 2);
    kept.open(options(&greedy, 20, eagle(Kind::Eagle3, 1, &target)))
        .unwrap();
    let mut head = TinyHead::random(Kind::Eagle3, 2);
    let fc = spread(9, HIDDEN * 2 * HIDDEN);
    head.tensors
        .insert("fc.weight".into(), (vec![HIDDEN, 2 * HIDDEN], fc));
    let config = serde_json::json!({
        "num_attention_heads": heads::HEADS, "eagle_aux_hidden_state_layer_ids": [0, 2],
    });
    let file = head.file(str::to_owned, false);
    let head = heads::load(&file, &config, &target, Dtype::F32).unwrap();
    let drafter = Eagle::new("eagle3", head, &target, GROWTH).unwrap();
    kept.open(options(&greedy, 20, Box::new(drafter))).unwrap();
    for sequence in [1, 0, 1] {
        let found = answer(&mut kept, sequence, &[1, 2]);
        assert_eq!(found.ids, plain.ids);
        assert!(found.stats.drafted_tokens > 0);
    }
}
