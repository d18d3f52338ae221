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
    fn grow(&mut self, recorded: &mut Recorded, count: usize) {
        let first = self.table.len() as u64;
        let random = |at| (uniform(7, at) * VOCAB as f64) as u32;
        let tokens: Vec<u32> = (first..first + count as u64).map(random).collect();
        let slots = self.pool.reserve(count).unwrap();
        for (&token, &slot) in tokens.iter().zip(&slots) {
            self.table.commit(token, slot);
        }
        let all = self.table.len();
        let rows = || self.table.rows(all - count..all);
        let repeated = self.target.repeat(recorded, &rows(), &mut self.pool, &TAPS);
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
                gpu: &gpu,
                target: &target,
                pool,
                table: Table::default(),
            };
            let mut recorded = Recorded::default();
            // Two forms by turns, each often enough to be recorded.
            for _ in 0..12 {
                text.grow(&mut recorded, 1);
                text.grow(&mut recorded, 3);
            }
            // Beyond a span of positions there are other launches.
            text.grow(&mut recorded, 200);
            for _ in 0..24 {
                text.grow(&mut recorded, 1);
            }
            // A cache that somebody else holds moves when it is written, and stays behind.
            let held = text.pool.layer(1).clone();
            for _ in 0..12 {
                text.grow(&mut recorded, 1);
            }
            drop(held);
            for _ in 0..12 {
                text.grow(&mut recorded, 1);
            }
        }
    }
}

#[test]
fn what_fails_while_it_is_recorded_is_an_error_and_spoils_nothing() {
    for gpu in gpus() {
        let mut recorded = Recorded::default();
        let table = [0];
        let mut rows = Rows::default();
        rows.add_table(&table);
        rows.push(0, 0, 0, 1, &[]);
        let x = |value: f32| Tensor::<2>::full([1, 8], value, gpu.ops.device());
        let (one, two) = (x(1.0), x(2.0));
        let mut runs = 0;
        let mut run = |recorded: &mut Recorded, fails: bool| {
            let mut pass = || {
                runs += 1;
                // The second of a recording's two.
                if fails && runs % 2 == 1 {
                    return Err(eaglet_core::Error::Device("as it was told".into()));
                }
                Ok(vec![gpu.ops.concat(&[one.clone(), two.clone()], 0)?])
            };
            gpu.ops.repeat(recorded, &rows, &mut pass)
        };
        for _ in 0..7 {
            run(&mut recorded, false).unwrap();
        }
        let error = run(&mut recorded, true).unwrap_err().to_string();
        assert!(error.contains("as it was told"), "{error}");
        for _ in 0..12 {
            let found = run(&mut recorded, false).unwrap().remove(0);
            let found = pollster::block_on(gpu.ops.read(found)).unwrap();
            assert_eq!(found, [[1.0; 8], [2.0; 8]].concat(), "{}", gpu.name);
        }
        assert!(runs < 7 + 2 + 12, "{}: nothing was repeated", gpu.name);
    }
}
