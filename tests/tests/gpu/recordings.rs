//! Passes that are repeated from a recording are the passes that were recorded.

use burn::tensor::{DType, Tensor};
use eaglet_core::cache::{KvPool, Table};
use eaglet_core::model::{Features, Transformer};
use eaglet_core::ops::{Recorded, Rows};
use eaglet_core::sample::uniform;
use eaglet_core::weights::Dtype;
use eaglet_tests::devices::{Gpu, gpus};
use eaglet_tests::tiny::{Tiny, VOCAB};

const TAPS: [usize; 2] = [0, 1];

/// A text that grows by some tokens a pass, and what a recording and a pass make of each.
struct Text<'a> {
    gpu: &'a Gpu,
    target: &'a Transformer,
    pool: KvPool,
    table: Table,
}

impl Text<'_> {
    /// Appends `count` tokens: run once from a recording and once without.
    fn grow(&mut self, count: usize) {
        let first = self.table.len() as u64;
        let random = |at| (uniform(7, at) * VOCAB as f64) as u32;
        let tokens: Vec<u32> = (first..first + count as u64).map(random).collect();
        let slots = self.pool.reserve(count).unwrap();
        for (&token, &slot) in tokens.iter().zip(&slots) {
            self.table.commit(token, slot);
        }
        let all = self.table.len();
        let rows = || self.table.rows(all - count..all);
        let repeated = self.target.repeat(rows(), None, &mut self.pool, &TAPS);
        let repeated = self.values(repeated.unwrap());
        let features = self.target.forward(&rows(), &mut self.pool, &TAPS).unwrap();
        let logits = self.target.logits(&features.last).unwrap();
        let name = format!("{} {count} rows after {first}", self.gpu.name);
        assert_eq!(repeated, self.values((features, logits)), "{name}");
    }

    fn values(&self, (features, logits): (Features, Tensor<2>)) -> Vec<Vec<f32>> {
        let all = features.taps.into_iter().chain([features.last, logits]);
        let read = |x| pollster::block_on(self.gpu.ops.read(x)).unwrap();
        all.map(read).collect()
    }
}

#[test]
fn a_pass_that_is_repeated_has_the_bits_of_one_that_is_run() {
    let mut model = Tiny::new("llama", 2);
    model.context = 400;
    for gpu in gpus() {
        for dtype in [Dtype::F32, Dtype::Q4] {
            let target = model.load_on(&gpu.ops, dtype);
            let (config, ops) = (target.config(), &*gpu.ops);
            let heads = config.attention_heads();
            let pool = KvPool::new(ops, config.layers, 400, heads, DType::F32).unwrap();
            let mut text = Text {
                gpu,
                target: &target,
                pool,
                table: Table::default(),
            };
            // Two forms by turns, each often enough to be recorded.
            for _ in 0..12 {
                text.grow(1);
                text.grow(3);
            }
            // Beyond a span of positions there are other launches.
            text.grow(200);
            for _ in 0..24 {
                text.grow(1);
            }
            // A cache that somebody else holds moves when it is written, and stays behind.
            let held = text.pool.layer(1).clone();
            for _ in 0..12 {
                text.grow(1);
            }
            drop(held);
            for _ in 0..12 {
                text.grow(1);
            }
        }
    }
}

#[test]
fn what_fails_while_it_is_recorded_is_run_and_spoils_nothing() {
    for gpu in gpus() {
        let mut recorded = Recorded::default();
        let table = [0];
        let x = |value: f32| Tensor::<2>::full([1, 8], value, gpu.ops.device());
        let one = x(1.0);
        let (mut runs, mut value) = (0, 2.0);
        // What an input holds differs each time.
        let mut run = |recorded: &mut Recorded, fails: bool| {
            let mut rows = Rows::default();
            rows.add_table(&table);
            rows.push(0, 0, 0, 1, &[]);
            let mut pass = |inputs: &[Tensor<2>], _: &mut [Rows<'_>]| {
                runs += 1;
                // The second of a recording's two.
                if fails && runs % 2 == 1 {
                    return Err(eaglet_core::Error::Device("as it was told".into()));
                }
                Ok(vec![gpu.ops.concat(&[one.clone(), inputs[0].clone()], 0)?])
            };
            value += 1.0;
            let found = gpu
                .ops
                .repeat(recorded, &[x(value)], &mut [rows], &mut pass);
            found.map(|found| (found, value))
        };
        for _ in 0..7 {
            run(&mut recorded, false).unwrap();
        }
        // It is run instead, and is told what fails then.
        run(&mut recorded, true).unwrap();
        recorded = Recorded::default();
        for _ in 0..20 {
            let (mut found, value) = run(&mut recorded, false).unwrap();
            let found = pollster::block_on(gpu.ops.read(found.remove(0))).unwrap();
            assert_eq!(found, [[1.0; 8], [value; 8]].concat(), "{}", gpu.name);
        }
        // Seven, the two that failed and the one in their place; seven and two.
        assert_eq!(runs, 7 + 3 + 7 + 2, "{}", gpu.name);
    }
}
