//! What every device does with the levels of a tree that stay on it.

use std::path::Path;

use burn::tensor::{DType, Tensor, TensorData};
use eaglet_core::cache::Table;
use eaglet_core::ops::{Heads, Level, Ops, Rotary, Rows, levels};
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
