//! Whether a head fits its target is seen before it drafts.

#![allow(missing_docs, clippy::unwrap_used)]

use std::sync::Arc;

use eaglet_core::draft::{Agreement, probe};
use eaglet_core::model::Transformer;
use eaglet_core::weights::{Dtype, Role};
use eaglet_tests::heads::{self, Kind, TinyHead};
use eaglet_tests::tiny::{HIDDEN, INNER, Tiny, VOCAB};

/// The tokens 1 to 8 are known; after each comes the next.
const KNOWN: usize = 8;

/// Where layers write down which token they saw.
const NOTE: usize = 32;

fn text(len: usize) -> Vec<u32> {
    (0..len).map(|i| (i % KNOWN) as u32 + 1).collect()
}

/// A target that says what comes next in [`text`]. Its first layer notes which token it
/// saw where nothing was before, its second one overwrites that with the wrong one: only
/// between the two can a head read which token it is after.
fn target() -> Arc<Transformer> {
    let mut model = Tiny::new("llama", 4);
    for (role, (_, values)) in &mut model.tensors {
        match role {
            Role::AttentionNorm(_) | Role::FeedForwardNorm(_) | Role::FinalNorm => {
                values.fill(1.0);
                continue;
            }
            _ => values.fill(0.0),
        }
        let mut set = |row: usize, width: usize, col: usize, value: f32| {
            values[row * width + col] = value;
        };
        for i in 0..KNOWN {
            let next = (i + 1) % KNOWN;
            match role {
                Role::Embedding => set(i + 1, HIDDEN, i, 1.0),
                Role::Head => set(next + 1, HIDDEN, i, 1.0),
                Role::Gate(_) | Role::Up(_) => set(i, HIDDEN, i, 1.0),
                Role::Down(0) => set(NOTE + i, INNER, i, 0.02),
                Role::Down(_) => set(NOTE + next, INNER, i, 0.2),
                _ => {}
            }
        }
    }
    model.load(Dtype::F32)
}

/// A head that reads the note and says what comes after the token after it.
fn reader(taps: serde_json::Value) -> (Vec<u8>, serde_json::Value) {
    let mut head = TinyHead::random(Kind::Eagle3, 1);
    for (name, (_, values)) in &mut head.tensors {
        values.fill(if name.contains("norm") { 1.0 } else { 0.0 });
    }
    let (mut fc, mut output) = (vec![0.0; HIDDEN * HIDDEN], vec![0.0; VOCAB * HIDDEN]);
    for i in 0..KNOWN {
        fc[i * HIDDEN + NOTE + i] = 1.0;
        output[((i + 2) % KNOWN + 1) * HIDDEN + i] = 1.0;
    }
    let add = |head: &mut TinyHead, name: &str, rows, values| {
        head.tensors
            .insert(name.into(), (vec![rows, HIDDEN], values));
    };
    add(&mut head, "fc.weight", HIDDEN, fc);
    add(&mut head, "lm_head.weight", VOCAB, output);
    let mut file = head.head_file();
    file.ids = None;
    file.config["eagle_config"] = taps;
    (file.safetensors(Dtype::F32).unwrap(), file.config)
}

fn tried(taps: serde_json::Value) -> Agreement {
    let target = target();
    let (file, config) = reader(taps);
    let head = heads::load(&file, &config, &target, Dtype::F32).unwrap();
    pollster::block_on(probe(&*head, &target, &text(24))).unwrap()
}

#[test]
fn a_head_that_sees_the_right_layer_agrees() {
    let agreement = tried(serde_json::json!({ "eaglet_taps": [1] }));
    assert_eq!((agreement.positions, agreement.share), (23, 1.0));
    assert!(!agreement.is_none());
    assert_eq!(agreement.better, None);
}

#[test]
fn a_head_that_sees_the_wrong_layer_is_told_which_is_right() {
    for wrong in [
        serde_json::json!({ "eagle_aux_hidden_state_layer_ids": [0] }),
        serde_json::json!({ "eagle_aux_hidden_state_layer_ids": [1] }), // The output of 1.
        serde_json::json!({ "eaglet_taps": [2] }),
    ] {
        let agreement = tried(wrong.clone());
        assert_eq!(agreement.share, 0.0, "{wrong}");
        assert!(agreement.is_none());
        assert_eq!(agreement.better, Some((vec![1], 1.0)), "{wrong}");
    }
}

#[test]
fn a_head_that_was_never_trained_has_no_better_layers() {
    let target = Tiny::new("llama", 1).load(Dtype::F32);
    for kind in [Kind::Eagle1, Kind::Eagle3] {
        let head = TinyHead::random(kind, 9).load(&target, Dtype::F32);
        let agreement = pollster::block_on(probe(&*head, &target, &text(60))).unwrap();
        assert!(agreement.is_none(), "{kind:?}: {agreement:?}");
        assert_eq!(agreement.better, None, "{kind:?}");
    }
}

#[test]
fn a_text_that_cannot_be_tried_is_an_error() {
    let target = target();
    let head = TinyHead::random(Kind::Eagle1, 1).load(&target, Dtype::F32);
    for tokens in [&[][..], &[1, 2], &[1, 2, VOCAB as u32]] {
        assert!(pollster::block_on(probe(&*head, &target, tokens)).is_err());
    }
}
