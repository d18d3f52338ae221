//! What a run found: the object that `--json` writes and the table and page show.

use serde::Serialize;

use super::contender::{Contender, Source};
use super::figures::{answered, rows};
use super::measure::{Plan, Record};
use super::statistics::Spread;
use super::subject::Passes;
use super::tally::Split;
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
    pub draft_tokens: Option<usize>,
    /// Which drafted tokens stand above temperature 0: `exact`, `rejection`, `typical`.
    pub verify: &'static str,
    pub seed: u64,
    pub repeats: usize,
    pub temperatures: Vec<f32>,
    pub read_bandwidth_gb_s: f64,
    pub bytes_per_pass: usize,
    /// Tokens a second of plain decoding, were reading the weights all that takes time.
    pub plain_limit_tok_s: f64,
    /// What verifying N rows costs.
    pub passes: Passes,
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
    pub fn new(
        plan: &Plan<'_>,
        records: &[Record],
        source: String,
        bandwidth: f64,
        passes: Passes,
    ) -> Self {
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
            draft_tokens: plan.decode.draft.draft_tokens,
            verify: plan.decode.verify.name(),
            seed: plan.decode.seed,
            repeats: plan.repeats,
            temperatures: plan.temperatures.to_vec(),
            read_bandwidth_gb_s: bandwidth / 1e9,
            bytes_per_pass: bytes,
            plain_limit_tok_s: bandwidth / bytes as f64,
            passes,
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

    /// A sentence each: what was measured, what the memory allows, what verifying costs.
    pub fn facts(&self) -> [String; 3] {
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
            self.verifying(),
        ]
    }

    /// The cost of passes, in plain steps.
    fn verifying(&self) -> String {
        let widths = self.passes.costs.widths();
        let Some(&(_, plain)) = widths.first() else {
            return "What a pass of many rows costs could not be measured.".into();
        };
        let cost = |&(rows, time): &(usize, f64)| format!("{rows} rows {:.2}", time / plain);
        let costs: Vec<String> = widths[1..].iter().map(cost).collect();
        let more = match costs.is_empty() {
            true => String::new(),
            false => format!("; of more, in such steps: {}", costs.join(", ")),
        };
        format!(
            "At {} positions a pass of one row takes {:.2} ms{more}.",
            self.passes.positions,
            plain * 1e3,
        )
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

#[cfg(test)]
mod tests;
