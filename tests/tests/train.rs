//! Training of heads: what is learnt is what drafting does, and runs can be taken up.

#![cfg(not(target_family = "wasm"))]
#![allow(missing_docs, clippy::unwrap_used)]

use std::path::Path;
use std::sync::Arc;

use burn::tensor::{DType, Tensor, TensorData};
use eaglet_core::cache::{KvPool, Table};
use eaglet_core::draft::{Head, HeadCheckpoint, load_head};
use eaglet_core::model::{Features, Transformer};
use eaglet_core::train::{
    Batch, Document, DraftVocabulary, Eagle1Network, Eagle3Network, Initial, MedusaNetwork,
    Network, Parameters, Rule, Trace, Tracer, Traces, TrainOptions, Trainer,
};
use eaglet_core::weights::{Dtype, NamedTensors};
use eaglet_tests::numbers::spread;
use eaglet_tests::tiny::{HIDDEN, Tiny};

const TAPS: [usize; 3] = [0, 1, 2];
const AHEAD: usize = 3;
/// Tokens from here on cannot be drafted.
const DRAFTED: u32 = 80;
const OPTIONS: TrainOptions = TrainOptions {
    epochs: 4,
    rate: 1e-3,
    micro_rows: 40,
    micro_batches: 1,
    workers: 1,
    rule: Rule::Muon,
    seed: 3,
};

struct Scene {
    target: Arc<Transformer>,
    vocabulary: DraftVocabulary,
    networks: Vec<Box<dyn Network>>,
    head: Tensor<2>,
    documents: Vec<Document>,
}

/// A tiny target, heads of every kind, and what the target itself says.
fn scene() -> Scene {
    scene_of(DraftVocabulary::new((0..DRAFTED).collect()))
}

fn scene_of(vocabulary: DraftVocabulary) -> Scene {
    let model = Tiny::new("llama", 5);
    let target = model.load(Dtype::F32);
    let file = model.from_gguf();
    let weights = Initial::new(&file, target.ops().device()).unwrap();
    let networks: Vec<Box<dyn Network>> = vec![
        Box::new(
            Eagle3Network::new(
                target.clone(),
                &weights,
                vocabulary.clone(),
                TAPS.into(),
                AHEAD,
            )
            .unwrap(),
        ),
        Box::new(Eagle1Network::new(target.clone(), &weights, &vocabulary).unwrap()),
        Box::new(MedusaNetwork::new(target.clone(), &weights, &vocabulary, AHEAD).unwrap()),
    ];
    let document = |seed: u32| {
        let tokens: Vec<u32> = (0..14 + 3 * seed)
            .map(|i| (i * i * (seed + 3) + 11) % 96)
            .collect();
        let answer = (0..tokens.len()).map(|i| i > 3).collect();
        Document { tokens, answer }
    };
    Scene {
        head: weights.head(&vocabulary).unwrap(),
        documents: (0..4).map(document).collect(),
        target,
        vocabulary,
        networks,
    }
}

impl Scene {
    fn traces(&self) -> Vec<Trace> {
        let mut tracer = Tracer::new(self.target.clone(), TAPS.into(), 64).unwrap();
        let traces = self
            .documents
            .iter()
            .map(|document| pollster::block_on(tracer.trace(document.clone())).unwrap());
        traces.collect()
    }

    fn batch(&self) -> Batch {
        Batch::new(&self.traces(), &self.vocabulary, &self.head).unwrap()
    }

    fn trainer<'a>(&self, network: &'a dyn Network, folder: Option<&Path>) -> Trainer<'a> {
        self.trainer_of(network, folder, OPTIONS)
    }

    fn trainer_of<'a>(
        &self,
        network: &'a dyn Network,
        folder: Option<&Path>,
        options: TrainOptions,
    ) -> Trainer<'a> {
        let tracer = Tracer::new(self.target.clone(), TAPS.into(), 64).unwrap();
        let traces = Traces::new(tracer, folder.map(Into::into)).unwrap();
        let documents = self.documents.clone();
        let (vocabulary, head) = (self.vocabulary.clone(), self.head.clone());
        Trainer::new(network, documents, traces, vocabulary, head, options).unwrap()
    }
}

/// Weights away from where they begin, all of them numbers that f16 holds.
fn shaken(network: &dyn Network) -> Parameters {
    let mut weights = network.initial().unwrap();
    for (seed, tensor) in (0..).zip(weights.0.values_mut()) {
        let [rows, cols] = tensor.dims();
        let noise = spread(900 + seed, rows * cols);
        let data = tensor.to_data();
        let values = data.iter::<f32>().zip(noise);
        let values = values.map(|(v, n)| half::f16::from_f32(v + 0.1 * n).to_f32());
        let data = TensorData::new(values.collect::<Vec<_>>(), [rows, cols]);
        *tensor = Tensor::from_data(data, &tensor.device());
    }
    weights
}

/// The EAGLE-3 head as it would be drafted with.
fn exported(scene: &Scene, weights: &Parameters) -> Box<dyn Head> {
    let file = scene.networks[0].export(weights).unwrap();
    let bytes = file.safetensors(Dtype::F16).unwrap();
    let tensors = NamedTensors::from_bytes(Path::new("head"), &bytes).unwrap();
    load_head(
        tensors,
        file.config.to_string().as_bytes(),
        &scene.target,
        Dtype::F32,
    )
    .unwrap()
}

/// What drafting gives: the head's log-probabilities for each step ahead, from slot
/// `slot` of a document on, with the document's own tokens.
fn drafted(scene: &Scene, head: &dyn Head, trace: &Trace, slot: usize) -> Vec<Vec<f32>> {
    let tokens = &trace.document.tokens;
    let ops = scene.target.ops();
    let mut pool = KvPool::new(&**ops, 1, 64, head.heads(), DType::F32).unwrap();
    let mut table = Table::default();
    let taps = (0..TAPS.len()).map(|i| {
        let columns = i * HIDDEN..(i + 1) * HIDDEN;
        trace.taps.clone().slice([0..slot + 1, columns])
    });
    let features = Features {
        last: trace.last.clone(),
        taps: taps.collect(),
    };
    let mut features = head.fuse(&features).unwrap();
    let mut next = tokens[1..slot + 2].to_vec();
    let mut all = Vec::new();
    for step in 0..AHEAD.min(tokens.len() - slot - 1) {
        let slots = pool.reserve(next.len()).unwrap();
        let rows = table.extend(&next, &slots);
        let embedded = ops.embed(head.embedding(), &next).unwrap();
        let outputs = head
            .pass(&features, embedded, &rows, pool.layer(0))
            .unwrap();
        let last = ops.select(&outputs, &[next.len() as u32 - 1]).unwrap();
        let logits = head.logits(&last).unwrap();
        let logits = pollster::block_on(ops.read(logits)).unwrap();
        let sum = eaglet_core::sample::log_sum_exp(&logits);
        all.push(logits.iter().map(|logit| logit - sum).collect());
        features = last;
        next = tokens.get(slot + step + 2).copied().into_iter().collect();
        if next.is_empty() {
            break;
        }
    }
    all
}

#[test]
fn training_time_test_is_drafting_with_the_documents_tokens() {
    let scene = scene();
    let network = &*scene.networks[0];
    let weights = shaken(network);
    let head = exported(&scene, &weights);
    let measured = network
        .loss(&weights, &scene.batch(), 0, true)
        .unwrap()
        .steps;
    assert_eq!(measured.len(), AHEAD);

    let mut expected = [(0.0f64, 0usize); AHEAD];
    for trace in scene.traces() {
        let wide = trace.last.clone().matmul(scene.head.clone().transpose());
        let wide = burn::tensor::activation::softmax(wide, 1).to_data();
        let wide: Vec<f32> = wide.iter::<f32>().collect();
        let rows: Vec<&[f32]> = wide.chunks(DRAFTED as usize).collect();
        let document = &trace.document;
        for slot in 0..document.tokens.len() - 1 {
            let said = drafted(&scene, &*head, &trace, slot);
            for (step, said) in said.iter().enumerate() {
                let at = slot + step + 1; // The row that says what step `step` predicts.
                let learnt = document.answer.get(at + 1) == Some(&true);
                if learnt && trace.argmax[at] < DRAFTED {
                    let nats = rows[at].iter().zip(said).map(|(p, q)| -p * q).sum::<f32>();
                    expected[step].0 += f64::from(nats);
                    expected[step].1 += 1;
                }
            }
        }
    }
    for (found, (loss, count)) in measured.iter().zip(expected) {
        assert_eq!(found.learnt, count);
        assert!(
            count > 20 && found.all > count,
            "some tokens cannot be drafted"
        );
        let error = (found.loss - loss).abs() / loss;
        assert!(error < 1e-5, "{} against {loss}", found.loss);
    }
}

#[test]
fn gradients_are_those_of_finite_differences() {
    let scene = scene();
    let batch = scene.batch();
    for network in &scene.networks {
        let weights = shaken(&**network);
        let value = |weights: &Parameters| network.loss(weights, &batch, 9, true).unwrap().value;
        let loss = network.loss(&weights, &batch, 9, false).unwrap();
        assert_eq!(
            loss.gradients.0.len(),
            weights.0.len(),
            "{}",
            network.name()
        );
        for (name, gradient) in &loss.gradients.0 {
            let length = gradient.clone().square().sum().into_scalar::<f32>().sqrt();
            assert!(length > 1e-6, "{}: {name} has no gradient", network.name());
            // Along the gradient itself, the slope is the gradient's length.
            let step = 4e-3;
            let moved = |by: f32| {
                let mut moved = weights.clone();
                let way = gradient.clone() * (by / length);
                moved.set(name, weights.get(name).unwrap().clone() + way);
                value(&moved)
            };
            let slope = (moved(step) - moved(-step)) / (2.0 * f64::from(step));
            let error = (slope - f64::from(length)).abs() / f64::from(length);
            assert!(
                error < 2e-2,
                "{} {name}: {slope} against {length}",
                network.name()
            );
        }
    }
}

#[test]
fn a_resumed_run_goes_on_to_the_same_losses() {
    let scene = scene();
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("state.safetensors");
    for network in &scene.networks {
        let losses = |trainer: &mut Trainer<'_>, count: usize| -> Vec<f64> {
            let step = |_| pollster::block_on(trainer.step(true)).unwrap().unwrap();
            (0..count)
                .map(step)
                .flat_map(|r| r.steps)
                .map(|m| m.loss)
                .collect()
        };
        let mut whole = scene.trainer(&**network, None);
        let expected = losses(&mut whole, 6);
        assert!(expected.last().unwrap() < &expected[0], "it learns");

        let traces = folder.path().join("traces");
        let mut first = scene.trainer(&**network, None);
        assert!(!first.resume(&file).unwrap());
        let mut found = losses(&mut first, 3);
        first.save(&file).unwrap();
        drop(first);
        let mut second = scene.trainer(&**network, None);
        assert!(second.resume(&file).unwrap());
        found.extend(losses(&mut second, 3));
        assert_eq!(found, expected, "{}", network.name());

        // What is kept on disk is rounded to f16; the course is nearly the same.
        for _ in 0..2 {
            let kept = losses(&mut scene.trainer(&**network, Some(&traces)), 6);
            let far = kept.iter().zip(&expected).map(|(a, b)| (a - b).abs() / b);
            assert!(far.fold(0.0, f64::max) < 1e-2);
        }
        std::fs::remove_file(&file).unwrap();
    }
    let other = &*scene.networks[1];
    scene
        .trainer(&*scene.networks[0], None)
        .save(&file)
        .unwrap();
    let told = scene
        .trainer(other, None)
        .resume(&file)
        .unwrap_err()
        .to_string();
    assert!(told.contains("other options"), "{told}");
}

#[test]
fn a_run_ends_with_its_epochs() {
    let scene = scene();
    let mut trainer = scene.trainer(&*scene.networks[2], None);
    let steps = trainer.steps();
    for _ in 0..steps {
        assert!(pollster::block_on(trainer.step(false)).unwrap().is_some());
    }
    assert!(pollster::block_on(trainer.step(false)).unwrap().is_none());
    assert_eq!(trainer.step_count(), steps);
}

#[test]
fn passes_side_by_side_add_up_to_the_same_bits() {
    let scene = scene();
    let weights = |network: &dyn Network, workers| {
        let options = TrainOptions {
            micro_rows: 24,
            micro_batches: 4,
            workers,
            ..OPTIONS
        };
        let mut trainer = scene.trainer_of(network, None, options);
        for _ in 0..3 {
            let report = pollster::block_on(trainer.step(false)).unwrap().unwrap();
            assert_eq!(report.rows, 14 + 17 + 20 + 23, "four passes an update");
        }
        let values = trainer.weights().0.values();
        values
            .flat_map(|tensor| tensor.to_data().iter::<f32>().collect::<Vec<_>>())
            .collect::<Vec<f32>>()
    };
    for network in &scene.networks {
        let alone = weights(&**network, 1);
        for workers in [2, 3, 4] {
            assert!(weights(&**network, workers) == alone, "{}", network.name());
        }
    }
}

/// A head as its file.
fn checkpoint(bytes: &[u8], config: String) -> HeadCheckpoint {
    HeadCheckpoint {
        tensors: NamedTensors::from_bytes(Path::new("head"), bytes).unwrap(),
        config: config.into_bytes(),
    }
}

#[test]
fn training_goes_on_from_a_head() {
    let scene = scene();
    let vocab = scene.target.config().vocab;
    let far = |one: &Parameters, other: &Parameters| {
        let pairs = one.0.iter().zip(&other.0);
        let far = pairs.map(|((name, a), (same, b))| {
            assert_eq!(name, same);
            let far = (a.clone() - b.clone()).abs().max();
            far.into_scalar::<f32>()
        });
        far.fold(0.0, f32::max)
    };
    for network in &scene.networks {
        let expected = shaken(&**network);
        let file = network.export(&expected).unwrap();
        let config = file.config.to_string();
        let bytes = file.safetensors(Dtype::F32).unwrap();
        let values = checkpoint(&bytes, config).values(vocab).unwrap();
        let drafted = (network.name() == "eagle3").then(|| scene.vocabulary.ids().to_vec());
        assert_eq!(values.ids, drafted);
        let mut trainer = scene.trainer(&**network, None);
        assert!(far(trainer.weights(), &expected) > 1e-2);
        trainer.start_from(values).unwrap();
        assert_eq!(far(trainer.weights(), &expected), 0.0, "{}", network.name());
    }
    // Medusa-2's prefix is no other network.
    let medusa = scene
        .networks
        .iter()
        .find(|n| n.name() == "medusa")
        .unwrap();
    let expected = shaken(&**medusa);
    let mut file = medusa.export(&expected).unwrap();
    for (name, ..) in &mut file.tensors {
        *name = format!("medusa_head.{name}");
    }
    let bytes = file.safetensors(Dtype::F32).unwrap();
    let mut trainer = scene.trainer(&**medusa, None);
    let values = checkpoint(&bytes, file.config.to_string()).values(vocab);
    trainer.start_from(values.unwrap()).unwrap();
    assert_eq!(far(trainer.weights(), &expected), 0.0);
    // The rows of a GGUF file lie in another order, and its matrices are rounded.
    let eagle3 = &*scene.networks[0];
    let expected = shaken(eagle3);
    let bytes = eagle3.export(&expected).unwrap().gguf().unwrap();
    let open = || checkpoint(&bytes, String::new()).values(vocab).unwrap();
    let mut trainer = scene.trainer(eagle3, None);
    trainer.start_from(open()).unwrap();
    assert!(far(trainer.weights(), &expected) < 1e-2);
    // A head that drafts other tokens: what both know keeps its row, the rest is the target's.
    let mut values = open();
    let ids: Vec<u32> = values.ids.clone().unwrap();
    let moved: Vec<u32> = ids.iter().map(|&id| id + u32::from(id > 3)).collect();
    assert_ne!(moved, ids);
    let width = scene.target.config().hidden;
    let others: Vec<f32> = (0..moved.len() * width).map(|v| v as f32).collect();
    values.redraft(&moved, &others);
    assert_eq!(values.ids.as_ref(), Some(&moved));
    let (shape, rows) = values.take("lm_head.weight").unwrap();
    let (_, before) = open().take("lm_head.weight").unwrap();
    assert_eq!(shape, [moved.len(), width]);
    let row = |of: &[f32], at: usize| of[at * width..(at + 1) * width].to_vec();
    for (place, id) in moved.iter().enumerate() {
        let expected = match ids.binary_search(id) {
            Ok(known) => row(&before, known),
            Err(_) => row(&others, place),
        };
        assert_eq!(row(&rows, place), expected, "token {id}");
    }
    // The same through a trainer whose text has other tokens, fewer and more.
    for size in [DRAFTED - 5, DRAFTED + 5] {
        let scene = scene_of(DraftVocabulary::new((2..).take(size as usize).collect()));
        let mut trainer = scene.trainer(&*scene.networks[0], None);
        trainer.start_from(open()).unwrap();
        let values = |tensor: &Tensor<2>| tensor.to_data().iter().collect::<Vec<f32>>();
        let rows = values(trainer.weights().get("lm_head.weight").unwrap());
        let fresh = values(&scene.head);
        for (place, id) in scene.vocabulary.ids().iter().enumerate() {
            let expected = match ids.binary_search(id) {
                Ok(known) => row(&before, known),
                Err(_) => row(&fresh, place),
            };
            assert_eq!(row(&rows, place), expected, "token {id} of {size}");
        }
    }
    let mut other = scene.trainer(&*scene.networks[1], None);
    let told = other.start_from(open()).unwrap_err().to_string();
    assert!(told.contains("another kind"), "{told}");
}
