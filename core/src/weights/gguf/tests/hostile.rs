//! Files that break the rules: refused with a reason, and never a panic.

use super::*;

/// A file of one tensor, and where its declaration's numbers start.
fn one_tensor() -> (Vec<u8>, usize) {
    let bytes = GgufWriter::new()
        .tensor("w", &[2, 3], BlockFormat::F32, vec![0; 24])
        .finish();
    // Magic, version, two counts; the name's length and the name.
    (bytes, 4 + 4 + 8 + 8 + 8 + 1)
}

#[test]
fn broken_declarations_are_refused_by_rule() {
    let patched = |offset: usize, patch: &[u8]| {
        let (mut bytes, at) = one_tensor();
        bytes[at + offset..][..patch.len()].copy_from_slice(patch);
        refusal(bytes)
    };
    let (type_at, offset_at) = (4 + 8 + 8, 4 + 8 + 8 + 4);
    let cases = [
        (
            patched(0, &5u32.to_le_bytes()),
            "tensor `w` must have 1 to 4 dimensions, found 5",
        ),
        (
            patched(0, &0u32.to_le_bytes()),
            "tensor `w` must have 1 to 4 dimensions, found 0",
        ),
        (
            patched(4, &0u64.to_le_bytes()),
            "tensor `w` has a dimension of 0",
        ),
        (
            patched(4, &u64::MAX.to_le_bytes()),
            "values in F32, or too large",
        ),
        (
            patched(type_at, &8u32.to_le_bytes()),
            "[2, 3] is not rows of whole blocks of 32 values in Q8_0, or too large",
        ),
        (
            patched(type_at, &16u32.to_le_bytes()),
            "tensor `w`: ggml type 16 is not supported; supported: F32, F16, BF16, Q4_0, Q4_1, Q5_0, Q5_1, Q8_0, Q4_K, Q5_K, Q6_K",
        ),
        (
            patched(offset_at, &8u64.to_le_bytes()),
            "tensor `w` must start at a multiple of 32, found offset 8",
        ),
        (
            patched(offset_at, &32u64.to_le_bytes()),
            "truncated: tensor `w` needs 24 bytes at 96 + 32, the file has 128",
        ),
        (
            patched(offset_at, &(u64::MAX - 31).to_le_bytes()),
            "needs 24 bytes at 96 + 18446744073709551584, the file has 128",
        ),
    ];
    for (message, expected) in cases {
        assert!(
            message.starts_with(NAME) && message.ends_with(expected),
            "{message}"
        );
    }
}

#[test]
fn broken_fronts_are_refused_by_rule() {
    let (file, _) = one_tensor();
    let patched = |offset: usize, patch: &[u8]| {
        let mut bytes = file.clone();
        bytes[offset..][..patch.len()].copy_from_slice(patch);
        refusal(bytes)
    };
    let twice = |key: &str| {
        let writer = GgufWriter::new()
            .metadata("a", Value::U8(1))
            .metadata(key, Value::U8(1));
        let tensor = |writer: GgufWriter, name: &str| {
            writer.tensor(name, &[1], BlockFormat::F32, vec![0; 4])
        };
        refusal(tensor(tensor(writer, "t"), "t").finish())
    };
    let alignment = |value| {
        refusal(
            GgufWriter::new()
                .metadata("general.alignment", value)
                .finish(),
        )
    };
    let cases = [
        (patched(0, b"GGML"), "must start with `GGUF`, found `GGML`"),
        (
            patched(4, &1u32.to_le_bytes()),
            "GGUF version 1 is not supported; supported: little-endian versions 2 and 3",
        ),
        (
            patched(4, &3u32.to_be_bytes()),
            "big-endian GGUF is not supported; supported: little-endian versions 2 and 3",
        ),
        (
            patched(8, &u64::MAX.to_le_bytes()),
            "tensor `` must have 1 to 4 dimensions, found 0",
        ),
        (
            refusal(b"GG".to_vec()),
            "truncated: magic at byte 0 needs 1 x 4 bytes, 2 are left",
        ),
        (
            patched(24, &u64::MAX.to_le_bytes()),
            "truncated: tensor name at byte 32 needs 18446744073709551615 x 1 bytes, 96 are left",
        ),
        (twice("a"), "metadata key `a` occurs twice"),
        (twice("b"), "tensor `t` occurs twice"),
        (
            alignment(Value::U32(24)),
            "general.alignment must be a u32 and a power of two, found U32(24)",
        ),
        (
            alignment(Value::U64(32)),
            "general.alignment must be a u32 and a power of two, found U64(32)",
        ),
    ];
    for (message, expected) in cases {
        assert!(
            message.starts_with(NAME) && message.ends_with(expected),
            "{message}"
        );
    }
}

#[test]
fn hostile_arrays_do_not_allocate() {
    for array in [
        Array::U64(vec![1]),
        Array::String(vec!["x".into()]),
        Array::Bool(vec![true]),
    ] {
        let mut bytes = GgufWriter::new()
            .metadata("a", Value::Array(array))
            .finish();
        // After the front, the key, and the two type numbers.
        let count = 24 + 9 + 8;
        bytes[count..][..8].copy_from_slice(&(1u64 << 60).to_le_bytes());
        let message = refusal(bytes);
        assert!(
            message.contains("truncated: a at byte 49 needs 1152921504606846976 x "),
            "{message}"
        );
    }
    let mut nested = GgufWriter::new()
        .metadata("a", Value::Array(Array::U8(vec![1])))
        .finish();
    nested[24 + 9 + 4] = 9;
    assert!(refusal(nested).ends_with("`a` is an array of unknown element type 9"));
}

/// Everything that reads a file; only its not panicking matters.
fn exercise(bytes: Vec<u8>) -> bool {
    let Ok(gguf) = read(bytes) else { return false };
    let roles = [
        Role::Embedding,
        Role::QueryWeight(0),
        Role::KeyBias(0),
        Role::Up(0),
    ];
    for role in roles {
        if let Ok(Some(view)) = gguf.tensor(role) {
            for dtype in Dtype::ALL {
                let _ = Matrix::new(gguf.path(), view.clone(), dtype);
            }
        }
    }
    gguf.config().is_ok()
}

#[test]
fn mutations_never_panic() {
    let strings = Value::Array(Array::String(vec!["a".into(), "bc".into()]));
    let changes = [("tokens", strings), ("general.alignment", Value::U32(16))];
    let file = model("llama", &changes).finish();
    assert!(exercise(file.clone()));
    for length in 0..file.len() {
        exercise(file[..length].to_vec());
    }
    // A linear congruential generator, so that a failure can be repeated.
    let mut state = 1u64;
    let mut random = |below: usize| {
        state = state
            .wrapping_mul(6364136223846793005)
            .wrapping_add(1442695040888963407);
        (state >> 33) as usize % below
    };
    let mut survived = 0;
    for _ in 0..6000 {
        let mut bytes = file.clone();
        for _ in 0..=random(3) {
            let at = random(bytes.len());
            bytes[at] = match random(3) {
                0 => bytes[at] ^ 1 << random(8),
                1 => 0xFF,
                _ => random(256) as u8,
            };
        }
        survived += usize::from(exercise(bytes));
    }
    assert!(
        (1..6000).contains(&survived),
        "{survived} mutants were valid"
    );
}
