//! `eaglet generate`: what is answered, and where it goes.

use std::io::Read;
use std::process::Stdio;

use eaglet_tests::text::{TURN_END, TURN_START};
use serde_json::Value;

use crate::support::{MODEL, World};

/// The ids of a list; the vocabulary's bytes are their own ids.
fn ids(list: &Value) -> Vec<u64> {
    let list = list.as_array().unwrap();
    list.iter().map(|id| id.as_u64().unwrap()).collect()
}

/// Text as ids, with the ends of turns.
fn encoded(text: &str) -> Vec<u64> {
    let text = text
        .replace("<|im_start|>", "\u{1}")
        .replace("<|im_end|>", "\u{2}");
    let id = |byte| match byte {
        1 => TURN_START.into(),
        2 => TURN_END.into(),
        byte => byte.into(),
    };
    text.bytes().map(id).collect()
}

#[test]
fn the_report_keeps_its_contract() {
    let world = World::with_model();
    let report = world.report(&["Hi", "-n", "20", "--seed", "5", "--dtype", "f16"]);
    let answer = ids(&report["ids"]);
    let text: String = answer.iter().map(|&id| id as u8 as char).collect();
    assert_eq!(report["text"], text);
    assert_eq!(answer.len(), 20);
    assert_eq!(
        ids(&report["prompt_ids"]),
        encoded("<|im_start|>user\nHi<|im_end|>\n<|im_start|>assistant\n")
    );
    for (name, value) in [
        ("finish_reason", "length"),
        ("model", MODEL),
        ("device", "cpu"),
        ("dtype", "f16"),
        ("method", "ngram"),
        ("verify", "exact"),
    ] {
        assert_eq!(report[name], value);
    }
    assert_eq!(report["seed"], 5);

    let stats = &report["stats"];
    assert_eq!(
        stats["prompt_tokens"],
        ids(&report["prompt_ids"]).len() as u64
    );
    assert_eq!(stats["generated_tokens"], 20);
    assert_eq!(stats["reused_tokens"], 0);
    let number = |name: &str| stats[name].as_f64().unwrap_or_else(|| panic!("{name}"));
    assert_eq!(
        number("tau"),
        (number("generated_tokens") - 1.0) / number("rounds")
    );
    for name in [
        "load_s",
        "prefill_s",
        "decode_s",
        "prefill_tok_s",
        "decode_tok_s",
        "verify_s",
    ] {
        assert!(number(name) > 0.0, "{name}");
    }
    assert!(number("draft_s") + number("verify_s") <= number("decode_s"));
    assert!(number("host_s") >= 0.0 && number("drafted_tokens") >= 0.0);
    // What was accepted at one depth was accepted at the one above.
    let depths = ids(&stats["accepted_by_depth"]);
    assert!(depths.is_sorted_by(|a, b| a >= b), "{depths:?}");
    if cfg!(target_os = "linux") {
        assert!(stats["peak_rss_bytes"].as_u64().unwrap() > 1 << 20);
    }
}

#[test]
fn the_prompt_comes_from_an_argument_or_from_standard_input() {
    let world = World::with_model();
    let argument = world.generate(&["Hi there", "-n", "9"]).ok();
    let args = ["generate", "--model", MODEL, "-n", "9"];
    let piped = world.run_with(&args, "Hi there\n").ok();
    assert_eq!(piped.out, argument.out);
    assert_eq!(argument.out.len(), 10, "nine characters and a line's end");
}

#[test]
fn raw_text_has_no_template_and_parses_special_tokens() {
    let world = World::with_model();
    let raw = |text| ids(&world.report(&["--raw", text, "-n", "1"])["prompt_ids"]);
    assert_eq!(raw("Hi"), encoded("Hi"));
    assert_eq!(raw("a<|im_end|>"), encoded("a<|im_end|>"));
    // In a conversation they are text: nobody ends another's turn.
    let quoted = ids(&world.report(&["<|im_end|>", "-n", "1"])["prompt_ids"]);
    let ends = quoted.iter().filter(|&&id| id == u64::from(TURN_END));
    assert_eq!(ends.count(), 1);
}

#[test]
fn a_system_message_comes_first() {
    let world = World::with_model();
    let report = world.report(&["--system", "Be brief.", "Hi", "-n", "1"]);
    let wanted = "<|im_start|>system\nBe brief.<|im_end|>\n\
        <|im_start|>user\nHi<|im_end|>\n<|im_start|>assistant\n";
    assert_eq!(ids(&report["prompt_ids"]), encoded(wanted));
}

#[test]
fn text_goes_to_standard_output_and_statistics_to_standard_error() {
    let world = World::with_model();
    let text = world.report(&["Hi", "-n", "9"])["text"].clone();
    let loud = world.generate(&["Hi", "-n", "9"]).ok();
    assert_eq!(loud.out.strip_suffix('\n'), text.as_str());
    assert!(loud.err.contains("9 tokens, "), "{loud:?}");
    assert!(loud.err.contains(" with ngram (tau "), "{loud:?}");
    assert!(loud.err.contains("prompt 21 tokens (0 cached)"), "{loud:?}");
    let quiet = world.generate(&["--quiet", "Hi", "-n", "9"]).ok();
    assert_eq!((quiet.out, quiet.err.as_str()), (loud.out, ""));
    world.assert_untouched();
}

#[test]
fn text_is_streamed() {
    let world = World::with_endless_model();
    let args = ["generate", "--model", MODEL, "Hi"];
    let mut command = world.command(&args);
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    let mut first = [0; 64];
    let mut out = child.stdout.take().unwrap();
    out.read_exact(&mut first).unwrap();
    assert!(child.try_wait().unwrap().is_none(), "it is still answering");
    // Nobody reads any more (`| head -c 64`): it ends, and has nothing to complain of.
    drop(out);
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    assert_eq!(String::from_utf8_lossy(&output.stderr), "");
}
