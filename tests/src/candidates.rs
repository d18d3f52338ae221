//! What every device does with candidates that stay on it.

use std::path::Path;

use burn::tensor::{Tensor, TensorData};
use eaglet_core::ops::Ops;
use eaglet_core::weights::{BlockFormat, Dtype, Matrix, TensorView};

use crate::numbers::spread;

/// Asserts that candidates are embedded as their tokens are, to the bit.
pub fn are_embedded_as_their_tokens(ops: &dyn Ops, device: &str) {
    let tensor = |values: Vec<f32>, rows: usize| {
        let shape = [rows, values.len() / rows];
        Tensor::<2>::from_data(TensorData::new(values, shape), ops.device())
    };
    let read = |x| pollster::block_on(ops.read(x)).unwrap();
    // Some index's token, below 64.
    let map: Vec<f32> = (0..40).map(|i| (i * 7 % 64) as f32).collect();
    let ids = tensor(map.clone(), 1);
    let logits = tensor(spread(12, 3 * 40), 3);
    let found = ops.candidates(&logits, 4).unwrap();
    assert_eq!(found.dims(), [3, 8], "{device}");
    let known = pollster::block_on(ops.top_k(&logits, 4)).unwrap();
    let places = [0, 5, 11, 2];
    let indices = places.map(|at: u32| known[at as usize / 4][at as usize % 4].0);
    // A row of fewer numbers than are asked for.
    let few = ops.candidates(&tensor(vec![f32::NEG_INFINITY, 1.0], 1), 2);
    let few = few.unwrap();
    for dtype in Dtype::ALL {
        let bytes: Vec<u8> = spread(13, 64 * 96)
            .iter()
            .flat_map(|v| v.to_le_bytes())
            .collect();
        let view = TensorView {
            name: "table".into(),
            shape: vec![64, 96],
            format: BlockFormat::F32,
            bytes: bytes.into(),
        };
        let table = Matrix::new(Path::new("test"), view, dtype).unwrap();
        let table = ops.pack(&[table]).unwrap();
        for ids in [None, Some(&ids)] {
            let tokens = indices.map(|index| match ids {
                Some(_) => map[index as usize] as u32,
                None => index,
            });
            let there = ops.embed_candidates(&table, &found, &places, ids).unwrap();
            let here = ops.embed(&table, &tokens).unwrap();
            assert_eq!(read(there), read(here), "{device} {dtype}");
        }
        let nothing = ops.embed_candidates(&table, &few, &[1], None).unwrap();
        assert_eq!(nothing.dims(), [1, 96]);
    }
    let read = pollster::block_on(ops.read_candidates(few)).unwrap();
    assert_eq!(read, [[(1, 0.0)]], "{device}");
}
