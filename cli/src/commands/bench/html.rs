//! The report as one page that needs no other file.

use super::report::{Report, Row};
use crate::error::Failure;
use crate::page::plots::{self, Bar, Group};
use crate::page::{STYLE, cells, escape, figure, keys, table};

/// The page.
pub fn render(report: &Report) -> Result<String, Failure> {
    let mut body = String::new();
    for &temperature in &report.temperatures {
        body.push_str(&section(report, temperature)?);
    }
    let warnings: String = report
        .warnings()
        .iter()
        .map(|warning| format!("<p class=\"warning\">{}</p>\n", escape(warning)))
        .collect();
    let broken = report.verdict().err().map_or_else(String::new, |failure| {
        format!("<p class=\"broken\">{}</p>\n", escape(&failure.to_string()))
    });
    Ok(format!(
        "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
         <title>eaglet bench: {model}</title>\n<style>\n{STYLE}</style>\n</head>\n<body>\n\
         <h1>eaglet bench: {model} {dtype}</h1>\n<p class=\"headline\">{headline}</p>\n\
         {broken}{warnings}<p class=\"facts\">{facts}</p>\n{body}\
         <footer>{rules} Made by eaglet {version}.</footer>\n</body>\n</html>\n",
        model = escape(&report.model),
        dtype = report.dtype,
        headline = escape(&headline(report)),
        facts = escape(&report.facts().join(" ")),
        rules = escape(report.rules),
        version = env!("CARGO_PKG_VERSION"),
    ))
}

/// What one wants to know first.
fn headline(report: &Report) -> String {
    if report.verdict().is_err() {
        return "Not lossless: some answers are not those of plain decoding.".into();
    }
    let first = report.temperatures.first().copied().unwrap_or_default();
    let synthetic = report.methods.iter().map(|method| method.synthetic);
    let others = report.overall(first).zip(synthetic).skip(1);
    let fastest = others
        .filter_map(|(row, synthetic)| Some((synthetic, row.speedup?.median, row)))
        // A method, if there is any, before one that knows the answer.
        .max_by(|a, b| b.0.cmp(&a.0).then(a.1.total_cmp(&b.1)));
    let Some((synthetic, speedup, row)) = fastest else {
        return "Plain decoding, with nothing beside it.".into();
    };
    let made_up = match (report.random_weights, synthetic) {
        (true, true) => "With made-up weights and made-up drafts, ",
        (true, false) => "With made-up weights, ",
        (false, true) => "With made-up drafts, ",
        (false, false) => "",
    };
    format!(
        "{made_up}{} decodes {speedup:.2} times as fast as plain at temperature {first} ({:.2} \
         tokens a target pass), {}.",
        row.method,
        row.tau,
        match row.identical {
            true => "and every token is the same",
            false => "with other tokens by choice",
        }
    )
}

/// Everything at one temperature.
fn section(report: &Report, temperature: f32) -> Result<String, Failure> {
    let rows: Vec<&Row> = report.overall(temperature).collect();
    let mut text = format!(
        "<h2>Temperature {temperature}</h2>\n{}",
        overall(report, &rows)
    );
    let drafting: Vec<(usize, &str)> = rows
        .iter()
        .enumerate()
        .skip(1)
        .map(|(index, row)| (index - 1, row.method.as_str()))
        .collect();
    if !drafting.is_empty() {
        let plot = plots::bars(&speedups(report, temperature, &rows), Some(1.0), "x")?;
        let caption = "Speed-up over plain, medians; the thin line runs from the 10th to the \
            90th percentile of questions.";
        text.push_str(&figure(
            "Speed-up by category",
            &plot,
            &keys(&drafting),
            caption,
        ));
        let lines: Vec<(usize, &[f64])> = rows[1..]
            .iter()
            .enumerate()
            .map(|(index, row)| (index, row.acceptance_by_depth.as_slice()))
            .collect();
        let caption = "Share of rounds whose draft was accepted down to a depth; one more than \
            the sum over depths is tau.";
        let plot = plots::depths(&lines)?;
        text.push_str(&figure(
            "Acceptance by depth",
            &plot,
            &keys(&drafting),
            caption,
        ));
    }
    let parts = ["draft", "verify", "host"];
    let parts: Vec<(usize, &str)> = parts.into_iter().enumerate().collect();
    let plot = plots::bars(&times(&rows), None, " %")?;
    let caption = "Shares of the decode time: proposing tokens, the target's passes with their \
        readback, and all else.";
    text.push_str(&figure(
        "Where the time goes",
        &plot,
        &keys(&parts),
        caption,
    ));
    text.push_str(&categories(report, temperature));
    Ok(text)
}

fn overall(report: &Report, rows: &[&Row]) -> String {
    let head = [
        "method",
        "speed-up",
        "p10–p90",
        "of totals",
        "tau",
        "tokens/s",
        "of limit",
        "prefill/s",
        "tokens",
    ];
    let line = |row: &&Row| {
        let spread = row.speedup;
        let word = report.tokens(row);
        cells(&[
            escape(&row.method),
            spread.map_or("–".into(), |s| format!("{:.2}", s.median)),
            spread.map_or("–".into(), |s| format!("{:.2}–{:.2}", s.p10, s.p90)),
            format!("{:.2}", row.speedup_of_totals),
            format!("{:.2}", row.tau),
            format!("{:.1}", row.decode_tok_s),
            format!("{:.0} %", 100.0 * row.bandwidth_share),
            format!("{:.0}", row.prefill_tok_s),
            format!("<span class=\"{word}\">{word}</span>"),
        ])
    };
    table(&head.map(str::to_owned), rows.iter().map(line).collect())
}

/// Speed-up and tau of every category.
fn categories(report: &Report, temperature: f32) -> String {
    let all = report.categories();
    if all.len() < 2 || report.methods.len() < 2 {
        return String::new();
    }
    let methods = &report.methods[1..];
    let mut head = vec!["category".to_owned()];
    head.extend(methods.iter().map(|method| escape(&method.method)));
    let line = |category: &&str| {
        let cell = |method: &super::report::Method| {
            let row = report.row(&method.method, temperature, category);
            let known = row.and_then(|row| Some((row.speedup?.median, row.tau)));
            known.map_or("–".into(), |(speed, tau)| {
                format!("{speed:.2} <span class=\"small\">tau {tau:.2}</span>")
            })
        };
        let mut line = vec![escape(category)];
        line.extend(methods.iter().map(cell));
        cells(&line)
    };
    let lines = all.iter().map(line).collect();
    format!("<h3>Every category</h3>\n{}", table(&head, lines))
}

/// A group for everything and one for each category, a bar for each method.
fn speedups(report: &Report, temperature: f32, overall: &[&Row]) -> Vec<Group> {
    let bars = |rows: Vec<Option<&Row>>| {
        let bar = |(index, row): (usize, Option<&Row>)| {
            let spread = row?.speedup?;
            Some(Bar {
                lane: index,
                colour: index,
                from: 0.0,
                to: spread.median,
                whisker: Some((spread.p10, spread.p90)),
            })
        };
        rows.into_iter().enumerate().filter_map(bar).collect()
    };
    let all = Group {
        label: "all questions".into(),
        bars: bars(overall[1..].iter().map(|row| Some(*row)).collect()),
    };
    let categories = report.categories().into_iter().map(|category| {
        let methods = report.methods[1..].iter();
        let rows = methods.map(|m| report.row(&m.method, temperature, category));
        Group {
            label: category.to_owned(),
            bars: bars(rows.collect()),
        }
    });
    [all].into_iter().chain(categories).collect()
}

/// A bar of three parts for each method, in percent.
fn times(rows: &[&Row]) -> Vec<Group> {
    let group = |row: &&Row| {
        let mut from = 0.0;
        let parts = [row.time.draft, row.time.verify, row.time.host];
        let bar = |(colour, share): (usize, f64)| {
            let to = from + 100.0 * share;
            let bar = Bar {
                lane: 0,
                colour,
                from,
                to,
                whisker: None,
            };
            from = to;
            bar
        };
        Group {
            label: row.method.clone(),
            bars: parts.into_iter().enumerate().map(bar).collect(),
        }
    };
    rows.iter().map(group).collect()
}
