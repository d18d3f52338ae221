//! Any bytes as a GGUF file: an error or a checkpoint, never a panic.
#![no_main]

use std::path::Path;

use eaglet_core::weights::{Checkpoint, Dtype, Gguf, Matrix, Role};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let Ok(gguf) = Gguf::from_bytes(Path::new("fuzz.gguf"), bytes.to_vec()) else {
        return;
    };
    let _ = gguf.config();
    // A permuted tensor and one that is read where it lies.
    for role in [Role::QueryWeight(0), Role::Embedding] {
        if let Ok(Some(view)) = gguf.tensor(role) {
            for dtype in Dtype::ALL {
                if let Ok(matrix) = Matrix::new(gguf.path(), view.clone(), dtype) {
                    assert!(matrix.to_f32().iter().all(|value| value.is_finite()));
                }
            }
        }
    }
});
