//! Trees that grow on the device, and the rows that verify them.

use burn::tensor::{Tensor, TensorData};
use eaglet_core::error::{Error, Result};
use eaglet_core::ops::{Dice, Level, Ops, Rows, ranking};
use eaglet_core::sample::{self, Pick, Sampling};
use eaglet_core::weights::Dtype;

use super::{INPUTS, OUTPUTS, On, compare, spread, wrong};

/// Children of a node.
const K: usize = 5;

/// A tree of two levels: as it grows, and as it is verified.
pub(super) async fn trees(ops: &dyn Ops, reference: &dyn Ops) -> Result<()> {
    let (here, there) = (grow(ops).await?, grow(reference).await?);
    for (here, there) in here.iter().zip(&there) {
        compare("a level of a tree", here, there)?;
    }
    verify(ops, reference).await
}

/// What becomes of a level of a tree.
async fn grow(ops: &dyn Ops) -> Result<[Vec<f32>; 3]> {
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
    Ok([
        on.read(chosen).await?,
        on.read(features).await?,
        on.read(embedded).await?,
    ])
}

/// Nodes by rank, of a tree that is known to the bit; what their rows embed, and what is drawn
/// after them.
async fn verify(ops: &dyn Ops, reference: &dyn Ops) -> Result<()> {
    const GROWN: [[f32; 4]; 4] = [
        [7.0, -0.5, 3.0, -1.5],
        [0.0, -0.5, 1.0, -1.5],
        [11.0, -0.25, 30.0, -4.0],
        [2.0, -0.125, 9.0, -8.0],
    ];
    let settled = async |ops: &dyn Ops| {
        let data = TensorData::new(GROWN.as_flattened().to_vec(), [4, 4]);
        let ranked = ops.rank(&Tensor::from_data(data, ops.device()), None)?;
        let mut rows = rows(1, 3);
        ops.settle(&ranked, &mut rows)?;
        let embedded = ops.embed_rows(&On(ops).weight(Dtype::F32)?, &rows)?;
        let embedded = ops.read(embedded).await?;
        Ok::<_, Error>((ranked, embedded))
    };
    let ((ranked, embedded), (known, known_embedded)) =
        (settled(ops).await?, settled(reference).await?);
    let known = reference.read(known).await?;
    compare("rows of nodes", &embedded, &known_embedded)?;

    let die = |depth| {
        let sampling = Sampling {
            temperature: 0.5 + depth as f32,
            ..Default::default()
        };
        sampling.die(depth)
    };
    let values = spread(27, (1 + K) * INPUTS);
    let depths = ranking::nodes(&known).map(|node| node.depth);
    let rows = [0].into_iter().chain(depths).zip(values.chunks(INPUTS));
    let drawn: Vec<_> = rows.map(|(depth, row)| die(depth).draw(row)).collect();
    let best = values
        .chunks(INPUTS)
        .map(|row| sample::best(row).map(Pick::likeliest));
    let best: Vec<_> = best.collect();

    let logits = On(ops).matrix(27, 1 + K, INPUTS);
    let dice = Dice::new((0..3).map(die).collect());
    for (dice, picks) in [(Some(&dice), drawn), (None, best)] {
        let found = ops.draw_settled(&logits, dice, &ranked).await?;
        let known = (picks, known.clone());
        if found != known {
            return Err(wrong("a tree", &format!("{found:?}, not {known:?}")));
        }
    }
    Ok(())
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
