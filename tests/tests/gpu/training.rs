//! Heads learn on every device, and what the CPU learns.

use std::sync::Arc;

use eaglet_backends::cpu::CpuOps;
use eaglet_core::ops::Ops;
use eaglet_core::train::{
    Document, DraftVocabulary, Eagle1Network, Eagle3Network, Initial, MedusaNetwork, Network, Rule,
    Tracer, Traces, TrainOptions, Trainer,
};
use eaglet_core::weights::Dtype;
use eaglet_tests::devices::gpus;
use eaglet_tests::tiny::Tiny;

const TAPS: [usize; 3] = [0, 1, 2];
const AHEAD: usize = 2;

/// The losses of two updates, each token ahead apart, for every kind of head.
fn losses(ops: &Arc<dyn Ops>, rule: Rule) -> Vec<(&'static str, Vec<f64>)> {
    let model = Tiny::new("llama", 5);
    let target = model.load_on(ops, Dtype::F32);
    let file = model.from_gguf();
    let weights = Initial::new(&file, ops.device()).unwrap();
    let vocabulary = DraftVocabulary::new((0..80).collect());
    let head = weights.head(&vocabulary).unwrap();
    let eagle3 = Eagle3Network::new(
        target.clone(),
        &weights,
        vocabulary.clone(),
        TAPS.into(),
        AHEAD,
    );
    let networks: [Box<dyn Network>; 3] = [
        Box::new(eagle3.unwrap()),
        Box::new(Eagle1Network::new(target.clone(), &weights, &vocabulary).unwrap()),
        Box::new(MedusaNetwork::new(target.clone(), &weights, &vocabulary, AHEAD).unwrap()),
    ];
    let document = |seed: u32| {
        let tokens: Vec<u32> = (0..16).map(|i| (i * i * (seed + 3) + 11) % 96).collect();
        let answer = (0..tokens.len()).map(|i| i > 3).collect();
        Document { tokens, answer }
    };
    let options = TrainOptions {
        epochs: 1,
        rate: 1e-2,
        micro_rows: 32,
        micro_batches: 1,
        workers: 1,
        rule,
        seed: 3,
    };
    let learn = |network: &dyn Network| {
        let documents = (0..4).map(document).collect();
        let tracer = Tracer::new(target.clone(), TAPS.into(), 64).unwrap();
        let traces = Traces::new(tracer, None).unwrap();
        let (vocabulary, head) = (vocabulary.clone(), head.clone());
        let trainer = Trainer::new(network, documents, traces, vocabulary, head, options);
        let mut trainer = trainer.unwrap();
        let mut losses = Vec::new();
        for _ in 0..2 {
            let report = pollster::block_on(trainer.step(true)).unwrap().unwrap();
            losses.extend(report.steps.iter().map(|m| m.loss));
            losses.push(report.norm);
        }
        (network.name(), losses)
    };
    networks.iter().map(|network| learn(&**network)).collect()
}

#[test]
fn two_updates_lose_what_they_lose_on_the_cpu() {
    let cpu: Arc<dyn Ops> = Arc::new(CpuOps::new(2));
    for rule in [Rule::AdamW, Rule::Muon] {
        let expected = losses(&cpu, rule);
        for gpu in gpus() {
            for ((name, found), (_, expected)) in losses(&gpu.ops, rule).iter().zip(&expected) {
                assert_eq!(found.len(), expected.len());
                for (a, b) in found.iter().zip(expected) {
                    let what = format!("{} {name} {rule:?}: {found:?}, not {expected:?}", gpu.name);
                    assert!((a - b).abs() <= 2e-3 * b.abs(), "{what}");
                }
            }
        }
    }
}
