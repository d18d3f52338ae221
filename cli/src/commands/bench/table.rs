//! The report for a terminal of a hundred columns.

use std::fmt::Write;

use super::report::{RULES, Report, Row};

const WIDTH: usize = 100;
const GAP: usize = 2;
/// Depths that are shown; the JSON has all.
const DEPTHS: usize = 12;

/// The whole report.
pub fn render(report: &Report) -> String {
    let mut text = header(report);
    for &temperature in &report.temperatures {
        let rows: Vec<&Row> = report.overall(temperature).collect();
        let _ = write!(
            text,
            "\ntemperature {temperature}\n{}",
            overall(report, &rows)
        );
        text.push_str(&depths(&rows));
        text.push_str(&categories(report, temperature));
    }
    let _ = writeln!(text, "\n{}", wrap(RULES));
    if report.verdict().is_err() {
        let _ = writeln!(
            text,
            "\n!! NOT LOSSLESS: tokens differ from plain decoding's !!"
        );
    }
    text
}

fn header(report: &Report) -> String {
    let mut text = String::new();
    for warning in report.warnings() {
        let _ = writeln!(text, "{}\n", wrap(&warning));
    }
    for fact in report.facts() {
        let _ = writeln!(text, "{}", wrap(&fact));
    }
    text
}

/// Everything at one temperature, a line a method.
fn overall(report: &Report, rows: &[&Row]) -> String {
    let percent = |share: f64| format!("{:.0}", share * 100.0);
    let mut cells = vec![
        [
            "method",
            "speed-up",
            "p10-p90",
            "totals",
            "tau",
            "tokens/s",
            "draft/verify/host %",
            "of limit",
            "tokens",
        ]
        .map(str::to_owned)
        .to_vec(),
    ];
    for row in rows {
        let spread = row.speedup;
        cells.push(vec![
            row.method.clone(),
            spread.map_or("-".into(), |s| format!("{:.2}", s.median)),
            spread.map_or("-".into(), |s| format!("{:.2}-{:.2}", s.p10, s.p90)),
            format!("{:.2}", row.speedup_of_totals),
            format!("{:.2}", row.tau),
            format!("{:.1}", row.decode_tok_s),
            [row.time.draft, row.time.verify, row.time.host]
                .map(percent)
                .join("/"),
            format!("{} %", percent(row.bandwidth_share)),
            report.tokens(row).into(),
        ]);
    }
    let mut text = columns(&cells);
    let prefill: Vec<String> = rows
        .iter()
        .map(|row| format!("{} {:.0}", row.method, row.prefill_tok_s))
        .collect();
    let _ = writeln!(
        text,
        "{}",
        wrap(&format!("prefill, tokens/s: {}", prefill.join(", ")))
    );
    text
}

/// How deep drafts were accepted.
fn depths(rows: &[&Row]) -> String {
    let drafting = rows
        .iter()
        .filter(|row| !row.acceptance_by_depth.is_empty());
    let drafting: Vec<_> = drafting.collect();
    let deepest = drafting
        .iter()
        .map(|row| row.acceptance_by_depth.len())
        .max();
    let Some(deepest) = deepest else {
        return String::new();
    };
    let depths = 1..=deepest.min(DEPTHS);
    let mut cells = vec![vec!["depth".to_owned()]];
    cells[0].extend(depths.clone().map(|depth| depth.to_string()));
    for row in drafting {
        let share = |depth: usize| row.acceptance_by_depth.get(depth - 1).copied();
        let mut line = vec![row.method.clone()];
        line.extend(
            depths
                .clone()
                .map(|depth| format!("{:.0}", 100.0 * share(depth).unwrap_or(0.0))),
        );
        cells.push(line);
    }
    format!("\naccepted at each depth, % of rounds\n{}", columns(&cells))
}

/// Speed-up and tau, a line a category.
fn categories(report: &Report, temperature: f32) -> String {
    let all = report.categories();
    if all.len() < 2 || report.methods.len() < 2 {
        return String::new();
    }
    let methods: Vec<&str> = report.methods[1..]
        .iter()
        .map(|m| m.method.as_str())
        .collect();
    let mut cells = vec![vec!["category".to_owned()]];
    cells[0].extend(methods.iter().map(|&method| method.to_owned()));
    for category in all {
        let mut line = vec![category.to_owned()];
        line.extend(methods.iter().map(|method| {
            let row = report.row(method, temperature, category);
            row.and_then(|row| Some((row.speedup?.median, row.tau)))
                .map_or("-".into(), |(speed, tau)| format!("{speed:.2} ({tau:.2})"))
        }));
        cells.push(line);
    }
    format!("\nspeed-up (tau) by category\n{}", columns(&cells))
}

/// Cells in columns, the first to the left and all others to the right. What is too wide
/// goes on below, under the first column again.
fn columns(cells: &[Vec<String>]) -> String {
    let count = cells.first().map_or(0, Vec::len);
    let length = |row: &Vec<String>, column: usize| row[column].chars().count();
    let widths: Vec<usize> = (0..count)
        .map(|column| {
            cells
                .iter()
                .map(|row| length(row, column))
                .max()
                .unwrap_or(0)
        })
        .collect();
    let mut text = String::new();
    let mut from = 1;
    while from < count {
        let (mut to, mut room) = (from, WIDTH.saturating_sub(widths[0]));
        while to < count && (to == from || room >= widths[to] + GAP) {
            room = room.saturating_sub(widths[to] + GAP);
            to += 1;
        }
        for row in cells {
            let _ = write!(text, "{:width$}", row[0], width = widths[0]);
            for column in from..to {
                let _ = write!(
                    text,
                    "{:>width$}",
                    row[column],
                    width = widths[column] + GAP
                );
            }
            text.push('\n');
        }
        from = to;
    }
    text
}

/// Lines of no more than the width, broken between words.
fn wrap(text: &str) -> String {
    let mut out = String::new();
    let mut column = 0;
    for word in text.split_whitespace() {
        let length = word.chars().count();
        if column > 0 && column + 1 + length > WIDTH {
            out.push('\n');
            column = 0;
        }
        if column > 0 {
            out.push(' ');
            column += 1;
        }
        out.push_str(word);
        column += length;
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_line_up_and_wide_tables_go_on_below() {
        let row = |first: &str, rest: &[&str]| {
            let cells = [first].into_iter().chain(rest.iter().copied());
            cells.map(str::to_owned).collect::<Vec<_>>()
        };
        let text = columns(&[row("name", &["a", "long"]), row("x", &["1.00", "2"])]);
        assert_eq!(text, "name     a  long\nx     1.00     2\n");
        let wide = "w".repeat(60);
        let text = columns(&[row("n", &[&wide, &wide])]);
        assert_eq!(text.lines().count(), 2);
        assert!(
            text.lines()
                .all(|line| line.len() <= WIDTH && line.starts_with('n'))
        );
    }

    #[test]
    fn text_is_broken_between_words() {
        let text = wrap(RULES);
        assert!(text.lines().all(|line| line.len() <= WIDTH));
        assert_eq!(
            text.split_whitespace().count(),
            RULES.split_whitespace().count()
        );
    }
}
