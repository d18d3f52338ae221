use std::path::Path;
use std::sync::Arc;

use clap::Parser;
use eaglet_backends::DeviceSpec;
use eaglet_core::engine::CostTable;
use eaglet_core::model::{LoadOptions, Transformer};
use eaglet_core::weights::{Dtype, RandomWeights};

use crate::commands::bench::contender::{Candidate, line_up};
use crate::commands::bench::measure::Difference;
use crate::commands::bench::subject::Subject;
use crate::commands::bench::tally::Tally;
use crate::commands::bench::{html, table};
use crate::dialogue::{Questions, parse_questions};
use crate::runtime::DecodeArgs;

use super::*;

#[derive(Parser)]
struct Line {
    #[command(flatten)]
    decode: DecodeArgs,
}

const CONFIG: &str = r#"{"model_type": "llama", "hidden_size": 32, "intermediate_size": 32,
    "num_hidden_layers": 1, "num_attention_heads": 2, "vocab_size": 32,
    "max_position_embeddings": 64, "rms_norm_eps": 1e-5}"#;

fn questions() -> Vec<Questions> {
    let line = |id: usize, category: &str| {
        format!("{{\"question_id\": {id}, \"category\": \"{category}\", \"turns\": [\"?\"]}}")
    };
    let lines = [line(1, "math"), line(2, "math"), line(3, "<b>")];
    parse_questions("test", &lines.join("\n")).unwrap()
}

/// Plain decodes 10 tokens a second; ngram takes the times given, and says something
/// else where `differs`.
fn report(ngram: [f64; 3], differs: Option<usize>) -> Report {
    report_of(ngram, differs, 0.0, &[])
}

fn report_of(ngram: [f64; 3], differs: Option<usize>, temperature: f32, flags: &[&str]) -> Report {
    let backend = eaglet_backends::open(DeviceSpec::Cpu, Some(1)).unwrap();
    let made = RandomWeights::new(Path::new("m"), CONFIG.as_bytes(), Dtype::Q8).unwrap();
    let options = LoadOptions::default();
    let target = Transformer::load(&made, backend.ops.clone(), options, |_, _| {}).unwrap();
    let subject = Subject::Random {
        name: "m".into(),
        backend,
        target: Arc::new(target),
    };
    let contenders = line_up(&[Candidate::parse("ngram").unwrap()], &[]).unwrap();
    let plan = Plan {
        subject: &subject,
        questions: &questions(),
        contenders: &contenders,
        temperatures: &[temperature],
        repeats: 1,
        decode: &Line::parse_from([&["test"], flags].concat()).decode,
    };
    let record = |question: usize, contender: usize, decode: f64| Record {
        question,
        contender,
        temperature: 0,
        repeat: 0,
        tally: Tally {
            tokens: 20,
            rounds: 20 - 10 * contender,
            accepted_by_depth: vec![10; contender],
            decode,
            ..Tally::default()
        },
        difference: differs
            .filter(|_| contender == 1 && question == 2)
            .map(|token| Difference { turn: 0, token }),
    };
    let records = (0..3).flat_map(|q| [record(q, 0, 2.0), record(q, 1, ngram[q])]);
    let records: Vec<Record> = records.collect();
    let passes = Passes {
        positions: 7,
        costs: CostTable::new(vec![(1, 0.002), (26, 0.0025)]).unwrap(),
    };
    Report::new(&plan, &records, "test".into(), 1e9, passes)
}

#[test]
fn figures_are_medians_of_pairs_and_ratios_of_totals() {
    let report = report([1.0, 2.0, 0.5], None);
    let rows: Vec<&Row> = report.overall(0.0).collect();
    assert_eq!((rows[0].speedup_of_totals, rows[0].tau), (1.0, 1.0));
    let ngram = rows[1];
    let speedup = ngram.speedup.unwrap();
    assert_eq!(speedup.median, 2.0, "of 2, 1 and 4");
    assert!((speedup.p10 - 1.2).abs() < 1e-9 && (speedup.p90 - 3.6).abs() < 1e-9);
    assert!((ngram.speedup_of_totals - 6.0 / 3.5).abs() < 1e-9);
    assert_eq!((ngram.tau, ngram.questions), (2.0, 3));
    assert_eq!(ngram.acceptance_by_depth, [1.0]);
    assert_eq!(report.categories(), ["math", "<b>"]);
    let math = report.row("ngram", 0.0, "math").unwrap();
    assert_eq!(math.speedup.unwrap().median, 1.5, "of 2 and 1");
    assert_eq!(math.questions, 2);
    // 30 passes in 3.5 seconds, of some KB each, at 1 GB/s.
    let share = 30.0 / 3.5 * report.bytes_per_pass as f64 / 1e9;
    assert!((ngram.bandwidth_share / share - 1.0).abs() < 1e-9);
    let costs =
        "At 7 positions a pass of one row takes 2.00 ms; of more, in such steps: 26 rows 1.25.";
    assert_eq!(report.facts()[2], costs);
}

#[test]
fn other_tokens_than_plain_are_a_loud_failure() {
    let sound = report([1.0; 3], None);
    assert!(sound.identical && sound.verdict().is_ok());
    assert!(!table::render(&sound).contains("NOT LOSSLESS"));
    let broken = report([1.0; 3], Some(4));
    assert!(!broken.identical);
    let identical: Vec<bool> = broken.overall(0.0).map(|row| row.identical).collect();
    assert_eq!(identical, [true, false]);
    assert!(broken.row("ngram", 0.0, "math").unwrap().identical);
    let failure = broken.verdict().unwrap_err();
    assert!(matches!(failure, Failure::Runtime(_)), "exit code 1");
    let told = failure.to_string();
    for wanted in ["NOT LOSSLESS", "ngram: 1 answers", "question 3", "token 5"] {
        assert!(told.contains(wanted), "{told}");
    }
    let text = table::render(&broken);
    assert!(
        text.contains("NOT LOSSLESS") && text.contains("OTHER"),
        "{text}"
    );
    assert!(html::render(&broken).unwrap().contains("class=\"broken\""));
}

#[test]
fn who_asks_for_other_tokens_gets_them_and_is_told() {
    let of = |rule, temperature| report_of([1.0; 3], Some(4), temperature, &["--verify", rule]);
    assert!(of("exact", 1.0).verdict().is_err());
    for (rule, told) in [("typical", "LOSSY"), ("rejection", "OTHER TOKENS")] {
        // At 0 all rules are one.
        assert!(of(rule, 0.0).verdict().is_err());
        let report = of(rule, 1.0);
        assert!(report.verdict().is_ok() && !report.identical);
        let text = table::render(&report);
        assert!(text.contains(told) && text.contains("other"), "{text}");
        assert!(!text.contains("NOT LOSSLESS"), "{text}");
        let page = html::render(&report).unwrap();
        assert!(page.contains(told) && !page.contains("every token is the same"));
    }
}

#[test]
fn names_cannot_write_the_page() {
    let page = html::render(&report([1.0; 3], None)).unwrap();
    assert!(page.contains("&lt;b&gt;") && !page.contains("<b>"));
}
