//! Rounds that fail between a draft that nobody has seen and its verdict.

use std::future::Future;
use std::pin::Pin;

use burn::tensor::Tensor;
use eaglet_core::Result;
use eaglet_core::draft::{Budget, Drafter, Eagle, Growth, Observation, Plain, Unseen};
use eaglet_core::sample::Sampling;
use eaglet_core::tree::Tree;
use eaglet_core::weights::Dtype;
use eaglet_tests::decode::{decode, options, session};
use eaglet_tests::devices::gpus;
use eaglet_tests::heads::{Kind, TinyHead};
use eaglet_tests::tiny::Tiny;

/// Every third of its trees is none.
struct Broken {
    inner: Eagle,
    trees: usize,
}

impl Drafter for Broken {
    fn name(&self) -> &'static str {
        "broken"
    }

    fn taps(&self) -> &[usize] {
        self.inner.taps()
    }

    fn propose<'a>(
        &'a mut self,
        context: &'a [u32],
        budget: Budget,
    ) -> Pin<Box<dyn Future<Output = Result<Tree>> + 'a>> {
        self.inner.propose(context, budget)
    }

    fn propose_unseen(&mut self, context: &[u32], budget: Budget) -> Result<Option<Unseen>> {
        let mut unseen = self.inner.propose_unseen(context, budget)?;
        if let Some(unseen) = &mut unseen {
            self.trees += 1;
            if self.trees.is_multiple_of(3) {
                unseen.ranked = Tensor::zeros([3, 4], &unseen.ranked.device());
            }
        }
        Ok(unseen)
    }

    fn see(&mut self, tree: Option<&Tree>) {
        self.inner.see(tree);
    }

    fn observe(&mut self, observation: Observation<'_>) -> Result<()> {
        self.inner.observe(observation)
    }

    fn truncate(&mut self, len: usize) -> usize {
        self.inner.truncate(len)
    }
}

#[test]
fn a_round_that_fails_unseen_costs_no_token_and_no_slot() {
    for gpu in gpus() {
        let target = Tiny::new("llama", 2).load_on(&gpu.ops, Dtype::F32);
        for temperature in [0.0, 0.8] {
            let sampling = Sampling {
                temperature,
                ..Default::default()
            };
            let prompt = [9, 8, 7];
            let plain = decode(&target, &prompt, options(&sampling, 30, Box::new(Plain)));
            let head = TinyHead::random(Kind::Eagle3, 4).load(&target, Dtype::F32);
            let inner = Eagle::new("eagle", head, &target, Growth::default()).unwrap();
            let drafter = Broken { inner, trees: 0 };
            let mut session = session(&target, 1);
            session
                .open(options(&sampling, 30, Box::new(drafter)))
                .unwrap();
            let mut ids = Vec::new();
            let mut watch = |_: usize, token| {
                ids.push(token);
                false
            };
            let mut failures = Vec::new();
            pollster::block_on(async {
                session.prompt(0, &prompt, &mut watch).await.unwrap();
                loop {
                    match session.round(&mut watch).await {
                        Ok(emissions) if emissions.is_empty() => break,
                        Ok(_) => {}
                        Err(error) => failures.push(error.to_string()),
                    }
                    session.check_integrity().unwrap();
                }
            });
            assert_eq!(ids, plain.ids, "{}", gpu.name);
            assert!(failures.len() > 2, "{}: {failures:?}", gpu.name);
            let told = |failure: &String| failure.contains("[3, 4] values are not the nodes");
            assert!(failures.iter().all(told), "{}: {failures:?}", gpu.name);
        }
    }
}
