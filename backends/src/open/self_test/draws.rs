//! Tokens are drawn to the bit as on the host.

use burn::tensor::{Tensor, TensorData};
use eaglet_core::error::Result;
use eaglet_core::ops::{Dice, Ops};
use eaglet_core::sample::die::{key, weight};
use eaglet_core::sample::{Die, Sampling, argmax};

use super::{spread, wrong};

const ROWS: usize = 4;
const WIDE: usize = 1003;

/// Draws where one unit of any weight, or of a key, would give another token.
pub(super) async fn draws(ops: &dyn Ops) -> Result<()> {
    let values = spread(25, ROWS * WIDE).into_iter();
    let mut values: Vec<f32> = values.map(|v| v * 12.0).collect();
    // A row of which little is left.
    values[3 * WIDE + 3..].fill(-200.0);
    let rows: Vec<&[f32]> = values.chunks_exact(WIDE).collect();
    let logits = Tensor::from_data(TensorData::new(values.clone(), [ROWS, WIDE]), ops.device());
    let dice = |top_k, top_p, change: &dyn Fn(&Keys, Die) -> Die| -> Vec<Die> {
        let die = |(row, logits): (usize, &&[f32])| {
            let sampling = Sampling {
                temperature: 1.0 + row as f32 / 4.0,
                top_k,
                top_p,
                ..Default::default()
            };
            let die = sampling.die(row);
            change(&Keys::new(logits, die.scale), die)
        };
        rows.iter().enumerate().map(die).collect()
    };
    let mut all = vec![
        dice(0, 1.0, &|keys, die| Die {
            random: keys.edge(WIDE / 2),
            ..die
        }),
        dice(0, 1.0, &|keys, die| Die {
            random: keys.edge(WIDE / 2) - 1,
            ..die
        }),
        dice(0, 1.0, &|keys, die| Die {
            random: u64::MAX,
            last: keys.0[WIDE - 1],
            ..die
        }),
        dice(0, 1.0, &|keys, die| Die {
            random: u64::MAX,
            last: keys.0[WIDE - 1] - 1,
            ..die
        }),
        dice(40, 0.9, &|_, die| die),
    ];
    // All that is left of the last row is in the draw, and its neighbours' are cut.
    all[4][3].top_k = u32::MAX;
    for dice in all {
        let known = dice.iter().zip(&rows);
        let known: Vec<_> = known.map(|(die, row)| die.draw(row)).collect();
        let found = ops.draw(&logits, &Dice::new(dice)).await?;
        if found != known {
            return Err(wrong("a draw", &format!("{found:?}, not {known:?}")));
        }
    }
    Ok(())
}

/// The keys of a row's tokens.
struct Keys(Vec<u32>);

impl Keys {
    fn new(logits: &[f32], scale: f32) -> Self {
        let most = logits[argmax(logits) as usize];
        Self(
            logits
                .iter()
                .map(|&logit| key(logit, most, scale))
                .collect(),
        )
    }

    /// The least random number that passes all tokens before one.
    fn edge(&self, token: usize) -> u64 {
        let weigh =
            |keys: &[u32]| -> u128 { keys.iter().map(|&key| u128::from(weight(key))).sum() };
        (weigh(&self.0[..token]) << 64).div_ceil(weigh(&self.0)) as u64
    }
}
