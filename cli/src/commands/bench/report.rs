//! What a run found: the object that `--json` writes and the table and page show.

use serde::Serialize;

use super::contender::{Contender, Source};
use super::measure::{Plan, Record};
use super::statistics::{Spread, median};
use super::tally::{Split, Tally};
use crate::error::Failure;
use crate::runtime::Verify;

/// What is counted, for every reader of the figures.
pub const RULES: &str = "Decode speed counts the tokens of rounds and their time; prefill and \
    the first token, which it gives, are apart. Speed-up: tokens/s over plain's on the same \
    question, the median over questions. tau: tokens a target pass, the target's own included. \
    Contenders answer in turn, question by question, after a warm-up that is not counted.";

/// The object that `--json` writes. Its names are a contract.
#[derive(Serialize)]
pub struct Report {
    pub model: String,
    pub dtype: String,
    pub device: String,
    pub hardware: String,
    /// Whether the weights are made up: only times mean anything.
    pub random_weights: bool,
    /// The chances of drafters that know the answer; such rows measure no method.
    pub synthetic_acceptance: Vec<f64>,
    pub source: String,
    pub questions: usize,
    pub turns: usize,
    pub max_tokens: Option<usize>,
    pub draft_tokens: usize,
    /// Which drafted tokens stand above temperature 0: `exact`, `rejection`, `typical`.
    pub verify: &'static str,
    pub seed: u64,
    pub repeats: usize,
    pub temperatures: Vec<f32>,
    pub read_bandwidth_gb_s: f64,
    pub bytes_per_pass: usize,
    /// Tokens a second of plain decoding, were reading the weights all that takes time.
    pub plain_limit_tok_s: f64,
    /// Whether every answer is plain decoding's, token for token.
    pub identical: bool,
    pub rules: &'static str,
    pub methods: Vec<Method>,
    pub results: Vec<Row>,
    pub answers: Vec<Answered>,
}

/// A contender.
#[derive(Serialize)]
pub struct Method {
    pub method: String,
    pub draft: Option<String>,
    /// Whether it knows the answer.
    pub synthetic: bool,
}

/// The figures of a method at a temperature, over a category or (`null`) everything.
#[derive(Clone, Serialize)]
pub struct Row {
    pub method: String,
    pub temperature: f32,
    pub category: Option<String>,
    pub questions: usize,
    /// Over questions; `null` where no answer had a round.
    pub speedup: Option<Spread>,
    /// All tokens by all time, over plain's.
    pub speedup_of_totals: f64,
    pub tau: f64,
    /// Entry i: the share of rounds whose draft at depth i + 1 was accepted.
    pub acceptance_by_depth: Vec<f64>,
    pub tokens: usize,
    pub rounds: usize,
    pub drafted_tokens: usize,
    pub decode_s: f64,
    pub decode_tok_s: f64,
    /// Shares of the decode time.
    pub time: Split,
    /// Bytes that the target's passes read a second, over the measured bandwidth.
    pub bandwidth_share: f64,
    pub prefill_tokens: usize,
    pub prefill_s: f64,
    pub prefill_tok_s: f64,
    pub identical: bool,
}

/// One answer, all its turns together.
#[derive(Serialize)]
pub struct Answered {
    pub question_id: String,
    pub category: Option<String>,
    pub method: String,
    pub temperature: f32,
    pub repeat: usize,
    pub tokens: usize,
    pub rounds: usize,
    pub decode_s: f64,
    pub prefill_s: f64,
    /// The turn and the token (from 1) where it leaves plain's answer, or `null`.
    pub differs_at: Option<(usize, usize)>,
}

impl Report {
    /// Works out every figure. `bandwidth` is in bytes a second.
    pub fn new(plan: &Plan<'_>, records: &[Record], source: String, bandwidth: f64) -> Self {
        let target = plan.subject.target();
        let backend = plan.subject.backend();
        let bytes = target.bytes_per_pass();
        let method = |contender: &Contender| Method {
            method: contender.name.clone(),
            draft: match &contender.source {
                Source::Method(candidate) => {
                    let path = candidate.draft.as_ref();
                    path.map(|path| path.display().to_string())
                }
                Source::Synthetic(_) => None,
            },
            synthetic: contender.is_synthetic(),
        };
        let synthetic = |contender: &Contender| match contender.source {
            Source::Synthetic(acceptance) => Some(acceptance),
            Source::Method(_) => None,
        };
        Self {
            model: plan.subject.name().to_owned(),
            dtype: target.dtype().to_string(),
            device: backend.name.clone(),
            hardware: backend.description.clone(),
            random_weights: plan.subject.text().is_none(),
            synthetic_acceptance: plan.contenders.iter().filter_map(synthetic).collect(),
            source,
            questions: plan.questions.len(),
            turns: plan.questions.iter().map(|q| q.turns.len()).sum(),
            max_tokens: plan.decode.max_tokens,
            draft_tokens: plan.decode.draft_tokens,
            verify: plan.decode.verify.name(),
            seed: plan.decode.seed,
            repeats: plan.repeats,
            temperatures: plan.temperatures.to_vec(),
            read_bandwidth_gb_s: bandwidth / 1e9,
            bytes_per_pass: bytes,
            plain_limit_tok_s: bandwidth / bytes as f64,
            identical: records.iter().all(|record| record.difference.is_none()),
            rules: RULES,
            methods: plan.contenders.iter().map(method).collect(),
            results: rows(plan, records, bandwidth / bytes as f64),
            answers: records
                .iter()
                .map(|record| answered(plan, record))
                .collect(),
        }
    }

    /// The figures over all categories, at one temperature.
    pub fn overall(&self, temperature: f32) -> impl Iterator<Item = &Row> {
        let rows = self.results.iter();
        rows.filter(move |row| row.category.is_none() && row.temperature == temperature)
    }

    /// The categories, in the order of the file.
    pub fn categories(&self) -> Vec<&str> {
        let mut all = Vec::new();
        for category in self
            .results
            .iter()
            .filter_map(|row| row.category.as_deref())
        {
            if !all.contains(&category) {
                all.push(category);
            }
        }
        all
    }

    /// How a row's tokens compare with plain's, in a word.
    pub fn tokens(&self, row: &Row) -> &'static str {
        match (row.identical, self.promises(row.temperature)) {
            (true, _) => "same",
            (false, true) => "OTHER",
            (false, false) => "other",
        }
    }

    /// The figures of a category.
    pub fn row(&self, method: &str, temperature: f32, category: &str) -> Option<&Row> {
        self.results.iter().find(|row| {
            row.method == method
                && row.temperature == temperature
                && row.category.as_deref() == Some(category)
        })
    }

    /// What was measured, in a sentence, and what the memory allows, in another.
    pub fn facts(&self) -> [String; 2] {
        let count = |count: usize, what: &str| match count {
            1 => format!("1 {what}"),
            count => format!("{count} {what}s"),
        };
        let most = self.max_tokens.map_or_else(
            || "to their end".to_owned(),
            |most| format!("of {most} tokens at most"),
        );
        [
            format!(
                "{} {} on {} ({}); {} with {} of {}, answers {most}, seed {}, measured {}.",
                self.model,
                self.dtype,
                self.device,
                self.hardware,
                count(self.questions, "question"),
                count(self.turns, "turn"),
                self.source,
                self.seed,
                count(self.repeats, "time"),
            ),
            format!(
                "Memory reads {:.1} GB/s here and a pass {:.1} MB: no more than {:.0} passes a \
                 second.",
                self.read_bandwidth_gb_s,
                self.bytes_per_pass as f64 / 1e6,
                self.plain_limit_tok_s,
            ),
        ]
    }

    /// What must be said of figures that measure no real model or method.
    pub fn warnings(&self) -> Vec<String> {
        let mut all = Vec::new();
        if self.random_weights {
            all.push(
                "RANDOM WEIGHTS: a made-up model of this shape, given random ids. Only times \
                 mean anything; what is accepted does not."
                    .into(),
            );
        }
        if !self.synthetic_acceptance.is_empty() {
            all.push(
                "SYNTHETIC ACCEPTANCE: rows called synthetic-A know the answer, draft each token \
                 right with probability A, and draft for nothing. They measure the engine and no \
                 method."
                    .into(),
            );
        }
        if !self.temperatures.iter().all(|&t| self.promises(t)) {
            all.push(match self.verify == Verify::Typical.name() {
                true => "LOSSY BY CHOICE: --verify typical changes what is written above \
                         temperature 0."
                    .into(),
                false => "OTHER TOKENS BY CHOICE: --verify rejection keeps plain decoding's \
                          distribution and not its tokens above temperature 0."
                    .into(),
            });
        }
        all
    }

    /// Whether the tokens of a temperature must be plain's: by every rule at 0, where all
    /// are one, and by exact verification everywhere.
    pub fn promises(&self, temperature: f32) -> bool {
        temperature == 0.0 || self.verify == Verify::Exact.name()
    }

    /// Fails if an answer is not plain's that must be: then losslessness is broken.
    pub fn verdict(&self) -> Result<(), Failure> {
        let differing = |method: &str| {
            let answers = self
                .answers
                .iter()
                .filter(|answer| answer.method == method && self.promises(answer.temperature));
            answers
                .filter_map(|a| Some((a, a.differs_at?)))
                .collect::<Vec<_>>()
        };
        let told: Vec<String> = self
            .methods
            .iter()
            .filter_map(|method| {
                let differing = differing(&method.method);
                let (first, (turn, token)) = differing.first()?;
                Some(format!(
                    "{}: {} answers are not plain's; first question {} at temperature {}, turn \
                     {turn}, token {token}",
                    method.method,
                    differing.len(),
                    first.question_id,
                    first.temperature,
                ))
            })
            .collect();
        match told.is_empty() {
            true => Ok(()),
            false => Err(Failure::Runtime(format!(
                "NOT LOSSLESS: {}",
                told.join("\n")
            ))),
        }
    }
}

/// Every combination: overall, then each category.
fn rows(plan: &Plan<'_>, records: &[Record], limit: f64) -> Vec<Row> {
    let mut categories: Vec<Option<&str>> = vec![None];
    for question in plan.questions {
        let category = question.category.as_deref();
        if category.is_some() && !categories.contains(&category) {
            categories.push(category);
        }
    }
    let mut rows = Vec::new();
    for category in categories {
        let here = |record: &&Record| {
            let question = &plan.questions[record.question];
            category.is_none() || question.category.as_deref() == category
        };
        let records: Vec<&Record> = records.iter().filter(here).collect();
        for temperature in 0..plan.temperatures.len() {
            for contender in 0..plan.contenders.len() {
                let of = |contender: usize| {
                    let all = records
                        .iter()
                        .filter(move |r| r.temperature == temperature && r.contender == contender);
                    all.copied().collect::<Vec<_>>()
                };
                let (own, plain) = (of(contender), of(0));
                let name = &plan.contenders[contender].name;
                let temperature = plan.temperatures[temperature];
                rows.push(Row {
                    method: name.clone(),
                    temperature,
                    category: category.map(str::to_owned),
                    ..figures(&own, &plain, limit)
                });
            }
        }
    }
    rows
}

/// The figures of one method's answers beside plain's to the same questions in the same
/// order. `limit` is how many passes a second the bandwidth allows.
fn figures(own: &[&Record], plain: &[&Record], limit: f64) -> Row {
    let total = |records: &[&Record]| {
        let mut total = Tally::default();
        records.iter().for_each(|record| total.add(&record.tally));
        total
    };
    let (tally, base) = (total(own), total(plain));
    let mut questions: Vec<usize> = own.iter().map(|record| record.question).collect();
    questions.sort_unstable();
    questions.dedup();
    let ratios: Vec<f64> = questions
        .iter()
        .filter_map(|question| {
            let pairs = own
                .iter()
                .zip(plain)
                .filter(|(o, _)| o.question == *question);
            let ratios = pairs.map(|(o, p)| o.tally.rate() / p.tally.rate());
            // An answer of one token has no speed.
            median(
                &ratios
                    .filter(|r| r.is_finite() && *r > 0.0)
                    .collect::<Vec<_>>(),
            )
        })
        .collect();
    Row {
        method: String::new(),
        temperature: 0.0,
        category: None,
        questions: questions.len(),
        speedup: Spread::of(&ratios),
        speedup_of_totals: match base.rate() {
            0.0 => 0.0,
            rate => tally.rate() / rate,
        },
        tau: tally.tau(),
        acceptance_by_depth: tally.acceptance(),
        tokens: tally.tokens,
        rounds: tally.rounds,
        drafted_tokens: tally.drafted,
        decode_s: tally.decode,
        decode_tok_s: tally.rate(),
        time: tally.split(),
        bandwidth_share: tally.passes() / limit,
        prefill_tokens: tally.prompt_tokens,
        prefill_s: tally.prefill,
        prefill_tok_s: tally.prefill_rate(),
        identical: own.iter().all(|record| record.difference.is_none()),
    }
}

fn answered(plan: &Plan<'_>, record: &Record) -> Answered {
    let question = &plan.questions[record.question];
    Answered {
        question_id: question.id.clone(),
        category: question.category.clone(),
        method: plan.contenders[record.contender].name.clone(),
        temperature: plan.temperatures[record.temperature],
        repeat: record.repeat,
        tokens: record.tally.tokens,
        rounds: record.tally.rounds,
        decode_s: record.tally.decode,
        prefill_s: record.tally.prefill,
        differs_at: record.difference.map(|d| (d.turn + 1, d.token + 1)),
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;
    use std::sync::Arc;

    use clap::Parser;
    use eaglet_backends::DeviceSpec;
    use eaglet_core::model::{LoadOptions, Transformer};
    use eaglet_core::weights::{Dtype, RandomWeights};

    use super::super::contender::{Candidate, line_up};
    use super::super::measure::Difference;
    use super::super::subject::Subject;
    use super::super::{html, table};
    use super::*;
    use crate::dialogue::{Questions, parse_questions};
    use crate::runtime::DecodeArgs;

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

    fn report_of(
        ngram: [f64; 3],
        differs: Option<usize>,
        temperature: f32,
        flags: &[&str],
    ) -> Report {
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
        Report::new(&plan, &records, "test".into(), 1e9)
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
}
