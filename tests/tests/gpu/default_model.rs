//! The default model in f32 gives the golden file's ids: a prefill and a decode step.

use std::sync::Arc;

use eaglet_core::draft::Plain;
use eaglet_core::model::{LoadOptions, Transformer};
use eaglet_core::sample::Sampling;
use eaglet_core::weights::{Dtype, ModelFile};
use eaglet_tests::decode::{decode, options};
use eaglet_tests::default_model;
use eaglet_tests::devices::gpus;

#[test]
fn a_prefill_and_a_decode_step_give_the_golden_ids() {
    let Some(path) = default_model::path() else {
        return;
    };
    let golden = concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/golden/smollm2-135m-instruct-q4_1.public.json"
    );
    let golden: serde_json::Value =
        serde_json::from_str(&std::fs::read_to_string(golden).unwrap()).unwrap();
    let case = &golden["greedy"][0];
    let ids = |key: &str| -> Vec<u32> { serde_json::from_value(case[key].clone()).unwrap() };
    let (prompt, expected) = (ids("prompt_ids"), ids("greedy_ids"));
    let file = ModelFile::open(&path).unwrap();
    for gpu in gpus() {
        let load = LoadOptions {
            dtype: Some(Dtype::F32),
            context: Some(512),
        };
        let target = Transformer::load(&file, gpu.ops.clone(), load, |_, _| {}).unwrap();
        let plain = options(&Sampling::default(), 2, Box::new(Plain));
        let found = decode(&Arc::new(target), &prompt, plain);
        println!(
            "{}: {} tokens of prompt in {:.1} s, a token in {:.2} s",
            gpu.name,
            prompt.len(),
            found.stats.prefill.as_secs_f64(),
            found.stats.decode.as_secs_f64()
        );
        assert_eq!(found.ids, expected[..2], "{}", gpu.name);
    }
}
