//! What every device does with the levels of a tree that stay on it.

use std::path::Path;

use burn::tensor::{DType, Tensor, TensorData};
use eaglet_core::cache::Table;
use eaglet_core::ops::ranking::{self, RANKED};
use eaglet_core::ops::{Dice, Heads, Level, Ops, Rotary, Rows, levels};
use eaglet_core::sample::Sampling;
use eaglet_core::weights::{BlockFormat, Dtype, Matrix, TensorView};

use crate::numbers::spread;

const K: usize = 3;
const HIDDEN: usize = 96;
const TOKENS: usize = 64;
const SLOTS: usize = 40;
const HEADS: Heads = Heads {
    query: 2,
    kv: 1,
    dim: 16,
};

fn tensor(ops: &dyn Ops, values: Vec<f32>, rows: usize) -> Tensor<2> {
    let shape = [rows, values.len() / rows];
    Tensor::from_data(TensorData::new(values, shape), ops.device())
}

fn read(ops: &dyn Ops, x: Tensor<2>) -> Vec<f32> {
    pollster::block_on(ops.read(x)).unwrap()
}

/// Asserts that a tree grows on the device as it would on the host, three levels deep, and
/// that its rows are then worth what rows are that the host filled in: to the bit.
pub fn grow_on_the_device(ops: &dyn Ops, device: &str) {
    let map: Vec<f32> = (0..40).map(|i| (i * 7 % TOKENS) as f32).collect();
    for mapped in [false, true] {
        let ids = mapped.then(|| tensor(ops, map.clone(), 1));
        let map = mapped.then_some(&map[..]);
        let pairs = [11, 7, 2, 30, 5];
        let (mut here, mut there): (Vec<Rows<'_>>, Vec<Rows<'_>>) = Default::default();
        let mut scores: Option<(Tensor<2>, Vec<f32>)> = None;
        let mut branched = false;
        for depth in 1..=3 {
            let above = if depth == 1 { 1 } else { K };
            // So near one another that the best have several parents.
            let logits = spread(depth as u64, above * 40);
            let logits = logits.iter().map(|v| v * 0.05).collect();
            let logits = tensor(ops, logits, above);
            let outputs = tensor(ops, spread(20 + depth as u64, above * HIDDEN), above);
            let found = ops.candidates(&logits, K).unwrap();
            assert_eq!(found.dims(), [above, 2 * K], "{device}");
            let known = read(ops, found.clone());

            let on_device = scores.as_ref().map(|(chosen, _)| chosen);
            let on_host = scores.as_ref().map(|(_, chosen)| &chosen[..]);
            let chosen = ops.frontier(&found, on_device).unwrap();
            let expected = levels::frontier(&known, 2 * K, on_host);
            assert_eq!(read(ops, chosen.clone()), expected, "{device} {depth}");

            let slots: Vec<u32> = (0..K as u32).map(|i| (9 * depth as u32 + i) % 40).collect();
            let (mut rows, mut known_rows) =
                (placed(&slots, depth, &pairs), placed(&slots, depth, &pairs));
            ops.stage(&rows).unwrap();
            let level = Level {
                found: &found,
                outputs: &outputs,
                rows: here.last(),
            };
            let features = ops.descend(&level, &chosen, ids.as_ref(), &mut rows);
            let above = there.last();
            let parents = levels::settle(&mut known_rows, above, (&known, 2 * K), &expected, map);
            branched |= parents.iter().any(|&parent| parent != parents[0]);
            let selected = ops.select(&outputs, &parents).unwrap();
            assert_eq!(
                read(ops, features.unwrap()),
                read(ops, selected),
                "{device} {depth}"
            );
            assert_eq!(seen(ops, &rows), seen(ops, &known_rows), "{device} {depth}");
            here.push(rows);
            there.push(known_rows);
            scores = Some((chosen, expected));
        }
        assert!(branched, "{device}");
    }
}

/// Asserts that rows take the places that they are told, and what happens where there are
/// fewer candidates than are asked for.
pub fn take_the_places_they_are_told(ops: &dyn Ops, device: &str) {
    let values = vec![f32::NEG_INFINITY, 1.0, f32::NEG_INFINITY, 0.5];
    let found = ops.candidates(&tensor(ops, values, 1), 3).unwrap();
    let chosen = read(ops, ops.frontier(&found, None).unwrap());
    assert_eq!(
        (chosen[0], chosen[2], chosen[4]),
        (0.0, 1.0, -1.0),
        "{device}"
    );
    let outputs = tensor(ops, spread(3, HIDDEN), 1);
    let level = Level {
        found: &found,
        outputs: &outputs,
        rows: None,
    };
    let mut rows = placed(&[20, 21, 22], 1, &[3]);
    let places = ops.places(&[1, 0, 2]).unwrap();
    let features = ops.descend(&level, &places, None, &mut rows).unwrap();
    let features = read(ops, features);
    assert_eq!(features.len(), 3 * HIDDEN);
    let row = read(ops, outputs.clone());
    assert!(features.chunks(HIDDEN).all(|features| features == row));
    let table = table(ops, Dtype::F32);
    let embedded = read(ops, ops.embed_rows(&table, &rows).unwrap());
    let known = read(ops, ops.embed(&table, &[3, 1]).unwrap());
    assert_eq!(embedded[..2 * HIDDEN], known[..], "{device}");
}

/// Asserts that of trees of several sizes a device finds the nodes that the host finds, and makes
/// the same rows of them, to the bit.
pub fn rank_what_grew(ops: &dyn Ops, device: &str) {
    let map: Vec<f32> = (0..TOKENS).map(|i| (i * 7 % TOKENS) as f32).collect();
    // The smallest, a chain, more nodes than are ranked, the most candidates of the widest.
    for (k, below) in [(1, 0), (1, 4), (3, 3), (7, 5), (32, 2)] {
        for (mapped, hope) in [(false, 1.0), (true, 0.7)] {
            let name = format!("{device} {k} {below} {hope}");
            let grown = grown(k, below, hope);
            let (ids, known_ids) = (
                mapped.then(|| tensor(ops, map.clone(), 1)),
                mapped.then_some(&map[..]),
            );
            let rows = 1 + below * (k + 1);
            let ranked = ops
                .rank(&tensor(ops, grown.clone(), rows), ids.as_ref())
                .unwrap();
            let expected = ranking::rank(&grown, 2 * k, known_ids);
            let found = read(ops, ranked.clone());
            // Bits, since a chance may be no number.
            let bits =
                |values: &[f32]| -> Vec<u32> { values.iter().map(|v| v.to_bits()).collect() };
            assert_eq!(bits(&found), bits(&expected), "{name}");
            let there = ranking::nodes(&found).count();
            assert!(
                hope < 1.0 || there == RANKED.min(k + below * k * k),
                "{name}: {there}"
            );

            // As many rows as nodes, fewer, and some for which there may be no node.
            for count in [1, (there / 2).max(1), (there + 3).min(12)] {
                let table = [11, 7, 2, 30, 5];
                let rows = || {
                    let mut rows = Rows::default();
                    rows.add_table(&table);
                    rows.push(1, 12, 0, 5, &[12]);
                    for slot in (0..count as u32).map(|node| (13 + node) % SLOTS as u32) {
                        rows.push(0, slot, 0, 5, &vec![slot; below + 2]);
                    }
                    rows
                };
                let (mut here, mut known) = (rows(), rows());
                ops.stage(&here).unwrap();
                ops.settle(&ranked, &mut here).unwrap();
                ranking::settle(&expected, &mut known);
                assert_eq!(seen(ops, &here), seen(ops, &known), "{name} {count}");
                // A recording settles rows twice.
                ops.settle(&ranked, &mut here).unwrap();
                assert_eq!(seen(ops, &here), seen(ops, &known), "{name} {count}");
            }
        }
    }
}

/// What is found for a tree with `k` children a node and `below` levels below the root's, of
/// which a share is worth a node: places rise, as those that were chosen do, and some rows stand
/// for nothing.
fn grown(k: usize, below: usize, hope: f32) -> Vec<f32> {
    let chance = |v: f32| match v > 2.0 * hope - 1.0 {
        true => f32::NAN,
        // So near one another that many are equal.
        false => (v * 8.0).round() * 0.125 - 1.0,
    };
    let found = |seed: u64, rows: usize| -> Vec<f32> {
        let chances = spread(seed, rows * k).into_iter().map(chance).zip(0..);
        chances
            .flat_map(|(chance, i)| match i % k > 2 && hope < 0.9 {
                true => [-1.0, -1.0],
                false => [(i % TOKENS) as f32, chance],
            })
            .collect()
    };
    let mut all = found(50, 1);
    let mut above: Option<Vec<f32>> = None;
    let mut last = all.clone();
    for level in 0..below {
        let chosen = levels::frontier(&last, 2 * k, above.as_deref());
        let next = found(51 + level as u64, k);
        all.extend([&chosen[..], &next].concat());
        (above, last) = (Some(chosen), next);
    }
    all
}

/// Asserts that tokens after rows of nodes are drawn with the die of the node's depth.
pub fn draw_after_nodes(ops: &dyn Ops, device: &str) {
    let (k, below) = (3, 3);
    let grown = tensor(ops, grown(k, below, 1.0), 1 + below * (k + 1));
    let ranked = ops.rank(&grown, None).unwrap();
    let known = read(ops, ranked.clone());
    let logits: Vec<f32> = spread(60, 12 * 500).iter().map(|v| v * 6.0).collect();
    let logits = tensor(ops, logits, 12);
    let die = |depth: usize| {
        let sampling = Sampling {
            temperature: 0.4 + depth as f32,
            top_k: [0, 40, 0, 9, 1][depth],
            top_p: [1.0, 1.0, 0.9, 0.8, 1.0][depth],
            ..Default::default()
        };
        sampling.die(depth)
    };
    let depths = ranking::nodes(&known).map(|node| node.depth);
    let each: Vec<_> = [0].into_iter().chain(depths).take(12).map(die).collect();
    let dice = Dice::new((0..=below + 1).map(die).collect());
    let drawn = pollster::block_on(async {
        let (found, values) = ops
            .draw_settled(&logits, Some(&dice), &ranked)
            .await
            .unwrap();
        assert_eq!(
            found,
            ops.draw(&logits, &Dice::new(each)).await.unwrap(),
            "{device}"
        );
        assert_eq!(values, known, "{device}");
        let (best, values) = ops.draw_settled(&logits, None, &ranked).await.unwrap();
        let best: Vec<_> = best
            .iter()
            .map(|pick| pick.map(|pick| pick.drawn))
            .collect();
        assert_eq!(best, ops.argmax(&logits).await.unwrap(), "{device}");
        assert_eq!(values, known, "{device}");
        found
    });
    assert!(drawn.iter().all(Option::is_some), "{device}");
}

/// What operations make of rows: their tokens, embedded in every dtype, and what they attend
/// to.
fn seen(ops: &dyn Ops, rows: &Rows<'_>) -> Vec<f32> {
    let embedded = Dtype::ALL.map(|dtype| {
        let embedded = ops.embed_rows(&table(ops, dtype), rows);
        read(ops, embedded.unwrap())
    });
    // Every slot holds something of its own.
    let mut cache = ops.kv_layer(SLOTS, HEADS, DType::F32).unwrap();
    let mut text = Table::default();
    for slot in 0..SLOTS as u32 {
        text.commit(0, slot);
    }
    let all = text.rows(0..SLOTS);
    let rotary = Rotary {
        cos: tensor(ops, spread(31, SLOTS * 8), SLOTS),
        sin: tensor(ops, spread(32, SLOTS * 8), SLOTS),
    };
    let qkv = tensor(ops, spread(33, SLOTS * 64), SLOTS);
    let filled = ops.rotate_and_cache(qkv, HEADS, &rotary, None, &mut cache, &all);
    filled.unwrap();
    let queries = tensor(ops, spread(34, rows.len() * 32), rows.len());
    let mixed = ops.path_attention(&queries, HEADS, &cache, rows).unwrap();
    [embedded.concat(), read(ops, mixed)].concat()
}

/// Rows of which only the slots are known.
fn placed<'a>(slots: &[u32], depth: usize, pairs: &'a [u32]) -> Rows<'a> {
    let mut rows = Rows::default();
    let table = rows.add_table(pairs);
    for &slot in slots {
        rows.push(0, slot, table, pairs.len() as u32, &vec![slot; depth]);
    }
    rows
}

fn table(ops: &dyn Ops, dtype: Dtype) -> eaglet_core::ops::Weight {
    let values = spread(13, TOKENS * HIDDEN);
    let view = TensorView {
        name: "table".into(),
        shape: vec![TOKENS, HIDDEN],
        format: BlockFormat::F32,
        bytes: values
            .iter()
            .flat_map(|v| v.to_le_bytes())
            .collect::<Vec<_>>()
            .into(),
    };
    let table = Matrix::new(Path::new("test"), view, dtype).unwrap();
    ops.pack(&[table]).unwrap()
}
