use serde_json::{Value, json};

use super::*;
use crate::weights::BlockFormat;

/// A safetensors file of zeros: name, number type, shape, bytes.
fn file(tensors: &[(&str, &str, &[usize], usize)]) -> Vec<u8> {
    let (mut header, mut at) = (serde_json::Map::new(), 0);
    for (name, dtype, shape, bytes) in tensors {
        let offsets = [at, at + bytes];
        let entry = json!({"dtype": dtype, "shape": shape, "data_offsets": offsets});
        header.insert((*name).into(), entry);
        at += bytes;
    }
    let header = Value::Object(header).to_string();
    let mut out = (header.len() as u64).to_le_bytes().to_vec();
    out.extend(header.as_bytes());
    out.resize(out.len() + at, 0);
    out
}

fn config(tied: Value) -> Vec<u8> {
    let config = json!({
        "model_type": "qwen2", "hidden_size": 8, "intermediate_size": 16,
        "num_hidden_layers": 1, "num_attention_heads": 2, "vocab_size": 3,
        "max_position_embeddings": 64, "rms_norm_eps": 1e-6, "tie_word_embeddings": tied
    });
    config.to_string().into_bytes()
}

const EMBEDDING: (&str, &str, &[usize], usize) = ("model.embed_tokens.weight", "BF16", &[3, 8], 48);
const HEAD: (&str, &str, &[usize], usize) = ("lm_head.weight", "F16", &[3, 8], 48);

fn folder(tied: Value, files: &[Vec<u8>]) -> Result<SafetensorsFolder> {
    let files = files
        .iter()
        .enumerate()
        .map(|(i, bytes)| (format!("{i}.safetensors"), bytes.clone()));
    SafetensorsFolder::from_bytes(Path::new("m"), &config(tied), files.collect())
}

fn refusal(files: &[Vec<u8>]) -> String {
    folder(Value::Null, files).err().unwrap().to_string()
}

#[test]
fn tensors_of_all_shards_are_found() {
    let folder = folder(json!(false), &[file(&[EMBEDDING]), file(&[HEAD])]).unwrap();
    let head = folder.tensor(Role::Head).unwrap().unwrap();
    assert_eq!(
        (head.shape, head.format, head.bytes.len()),
        (vec![3, 8], BlockFormat::F16, 48)
    );
    let names: Vec<_> = folder
        .tensors()
        .into_iter()
        .map(|tensor| tensor.name)
        .collect();
    assert_eq!(names, [EMBEDDING.0, HEAD.0]);
    assert!(folder.tensor(Role::Up(0)).unwrap().is_none());
    assert_eq!(folder.config().unwrap().architecture, "qwen2");
    folder.release(Role::Embedding);
}

#[test]
fn heads_follow_the_configuration() {
    let both = [file(&[EMBEDDING, HEAD])];
    let one = [file(&[EMBEDDING])];
    let head = |tied, files| {
        folder(tied, files)
            .unwrap()
            .tensor(Role::Head)
            .map(|head| head.is_some())
    };
    assert!(
        !head(json!(true), &both).unwrap(),
        "tied, though there is a stale head"
    );
    assert!(head(Value::Null, &both).unwrap());
    assert!(!head(Value::Null, &one).unwrap());
    let message = head(json!(false), &one).unwrap_err().to_string();
    assert_eq!(message, "m: tensor `lm_head.weight` is missing");
}

#[test]
fn broken_files_are_refused_by_name() {
    let good = file(&[EMBEDDING]);
    let cases = [
        (
            vec![good.clone(), good.clone()],
            "m/1.safetensors: not a valid safetensors file: another shard also holds `model.embed_tokens.weight`",
        ),
        (
            vec![good[..20].to_vec()],
            "m/0.safetensors: not a valid safetensors file: truncated within a header of 82 bytes",
        ),
        (
            vec![good[..good.len() - 1].to_vec()],
            "m/0.safetensors: not a valid safetensors file: the tensors need 48 bytes, found 47",
        ),
        (
            vec![file(&[("w", "I64", &[2], 16)])],
            "m/0.safetensors: tensor `w`: number type I64 is not supported; supported: F32, F16, BF16",
        ),
        (
            vec![file(&[("a.o_proj.bias", "F32", &[2], 8)])],
            "m: the bias `a.o_proj.bias` is not supported; supported: q_proj.bias, k_proj.bias, v_proj.bias",
        ),
    ];
    for (files, expected) in cases {
        assert_eq!(refusal(&files), expected);
    }
}

#[test]
fn sizes_near_the_end_of_the_integers_are_refused() {
    let size = (1 << 61) - 1;
    let tensors: Vec<_> = (0..8)
        .map(|i| (format!("t{i}"), i * size, (i + 1) * size))
        .collect();
    let header = tensors.iter().map(|(name, begin, end): &(String, usize, usize)| {
        format!(r#""{name}": {{"dtype": "U8", "shape": [{size}], "data_offsets": [{begin}, {end}]}}"#)
    });
    let header = format!("{{{}}}", header.collect::<Vec<_>>().join(","));
    let bytes = [&(header.len() as u64).to_le_bytes(), header.as_bytes()].concat();
    let message = refusal(&[bytes]);
    assert!(
        message.ends_with("the tensors need 18446744073709551608 bytes, found 0"),
        "{message}"
    );
}

#[test]
fn a_folder_on_disk_in_one_file_or_in_shards() {
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, bytes: &[u8]| std::fs::write(folder.path().join(name), bytes).unwrap();
    let open = || SafetensorsFolder::open(folder.path());
    let message = || open().err().unwrap().to_string();

    write("config.json", &config(Value::Null));
    assert!(message().contains("model.safetensors: "), "{}", message());

    let index = |embedding: &str| {
        let map = json!({"weight_map": {EMBEDDING.0: embedding, HEAD.0: "b.safetensors"}});
        write(index::FILE, map.to_string().as_bytes());
    };
    index("a.safetensors");
    write("a.safetensors", &file(&[EMBEDDING]));
    assert!(message().contains("b.safetensors: "), "{}", message());

    write("b.safetensors", &file(&[HEAD]));
    assert!(open().unwrap().tensor(Role::Head).unwrap().is_some());

    index("b.safetensors");
    assert!(
        message().ends_with("`b.safetensors` does not hold the tensor `model.embed_tokens.weight`")
    );
    index("../b.safetensors");
    assert!(
        message().contains("a shard must be a file in the folder"),
        "{}",
        message()
    );

    write("model.safetensors", &file(&[EMBEDDING]));
    assert_eq!(
        open().unwrap().tensors().len(),
        1,
        "one file comes before the index"
    );
}

#[test]
fn mutations_never_panic() {
    let good = file(&[EMBEDDING, HEAD]);
    for at in 0..good.len() - 96 {
        for bit in 0..8 {
            let mut bytes = good.clone();
            bytes[at] ^= 1 << bit;
            if let Ok(folder) = folder(Value::Null, &[bytes]) {
                let _ = (folder.tensor(Role::Embedding), folder.tensor(Role::Head));
            }
        }
        let _ = folder(Value::Null, &[good[..at].to_vec()]);
    }
}
