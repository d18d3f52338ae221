//! Trees that grow on the device, and the rows that verify them.

use burn::tensor::Tensor;
use eaglet_core::error::Result;
use eaglet_core::ops::{Dice, Level, Ops, Rows};
use eaglet_core::sample::Sampling;
use eaglet_core::weights::Dtype;

use super::{INPUTS, OUTPUTS, On, compare, wrong};

/// Children of a node.
const K: usize = 5;

/// A tree of two levels: as it grows, and as it is verified.
pub(super) async fn trees(ops: &dyn Ops, reference: &dyn Ops) -> Result<()> {
    let (here, there) = (grow(ops).await?, grow(reference).await?);
    for (here, there) in here.iter().zip(&there) {
        compare("a tree", here, there)?;
    }
    let (here, there) = (verify(ops).await?, verify(reference).await?);
    match here == there {
        true => Ok(()),
        false => Err(wrong("a tree's draw", &format!("{here:?}, not {there:?}"))),
    }
}

/// Two levels of a tree and their nodes by rank; and what is read of each on the way.
async fn grow(ops: &dyn Ops) -> Result<Vec<Vec<f32>>> {
    let on = On(ops);
    let (found, outputs) = (
        ops.candidates(&on.matrix(21, 1, OUTPUTS), K)?,
        on.matrix(24, 1, 8),
    );
    let level = Level {
        found: &found,
        outputs: &outputs,
        rows: None,
    };
    let mut rows = rows(0, 1);
    let chosen = ops.frontier(&found, None)?;
    let features = ops.descend(&level, &chosen, None, &mut rows)?;
    let embedded = ops.embed_rows(&on.weight(Dtype::F32)?, &rows)?;
    let below = ops.candidates(&on.matrix(26, K, OUTPUTS), K)?;
    let ranked = ops.rank(&ops.concat(&[found, chosen.clone(), below], 0)?, None)?;
    let mut read = Vec::new();
    for x in [chosen, features, embedded, ranked] {
        read.push(on.read(x).await?);
    }
    Ok(read)
}

/// What rows of a tree's nodes embed, and what is drawn after them: nodes that are known to the
/// bit, so that this is too.
async fn verify(ops: &dyn Ops) -> Result<(Vec<f32>, String)> {
    let on = On(ops);
    let found = [[7.0, -0.5, 3.0, -1.5], [0.0, -0.5, 1.0, -1.5]];
    let below = [[11.0, -0.25, 30.0, -4.0], [2.0, -0.125, 9.0, -8.0]];
    let values = [found.as_flattened(), below.as_flattened()].concat();
    let data = burn::tensor::TensorData::new(values, [4, 4]);
    let ranked = ops.rank(&Tensor::from_data(data, ops.device()), None)?;
    let mut rows = rows(1, 3);
    ops.settle(&ranked, &mut rows)?;
    let embedded = ops.embed_rows(&on.weight(Dtype::F32)?, &rows)?;
    let logits = on.matrix(27, rows.len(), INPUTS);
    let dice = (0..4).map(|depth| {
        let sampling = Sampling {
            temperature: 0.5 + depth as f32,
            ..Default::default()
        };
        sampling.die(depth)
    });
    let dice = Dice::new(dice.collect());
    let drawn = ops.draw_settled(&logits, Some(&dice), &ranked).await?;
    let likeliest = ops.draw_settled(&logits, None, &ranked).await?;
    let embedded = on.read(embedded).await?;
    Ok((embedded, format!("{drawn:?} {likeliest:?}")))
}

/// Rows of which only the slots are known, after `roots` that are.
fn rows(roots: usize, depth: usize) -> Rows<'static> {
    let mut rows = Rows::default();
    let table = rows.add_table(&[0]);
    for slot in 1..=(roots + K) as u32 {
        let length = if slot as usize <= roots { 1 } else { depth };
        rows.push(0, slot, table, 1, &vec![slot; length]);
    }
    rows
}
