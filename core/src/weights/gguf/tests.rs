mod config;
mod hostile;

use super::*;
use crate::weights::GgufWriter;
use crate::weights::{BlockFormat, Dtype, Matrix};

const NAME: &str = "m.gguf";

fn read(bytes: Vec<u8>) -> Result<Gguf> {
    Gguf::from_bytes(Path::new(NAME), bytes)
}

fn refusal(bytes: Vec<u8>) -> String {
    read(bytes).err().unwrap().to_string()
}

fn floats(values: impl IntoIterator<Item = f32>) -> Vec<u8> {
    values.into_iter().flat_map(f32::to_le_bytes).collect()
}

/// A model of two heads of four dimensions; `changes` override or add metadata.
fn model(architecture: &str, changes: &[(&str, Value)]) -> GgufWriter {
    let mut metadata: Vec<(String, Value)> = vec![(
        "general.architecture".into(),
        Value::String(architecture.into()),
    )];
    let sizes = [
        ("embedding_length", 8),
        ("feed_forward_length", 16),
        ("block_count", 1),
        ("attention.head_count", 2),
        ("context_length", 64),
    ];
    metadata.extend(sizes.map(|(key, size)| (format!("{architecture}.{key}"), Value::U32(size))));
    let epsilon = format!("{architecture}.attention.layer_norm_rms_epsilon");
    metadata.push((epsilon, Value::F32(1e-5)));
    for (key, value) in changes {
        let key = key.replace("{arch}", architecture);
        metadata.retain(|(other, _)| *other != key);
        metadata.push((key, value.clone()));
    }
    let writer = metadata
        .iter()
        .fold(GgufWriter::new(), |writer, (key, value)| {
            writer.metadata(key, value.clone())
        });
    writer
        .tensor(
            "token_embd.weight",
            &[3, 8],
            BlockFormat::F32,
            floats((0..24).map(|i| i as f32)),
        )
        .tensor(
            "blk.0.attn_q.weight",
            &[8, 8],
            BlockFormat::F32,
            floats((0..64).map(|i| (i / 8) as f32)),
        )
        .tensor(
            "blk.0.attn_k.bias",
            &[4],
            BlockFormat::F32,
            floats([0.0, 1.0, 2.0, 3.0]),
        )
        .tensor(
            "blk.0.ffn_up.weight",
            &[2, 32],
            BlockFormat::Q4_1,
            vec![0; 40],
        )
}

#[test]
fn metadata_of_every_type_comes_back() {
    let values = [
        ("u8", Value::U8(1)),
        ("i8", Value::I8(-1)),
        ("u16", Value::U16(2)),
        ("i16", Value::I16(-2)),
        ("u32", Value::U32(3)),
        ("i32", Value::I32(-3)),
        ("u64", Value::U64(u64::MAX)),
        ("i64", Value::I64(i64::MIN)),
        ("f32", Value::F32(0.5)),
        ("f64", Value::F64(-0.25)),
        ("bool", Value::Bool(true)),
        ("string", Value::String("é".into())),
        (
            "strings",
            Value::Array(Array::String(vec!["a".into(), String::new()])),
        ),
        ("floats", Value::Array(Array::F32(vec![1.0, -2.5]))),
        ("ints", Value::Array(Array::I32(vec![1, 2, -3]))),
        ("bytes", Value::Array(Array::U8(vec![7, 8]))),
        ("bools", Value::Array(Array::Bool(vec![true, false]))),
    ];
    let writer = GgufWriter::new();
    let writer = values.iter().fold(writer, |writer, (key, value)| {
        writer.metadata(key, value.clone())
    });
    let gguf = read(writer.finish()).unwrap();
    for (key, value) in &values {
        assert_eq!(gguf.metadata(key), Some(value));
    }
    assert_eq!(gguf.all_metadata().count(), values.len());
    let get = |key| gguf.metadata(key).unwrap();
    assert_eq!(
        (get("u8").as_u64(), get("i8").as_u64(), get("f32").as_u64()),
        (Some(1), None, None)
    );
    assert_eq!(
        (get("f64").as_f64(), get("i16").as_f64()),
        (Some(-0.25), Some(-2.0))
    );
    assert_eq!(
        (get("bool").as_bool(), get("u8").as_bool()),
        (Some(true), None)
    );
    assert_eq!(
        (get("string").as_str(), get("bool").as_str()),
        (Some("é"), None)
    );
    assert_eq!(get("strings").as_strings().unwrap(), ["a", ""]);
    assert_eq!(get("floats").as_f32s().unwrap(), [1.0, -2.5]);
    assert_eq!(get("ints").as_f32s().unwrap(), [1.0, 2.0, -3.0]);
    assert_eq!(
        (get("ints").as_u64s(), get("bytes").as_u64s()),
        (None, Some(vec![7, 8]))
    );
}

#[test]
fn tensors_come_out_where_they_went_in() {
    for alignment in [32, 8, 4096] {
        let bytes = model("qwen2", &[("general.alignment", Value::U32(alignment))]).finish();
        let gguf = read(bytes).unwrap();
        let embedding = gguf.tensor(Role::Embedding).unwrap().unwrap();
        assert_eq!(
            (embedding.shape, embedding.format),
            (vec![3, 8], BlockFormat::F32)
        );
        assert_eq!(embedding.bytes, floats((0..24).map(|i| i as f32)));
        let up = gguf.tensor(Role::Up(0)).unwrap().unwrap();
        assert!(matches!(up.bytes, Cow::Borrowed(_)));
        assert_eq!(up.bytes.len(), 40);
        assert!(gguf.tensor(Role::Head).unwrap().is_none());
        assert_eq!(gguf.tensors().len(), 4);
        gguf.release(Role::Up(0));
    }
}

#[test]
fn only_llama_has_its_rows_unpermuted() {
    let first = |architecture, role| {
        let gguf = read(model(architecture, &[]).finish()).unwrap();
        let view = gguf.tensor(role).unwrap().unwrap();
        let matrix = Matrix::new(gguf.path(), view, Dtype::F32).unwrap();
        matrix.to_f32()
    };
    let rows = |architecture| -> Vec<f32> {
        first(architecture, Role::QueryWeight(0))
            .into_iter()
            .step_by(8)
            .collect()
    };
    assert_eq!(rows("llama"), [0.0, 2.0, 1.0, 3.0, 4.0, 6.0, 5.0, 7.0]);
    assert_eq!(rows("qwen3"), [0.0, 1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0]);
    assert_eq!(first("llama", Role::KeyBias(0)), [0.0, 2.0, 1.0, 3.0]);
    assert_eq!(first("qwen2", Role::KeyBias(0)), [0.0, 1.0, 2.0, 3.0]);
}

#[test]
fn rows_that_are_not_whole_heads_are_refused() {
    let writer = model("llama", &[]).tensor(
        "blk.0.attn_k.weight",
        &[6, 8],
        BlockFormat::F32,
        vec![0; 192],
    );
    let gguf = read(writer.finish()).unwrap();
    let message = gguf.tensor(Role::KeyWeight(0)).unwrap_err().to_string();
    assert!(message.contains(
        "`blk.0.attn_k.weight`: expected whole rows, a multiple of the head dimension 4"
    ));
}

#[test]
fn version_2_is_read_alike() {
    let mut bytes = model("llama", &[]).finish();
    bytes[4] = 2;
    assert_eq!(read(bytes).unwrap().config().unwrap().hidden, 8);
}

#[test]
fn a_front_that_ends_too_soon_is_told_from_a_broken_file() {
    let bytes = model("llama", &[]).finish();
    let path = Path::new(NAME);
    let whole = Header::parse(path, &bytes, bytes.len()).unwrap().unwrap();
    let mut needed = None;
    for end in 0..bytes.len() {
        match Header::parse(path, &bytes[..end], bytes.len()).unwrap() {
            Some(header) => {
                needed.get_or_insert(end);
                assert_eq!(header.tensors.len(), whole.tensors.len());
            }
            None => {
                assert_eq!(needed, None, "{end} bytes are not enough");
                // The same bytes as all there is are a broken file.
                assert!(Header::parse(path, &bytes[..end], end).is_err());
            }
        }
    }
    assert!(needed.is_some_and(|needed| needed < bytes.len()));
    let ranges = Gguf::from_source(path, Arc::new(bytes.clone())).unwrap();
    let mapped = read(bytes).unwrap();
    for role in [Role::Embedding, Role::QueryWeight(0)] {
        let of = |gguf: &Gguf| gguf.tensor(role).unwrap().unwrap().bytes.into_owned();
        assert_eq!(of(&ranges), of(&mapped));
    }
}
