//! From single answers to the figures of a report.

use super::measure::{Plan, Record};
use super::report::{Answered, Row};
use super::statistics::{Spread, median};
use super::tally::Tally;

/// Every combination: overall, then each category.
pub fn rows(plan: &Plan<'_>, records: &[Record], limit: f64) -> Vec<Row> {
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

/// What became of one answer.
pub fn answered(plan: &Plan<'_>, record: &Record) -> Answered {
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
