//! The default model against values computed elsewhere (`golden/`): f32 arithmetic on
//! the same weights.

#![allow(missing_docs, clippy::unwrap_used)]

use std::sync::Arc;

use eaglet_backends::cpu::CpuOps;
use eaglet_core::model::{LoadOptions, Transformer};
use eaglet_core::ops::Rows;
use eaglet_core::text::{Detokenizer, Message, Special, TextAssets, encode_chat};
use eaglet_core::weights::{Dtype, ModelFile};
use eaglet_tests::default_model;
use serde::Deserialize;

#[derive(Deserialize)]
struct Golden {
    tokenize: Vec<Tokenized>,
    greedy: Vec<Greedy>,
}

#[derive(Deserialize)]
struct Tokenized {
    text: String,
    ids: Vec<u32>,
    ids_parse_special: Vec<u32>,
}

#[derive(Deserialize)]
struct Greedy {
    messages: Vec<Message>,
    prompt: String,
    prompt_ids: Vec<u32>,
    last_logits_top10: Vec<(u32, f32)>,
    last_logits_mean: f32,
    last_logits_std: f32,
    last_hidden_prenorm_l2: f32,
    greedy_ids: Vec<u32>,
    gap: Vec<f32>,
    text: String,
}

fn golden() -> Golden {
    let path = concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/golden/smollm2-135m-instruct-q4_1.public.json"
    );
    serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap()
}

fn file() -> Option<ModelFile> {
    default_model::path().map(|path| ModelFile::open(&path).unwrap())
}

#[test]
fn every_tokenisation_is_equal() {
    let Some(file) = file() else { return };
    let text = TextAssets::open(&file).unwrap();
    let template = text.template.unwrap();
    for case in golden().tokenize {
        let encode = |special| text.tokenizer.encode(&case.text, special).unwrap();
        assert_eq!(encode(Special::Plain), case.ids, "{:?}", case.text);
        assert_eq!(
            encode(Special::Parse),
            case.ids_parse_special,
            "{:?}",
            case.text
        );
    }
    for case in golden().greedy {
        assert_eq!(template.render(&case.messages, true).unwrap(), case.prompt);
        let ids = encode_chat(&text.tokenizer, &template, &case.messages, true).unwrap();
        assert_eq!(ids, case.prompt_ids);
        let decoded = text.tokenizer.decode(&case.greedy_ids, true).unwrap();
        assert_eq!(decoded, case.text);
        let mut stream = Detokenizer::new(text.tokenizer.clone(), true);
        let pieces: String = case
            .greedy_ids
            .iter()
            .map(|&id| stream.push(id).unwrap())
            .collect();
        assert_eq!(pieces + &stream.finish(), case.text);
    }
}

/// Logits of every row from the last prompt token on, the golden answer fed back, and
/// the length of the first of these rows' features.
fn replay(target: &Transformer, case: &Greedy) -> (Vec<Vec<f32>>, f32) {
    let ops = target.ops();
    let config = target.config();
    let answer = &case.greedy_ids[..case.greedy_ids.len() - 1];
    let tokens = [&case.prompt_ids[..], answer].concat();
    let dtype = match target.dtype() {
        Dtype::F32 => burn::tensor::DType::F32,
        _ => burn::tensor::DType::F16,
    };
    let heads = config.attention_heads();
    let (layers, slots) = (config.layers, tokens.len());
    let mut pool = eaglet_core::cache::KvPool::new(&**ops, layers, slots, heads, dtype).unwrap();
    let slots = pool.reserve(slots).unwrap();
    let mut rows = Rows::default();
    let table = rows.add_table(&slots);
    for (i, &token) in tokens.iter().enumerate() {
        rows.push(token, slots[i], table, i as u32 + 1, &[]);
    }
    let features = target.forward(&rows, &mut pool, &[]).unwrap();
    let wanted: Vec<u32> = (case.prompt_ids.len() as u32 - 1..tokens.len() as u32).collect();
    let wanted = ops.select(&features.last, &wanted).unwrap();
    let hidden = pollster::block_on(ops.read(wanted.clone())).unwrap();
    let squares = hidden[..config.hidden].iter().map(|v| v * v);
    let logits = pollster::block_on(ops.read(target.logits(&wanted).unwrap())).unwrap();
    let rows = logits.chunks_exact(config.vocab).map(<[f32]>::to_vec);
    (rows.collect(), squares.sum::<f32>().sqrt())
}

/// How far a logit of the default model may be from f32 arithmetic, by dtype. f16 rounds
/// the cache and the norms' neighbours of the dequantised weights; 8-bit activations
/// (blocks of 32) cost far more, and re-quantised weights (q8 from the file's 4 bits) no
/// more than that. Measured maxima over the golden file stand in docs/performance.md.
fn bound(dtype: Dtype) -> f32 {
    match dtype {
        Dtype::F32 => 1e-3,
        Dtype::F16 => 0.05,
        Dtype::Q8 | Dtype::Q4 => 1.0,
    }
}

#[test]
fn logits_and_greedy_ids_match_in_every_dtype() {
    let Some(file) = file() else { return };
    for dtype in Dtype::ALL {
        let options = LoadOptions {
            dtype: Some(dtype),
            context: Some(512),
        };
        let ops = Arc::new(CpuOps::new(2));
        let target = Transformer::load(&file, ops, options, |_, _| {}).unwrap();
        let bound = bound(dtype);
        let mut worst = 0f32;
        for case in golden().greedy {
            let (rows, hidden) = replay(&target, &case);
            for &(id, logit) in &case.last_logits_top10 {
                worst = worst.max((rows[0][id as usize] - logit).abs());
            }
            let count = rows[0].len() as f32;
            let mean = rows[0].iter().sum::<f32>() / count;
            let square = rows[0].iter().map(|v| (v - mean).powi(2)).sum::<f32>() / count;
            assert!(
                (mean - case.last_logits_mean).abs() < bound,
                "{dtype} mean {mean}"
            );
            assert!((square.sqrt() - case.last_logits_std).abs() < bound);
            assert!((hidden / case.last_hidden_prenorm_l2 - 1.0).abs() < bound / 10.0);
            for (step, row) in rows.iter().enumerate() {
                let id = eaglet_core::sample::argmax(row);
                // A choice may only flip where the two best logits are closer than that.
                assert!(
                    id == case.greedy_ids[step] || case.gap[step] < bound,
                    "{dtype}: {:?} step {step}: {id}, gap {}",
                    case.prompt,
                    case.gap[step]
                );
                if dtype == Dtype::F32 {
                    assert_eq!(id, case.greedy_ids[step], "{:?} step {step}", case.prompt);
                }
            }
        }
        println!("{dtype}: largest difference of a listed logit {worst}");
        assert!(worst < bound, "{dtype}: {worst}");
    }
}
