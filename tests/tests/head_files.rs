//! Files of EAGLE heads: what is written is read back, in every format, and a file that
//! does not fit is refused by name.

#![allow(missing_docs, clippy::unwrap_used)]

use std::path::Path;

use eaglet_core::draft::{Head, load_head};
use eaglet_core::model::Transformer;
use eaglet_core::weights::{
    Array, BlockFormat, Dtype, Gguf, GgufWriter, NamedTensors, SafetensorsWriter, Value, dequantize,
};
use eaglet_tests::heads::{self, Kind, TinyHead, logits};
use eaglet_tests::numbers::spread;
use eaglet_tests::tiny::{HIDDEN, Tiny};

const KINDS: [Kind; 2] = [Kind::Eagle1, Kind::Eagle3];

fn gguf(bytes: &[u8], target: &Transformer, dtype: Dtype) -> eaglet_core::Result<Box<dyn Head>> {
    load_head(
        NamedTensors::from_bytes(Path::new("head.gguf"), bytes)?,
        b"",
        target,
        dtype,
    )
}

#[test]
fn what_is_written_is_what_is_read() {
    let target = Tiny::new("llama", 1).load(Dtype::F32);
    for kind in KINDS {
        for dim in [16, 32] {
            let mut tiny = TinyHead::random(kind, 3);
            tiny.dim = dim;
            tiny.theta = 500.0;
            tiny.stretch = 4.0;
            if kind == Kind::Eagle3 {
                tiny.norm_before_residual = true;
                tiny.norm_output = true;
                tiny.set("input_norm.weight", &[3 * HIDDEN], 1.0);
            }
            for bias in ["q", "k", "v"] {
                let layer = if kind == Kind::Eagle1 {
                    "layers.0"
                } else {
                    "midlayer"
                };
                let rows = if bias == "q" { 64 } else { 32 };
                tiny.set(&format!("{layer}.self_attn.{bias}_proj.bias"), &[rows], 0.1);
            }
            let file = tiny.head_file();
            for dtype in Dtype::ALL {
                let wanted = logits(&*tiny.load(&target, dtype), &target);
                let bytes = file.safetensors(Dtype::F32).unwrap();
                let found = heads::load(&bytes, &file.config, &target, dtype).unwrap();
                assert_eq!(logits(&*found, &target), wanted, "{kind:?} {dtype}");
            }
            // Matrices lie in q8_0: what is loaded in q8 anyway loses nothing more.
            let found = gguf(&file.gguf().unwrap(), &target, Dtype::Q8).unwrap();
            let wanted = logits(&*tiny.load(&target, Dtype::Q8), &target);
            assert_eq!(logits(&*found, &target), wanted, "{kind:?} {dim}");
            // What half precision can hold comes back from it as it was.
            for (_, values) in tiny.tensors.values_mut() {
                let half = |v: &mut f32| *v = half::f16::from_f32(*v).to_f32();
                values.iter_mut().for_each(half);
            }
            let file = tiny.head_file().safetensors(Dtype::F16).unwrap();
            let found = heads::load(&file, &tiny.settings(), &target, Dtype::F32).unwrap();
            let wanted = logits(&*tiny.load(&target, Dtype::F32), &target);
            assert_eq!(logits(&*found, &target), wanted, "{kind:?} {dim}");
        }
    }
}

#[test]
fn an_eagle3_gguf_has_llamacpps_names_and_keys() {
    let bytes = TinyHead::random(Kind::Eagle3, 3)
        .head_file()
        .gguf()
        .unwrap();
    let file = NamedTensors::from_bytes(Path::new("head.gguf"), &bytes).unwrap();
    let names: Vec<_> = file
        .tensors()
        .map(|t| (t.name.to_owned(), t.format))
        .collect();
    let expected = [
        ("blk.0.attn_k.weight", "Q8_0"),
        ("blk.0.attn_norm.weight", "F32"),
        ("blk.0.attn_norm_2.weight", "F32"),
        ("blk.0.attn_output.weight", "Q8_0"),
        ("blk.0.attn_q.weight", "Q8_0"),
        ("blk.0.attn_v.weight", "Q8_0"),
        ("blk.0.ffn_down.weight", "F16"),
        ("blk.0.ffn_gate.weight", "Q8_0"),
        ("blk.0.ffn_norm.weight", "F32"),
        ("blk.0.ffn_up.weight", "Q8_0"),
        ("d2t", "I64"),
        ("fc.weight", "Q8_0"),
        ("output.weight", "Q8_0"),
        ("output_norm.weight", "F32"),
    ];
    assert_eq!(
        names,
        expected.map(|(name, format)| (name.to_owned(), format.to_owned()))
    );
    let key = |name: &str| file.metadata(&format!("eagle3.{name}")).unwrap().clone();
    assert_eq!(
        key("extract_layers"),
        Value::Array(Array::U32(vec![0, 1, 2]))
    );
    assert_eq!(key("attention.head_count").as_u64(), Some(4));
    assert_eq!(key("attention.head_count_kv").as_u64(), Some(2));
    assert_eq!(key("block_count").as_u64(), Some(1));
    // The ids themselves, not offsets.
    let mut file = file;
    let ids = file.integers("d2t", heads::DRAFT_VOCAB).unwrap();
    assert_eq!((ids[0], ids[1], ids[39]), (0, 2, 78));
}

/// An EAGLE-1 head whose matrices have random bytes of a format, and the same decoded.
fn encoded(format: BlockFormat) -> (Vec<u8>, Vec<u8>) {
    let tiny = TinyHead::random(Kind::Eagle1, 5);
    let mut decoded = tiny.clone();
    decoded.set("layers.0.mlp.down_proj.weight", &[HIDDEN, 96], 0.0);
    for part in ["gate", "up"] {
        decoded.set(
            &format!("layers.0.mlp.{part}_proj.weight"),
            &[96, HIDDEN],
            0.0,
        );
    }
    let mut writer = GgufWriter::new()
        .metadata("general.architecture", Value::String("eagle".into()))
        .metadata("eagle.attention.head_count", Value::U32(4))
        .metadata("eagle.attention.layer_norm_rms_epsilon", Value::F32(1e-6));
    for (seed, (name, (shape, values))) in decoded.tensors.iter_mut().enumerate() {
        let name = name.replace("layers.0.", "");
        if shape.len() == 1 {
            writer = writer.values(&name, shape, Dtype::F32, values).unwrap();
            continue;
        }
        let size = format.bytes_for(values.len()).unwrap();
        let noise = spread(seed as u64, size);
        let mut bytes: Vec<u8> = noise.iter().map(|v| (v * 127.0) as i8 as u8).collect();
        for block in bytes.chunks_exact_mut(format.block_bytes()) {
            let half = |v: f32| half::f16::from_f32(v).to_le_bytes();
            match format {
                BlockFormat::F32 => block.copy_from_slice(&noise[0].to_le_bytes()),
                BlockFormat::F16 | BlockFormat::BF16 => block[1] = 0x3C | block[1] & 0x80,
                BlockFormat::Q4_1 | BlockFormat::Q5_1 => {
                    block[..2].copy_from_slice(&half(0.03));
                    block[2..4].copy_from_slice(&half(-0.2));
                }
                _ => block[..2].copy_from_slice(&half(0.003)),
            }
        }
        dequantize(format, &bytes, values);
        writer = writer.tensor(&name, shape, format, bytes);
    }
    (writer.finish(), decoded.file(str::to_owned, false))
}

#[test]
fn quantised_heads_are_what_their_blocks_say() {
    let target = Tiny::new("llama", 1).load(Dtype::F32);
    // Those of 32 values a block; a tiny head has no rows of 256.
    let formats = BlockFormat::ALL.into_iter().filter(|f| f.block_len() <= 32);
    for format in formats {
        let (file, decoded) = encoded(format);
        let found = gguf(&file, &target, Dtype::F32).unwrap();
        let wanted = heads::load(&decoded, &TinyHead::config(), &target, Dtype::F32).unwrap();
        let wanted = logits(&*wanted, &target);
        assert!(wanted.iter().any(|v| v.abs() > 1e-3));
        assert_eq!(logits(&*found, &target), wanted, "{format}");
    }
}

#[test]
fn heads_that_do_not_fit_are_refused_by_name() {
    let target = Tiny::new("llama", 1).load(Dtype::F32);
    let refused = |change: fn(&mut TinyHead), named: &str| {
        let mut head = TinyHead::random(Kind::Eagle3, 1);
        change(&mut head);
        let file = head.file(str::to_owned, false);
        let error = heads::load(&file, &TinyHead::config(), &target, Dtype::F32);
        let error = error.err().unwrap().to_string();
        assert!(error.contains(named), "{error} does not name {named}");
    };
    refused(
        |h| drop(h.tensors.remove("norm.weight")),
        "`norm.weight` is missing",
    );
    refused(
        |h| drop(h.tensors.remove("lm_head.weight")),
        "lm_head.weight",
    );
    refused(
        |h| h.tensors.get_mut("fc.weight").unwrap().1[5] = f32::NAN,
        "fc.weight",
    );
    refused(
        |h| {
            drop(
                h.tensors
                    .insert("extra.weight".into(), (vec![1], vec![0.0])),
            )
        },
        "extra.weight",
    );
    refused(
        |h| {
            drop(
                h.tensors
                    .insert("fc.weight".into(), (vec![64, 96], vec![0.0; 64 * 96])),
            )
        },
        "expected shape [64, 192], found [64, 96]",
    );
    for (name, values) in [
        ("d2t", vec![0, 0]),      // An id twice.
        ("d2t", vec![-1, 0]),     // Below the vocabulary.
        ("d2t", vec![100, 1000]), // Beyond it.
    ] {
        let mut head = TinyHead::random(Kind::Eagle3, 1).head_file();
        let mut ids: Vec<i64> = (0..heads::DRAFT_VOCAB as i64).collect();
        ids[38..].copy_from_slice(&values);
        head.ids = None;
        head.tensors.retain(|(name, ..)| name != "d2t");
        let writer = head
            .tensors
            .iter()
            .fold(SafetensorsWriter::new(), |w, (n, s, v)| {
                w.values(n, s, Dtype::F32, v).unwrap()
            });
        let file = writer.integers(name, &ids).finish().unwrap();
        let error = heads::load(&file, &TinyHead::config(), &target, Dtype::F32);
        let error = error.err().unwrap().to_string();
        assert!(error.contains("head.safetensors: tensor `d2t`"), "{error}");
    }
    let file = TinyHead::random(Kind::Eagle3, 1).file(str::to_owned, false);
    for cut in [4, 100, file.len() - 1] {
        let error = heads::load(&file[..cut], &TinyHead::config(), &target, Dtype::F32);
        assert!(
            error
                .err()
                .unwrap()
                .to_string()
                .contains("head.safetensors")
        );
    }
    refused(
        |h| drop(h.tensors.insert("fc.weight".into(), (vec![], vec![0.0]))),
        "fc.weight",
    );
    refused(
        |h| {
            h.tensors.remove("midlayer.self_attn.q_proj.weight");
        },
        "self_attn.q_proj.weight",
    );
    // Half as wide as the target, with no embedding of its own.
    refused(
        |h| {
            drop(
                h.tensors
                    .insert("fc.weight".into(), (vec![32, 192], vec![0.0; 32 * 192])),
            )
        },
        "embed_tokens.weight",
    );
    let config = |key: &str, value: serde_json::Value| {
        let mut config = TinyHead::config();
        config[key] = value;
        let error = heads::load(&file, &config, &target, Dtype::F32);
        error.err().unwrap().to_string()
    };
    let taps = serde_json::json!({ "eagle_aux_hidden_state_layer_ids": [0, 1, 9] });
    assert!(config("eagle_config", taps).contains("[0, 1, 9]"));
    assert!(config("rope_theta", 0.into()).contains("rope_theta 0"));
    assert!(config("rms_norm_eps", (-1e9).into()).contains("rms_norm_eps"));
    let stretched =
        |kind: &str, factor: f64| serde_json::json!({ "rope_type": kind, "factor": factor });
    assert!(config("rope_scaling", stretched("yarn", 8.0)).contains("yarn"));
    assert!(config("rope_scaling", stretched("llama3", 8.0)).contains("low_freq_factor"));
    let error = config("rope_scaling", stretched("linear", -2.0));
    assert!(error.contains("RoPE scaling factor -2"), "{error}");
}

#[test]
fn heads_for_another_target_are_refused() {
    let target = Tiny::new("llama", 1).load(Dtype::F32);
    let refused = |head: &TinyHead, config: serde_json::Value, parts: &[&str]| {
        let file = head.file(str::to_owned, false);
        let error = heads::load(&file, &config, &target, Dtype::F32);
        let error = error.err().unwrap().to_string();
        for part in ["head.safetensors"].iter().chain(parts) {
            assert!(error.contains(part), "{error} does not say {part}");
        }
    };
    let mut other = TinyHead::random(Kind::Eagle1, 1);
    other.set("embed_tokens.weight", &[500, HIDDEN], 0.0);
    refused(
        &other,
        TinyHead::config(),
        &["embed_tokens.weight", "[500, 64]", "[96, 64]"],
    );
    let mut config = TinyHead::config();
    config["vocab_size"] = 500.into();
    refused(
        &TinyHead::random(Kind::Eagle1, 1),
        config,
        &["vocabulary of 500", "96"],
    );
    let mut other = TinyHead::random(Kind::Eagle1, 1);
    other.set("fc.weight", &[128, 256], 0.0);
    refused(
        &other,
        TinyHead::config(),
        &["fc.weight", "[64, 128]", "[128, 256]"],
    );
    let mut other = TinyHead::random(Kind::Eagle3, 1);
    other.set("t2d", &[500], 0.0);
    refused(&other, TinyHead::config(), &["`t2d`", "[96]", "[500]"]);
    // Norms that the configuration promises and the file has not.
    for (flag, missing) in [("norm_before_fc", "input_norm"), ("fc_norm", "fc_norm.0")] {
        let mut config = TinyHead::config();
        config[flag] = true.into();
        refused(
            &TinyHead::random(Kind::Eagle3, 1),
            config,
            &[missing, "is missing"],
        );
    }
    // A head that fuses nothing has its target's width.
    let mut config = TinyHead::config();
    config["use_aux_hidden_state"] = false.into();
    let mut narrow = TinyHead::random(Kind::Eagle3, 1);
    narrow.set("midlayer.hidden_norm.weight", &[32], 1.0);
    refused(&narrow, config, &["hidden_norm.weight", "[64]", "[32]"]);
}

#[test]
fn gguf_heads_that_do_not_fit_are_refused_by_name() {
    let target = Tiny::new("llama", 1).load(Dtype::F32);
    let refused = |bytes: &[u8], parts: &[&str]| {
        let error = gguf(bytes, &target, Dtype::Q8).err().unwrap().to_string();
        for part in ["head.gguf"].iter().chain(parts) {
            assert!(error.contains(part), "{error} does not say {part}");
        }
    };
    let file = TinyHead::random(Kind::Eagle3, 1).head_file();
    let whole = file.gguf().unwrap();
    for cut in [3, 40, 700, whole.len() - 40] {
        let error = gguf(&whole[..cut], &target, Dtype::Q8).err().unwrap();
        assert!(
            error.to_string().starts_with("head.gguf: not a valid "),
            "{error}"
        );
    }
    refused(
        &Tiny::new("llama", 1).gguf(),
        &["architecture `llama`", "eagle, eagle3"],
    );
    for (name, said) in [
        ("norm.weight", "`norm.weight` is missing"),
        (
            "midlayer.hidden_norm.weight",
            "`hidden_norm.weight` is missing",
        ),
        (
            "midlayer.self_attn.k_proj.weight",
            "`self_attn.k_proj.weight` is missing",
        ),
    ] {
        let mut head = file.clone();
        head.tensors.retain(|(found, ..)| found != name);
        // Without its second norm it would be written as a head of EAGLE-1.
        let bytes = match name.contains("hidden_norm") {
            false => head.gguf().unwrap(),
            true => {
                let text = b"blk.0.attn_norm_2.weight";
                let at = whole.windows(text.len()).position(|w| w == text).unwrap();
                let mut bytes = whole.clone();
                bytes[at..at + text.len()].copy_from_slice(b"blk.0.attn_norm_3.weight");
                bytes
            }
        };
        refused(&bytes, &[said]);
    }
    let mut head = file.clone();
    head.ids = Some((60..60 + heads::DRAFT_VOCAB as u32).collect());
    refused(&head.gguf().unwrap(), &["`d2t`", "below 96"]);
    let mut head = file.clone();
    head.tensors
        .push(("extra.weight".into(), vec![32], vec![0.0; 32]));
    refused(&head.gguf().unwrap(), &["`extra.weight`", "no such tensor"]);
    // Rows that are no whole heads cannot be put in order.
    let mut head = file.clone();
    head.config["head_dim"] = 24.into();
    assert!(
        head.gguf()
            .unwrap_err()
            .to_string()
            .contains("whole heads of 24")
    );
    // Values that no file should hold are not written.
    let mut head = file;
    head.tensors[0].2[7] = f32::NAN;
    let name = head.tensors[0].0.clone();
    assert!(head.gguf().unwrap_err().to_string().contains("NaN"));
    assert!(
        head.safetensors(Dtype::F32)
            .unwrap_err()
            .to_string()
            .contains(&name)
    );
}

#[test]
fn a_model_with_tensors_of_integers_still_opens() {
    let writer = GgufWriter::new().metadata("general.architecture", Value::String("x".into()));
    let file = writer.integers("ids", &[1, 2, 3]).finish();
    let gguf = Gguf::from_bytes(Path::new("m.gguf"), file).unwrap();
    assert_eq!(gguf.architecture(), Some("x"));
}
