//! Tokens drawn on the device are those that the host draws from the same logits.

use burn::tensor::{Tensor, TensorData};
use eaglet_core::draft::{Drafter, Plain};
use eaglet_core::engine::Watch;
use eaglet_core::ops::Dice;
use eaglet_core::sample::die::{NOTHING, key, weight};
use eaglet_core::sample::{Die, Sampling, argmax};
use eaglet_core::weights::Dtype;
use eaglet_tests::decode::{decode, options, session};
use eaglet_tests::devices::gpus;
use eaglet_tests::drafters::Bushy;
use eaglet_tests::numbers::spread;
use eaglet_tests::tiny::{Tiny, VOCAB};

/// Everything that can leave tokens out, alone and together.
fn samplings() -> Vec<Sampling> {
    let warm = |top_k, top_p, min_p| Sampling {
        temperature: 0.8,
        top_k,
        top_p,
        min_p,
        seed: 5,
        ..Default::default()
    };
    vec![
        warm(0, 1.0, 0.0),
        warm(1, 1.0, 0.0),
        warm(7, 1.0, 0.0),
        warm(0, 0.9, 0.0),
        warm(0, 1.0, 0.2),
        warm(40, 0.95, 0.05),
        warm(0, 1e-6, 1.0),
        Sampling {
            temperature: 1e-6,
            ..warm(40, 0.9, 0.0)
        },
        Sampling {
            temperature: 1e6,
            ..warm(40, 0.9, 0.0)
        },
        Sampling::default(),
    ]
}

#[test]
fn a_device_draws_what_the_host_draws() {
    for gpu in gpus() {
        for width in [1, 2, 63, 130, 4097, 49_152] {
            // Sharp rows and flat ones, some with many equal logits, one that is no number.
            let mut rows: Vec<Vec<f32>> = (0..5)
                .map(|row| {
                    let values = spread(40 + row, width).into_iter();
                    let size = [0.0, 0.5, 3.0, 20.0, 200.0][row as usize];
                    let round = |v: f32| if row == 2 { v.round() } else { v };
                    values.map(|v| round(v * size)).collect()
                })
                .collect();
            rows[4][width / 2] = f32::NEG_INFINITY;
            rows.push(vec![f32::NAN; width]);
            let data = TensorData::new(rows.concat(), [rows.len(), width]);
            let logits = Tensor::<2>::from_data(data, gpu.ops.device());
            let check = |dice: Vec<Die>| {
                let known: Vec<_> = dice.iter().zip(&rows).map(|(d, row)| d.draw(row)).collect();
                let what = format!("{} {width} {dice:?}", gpu.name);
                let found = pollster::block_on(gpu.ops.draw(&logits, &Dice::new(dice)));
                assert_eq!(found.unwrap(), known, "{what}");
            };
            for sampling in samplings() {
                for first in [0, 100, 200] {
                    check(
                        (0..rows.len())
                            .map(|row| sampling.die(first + row))
                            .collect(),
                    );
                }
            }
            // Rows that are drawn in different ways.
            let mixed = samplings().into_iter().take(rows.len());
            check(mixed.map(|sampling| sampling.die(7)).collect());
            // Where one unit of any weight would give another token.
            for token in [0, width / 3, width - 1] {
                for less in [0, 1] {
                    let die = |(row, logits): (usize, &Vec<f32>)| Die {
                        random: edge(logits, token).saturating_sub(less),
                        ..samplings()[0].die(row)
                    };
                    check(rows.iter().enumerate().map(die).collect());
                }
            }
            // The first and the last place of all.
            for random in [0, u64::MAX] {
                let die = samplings()[0].die(0);
                check(vec![Die { random, ..die }; rows.len()]);
            }
        }
    }
}

/// The least random number that passes all tokens before one.
fn edge(logits: &[f32], token: usize) -> u64 {
    let most = logits[argmax(logits) as usize];
    let scale = samplings()[0].die(0).scale;
    let weigh = |logits: &[f32]| -> u128 {
        let weights = logits.iter().map(|&logit| weight(key(logit, most, scale)));
        weights.map(u128::from).sum()
    };
    (weigh(&logits[..token]) << 64).div_ceil(weigh(logits).max(1)) as u64
}

/// Fewer tokens are left than top-k asks for: none that is not there may weigh anything, also
/// where a neighbour's draw is cut and the row's own is not.
#[test]
fn what_is_not_there_weighs_nothing() {
    let mut row = vec![-200.0; 300];
    (row[0], row[1]) = (0.0, -1.0);
    // The likeliest token is all that is needed, to the unit.
    let total: u64 = [row[0], row[1]]
        .map(|logit| u64::from(weight(key(logit, 0.0, std::f32::consts::LOG2_E))))
        .iter()
        .sum();
    let left_out = ((u128::from(total - (1 << 31)) << 32) / u128::from(total)) as u32 + 1;
    let die = |top_k| Die {
        scale: std::f32::consts::LOG2_E,
        top_k,
        left_out,
        last: NOTHING - 1,
        random: u64::MAX,
    };
    for gpu in gpus() {
        let data = TensorData::new([&row[..], &row].concat(), [2, 300]);
        let logits = Tensor::<2>::from_data(data, gpu.ops.device());
        for dice in [
            [die(40), die(40)],
            [die(u32::MAX), die(40)],
            [die(u32::MAX); 2],
        ] {
            let known = dice.map(|die| die.draw(&row));
            let found = pollster::block_on(gpu.ops.draw(&logits, &Dice::new(dice.to_vec())));
            assert_eq!(found.unwrap(), known, "{} {dice:?}", gpu.name);
        }
    }
}

/// A watch that wants logits, and so has tokens drawn on the host.
struct Looks(Vec<u32>);

impl Watch for Looks {
    fn emitted(&mut self, _: usize, token: u32) -> bool {
        self.0.push(token);
        false
    }

    fn wants_logits(&self) -> bool {
        true
    }
}

#[test]
fn who_draws_changes_no_token() {
    for gpu in gpus() {
        let target = Tiny::new("llama", 2).load_on(&gpu.ops, Dtype::F32);
        let prompt = [9, 8, 7, 40];
        for sampling in samplings() {
            let run = |drafter| decode(&target, &prompt, options(&sampling, 30, drafter)).ids;
            let plain = run(Box::new(Plain));
            let tokens = [&prompt[..], &plain].concat();
            let vocab = VOCAB as u32;
            let bushy = || -> Box<dyn Drafter> {
                Box::new(Bushy {
                    tokens: tokens.clone(),
                    vocab,
                })
            };
            let what = format!("{} {sampling:?}", gpu.name);
            assert_eq!(run(bushy()), plain, "{what}");
            let mut session = session(&target, 1);
            session.open(options(&sampling, 30, bushy())).unwrap();
            let mut looks = Looks(Vec::new());
            pollster::block_on(async {
                session.prompt(0, &prompt, &mut looks).await.unwrap();
                while !session.round(&mut looks).await.unwrap().is_empty() {}
            });
            assert_eq!(looks.0, plain, "{what}");
        }
    }
}
