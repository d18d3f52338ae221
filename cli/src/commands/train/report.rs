//! The page that shows how a run goes: written anew after each measurement.

use super::course::{Course, Line};
use super::run::CHAIN;
use crate::error::Failure;
use crate::page::{STYLE, escape, figure, keys, plots};

/// The page. `title` is the head's.
pub fn render(title: &str, course: &Course, steps: usize) -> Result<String, Failure> {
    let title = escape(title);
    let done = course.lines.last().map_or(0, |line| line.step);
    let best = course.best().map_or_else(
        || "Nothing measured yet.".to_owned(),
        |point| {
            format!(
                "Best so far: {:.2} tokens a round (chains of {CHAIN}, {} held-out conversations), \
                 after update {}.",
                point.tau, course.held_out, point.step
            )
        },
    );
    let ahead = course.lines.iter().map(|line| line.loss.len()).max();
    let names: Vec<String> = (1..=ahead.unwrap_or(0))
        .map(|n| format!("{n} ahead"))
        .collect();
    let named: Vec<(usize, &str)> = (0..).zip(names.iter().map(String::as_str)).collect();
    let over = |value: fn(&Line, usize) -> Option<f64>| {
        let line = |index| {
            let points = course.lines.iter();
            let points = points.filter_map(|line| Some((line.step as f64, value(line, index)?)));
            (index, points.collect())
        };
        (0..names.len())
            .map(line)
            .collect::<Vec<(usize, Vec<(f64, f64)>)>>()
    };
    let loss = plots::course(&over(|line, i| line.loss.get(i).copied()), "")?;
    let accuracy = over(|line, i| line.accuracy.get(i).map(|share| 100.0 * share));
    let accuracy = plots::course(&accuracy, " %")?;
    let tau = course
        .measured
        .iter()
        .map(|point| (point.step as f64, point.tau));
    let tau = plots::course(&[(0, tau.collect())], "")?;
    let figures = [
        figure(
            "Accepted drafts",
            &tau,
            "",
            "Tokens emitted a round on held-out prompts, the model's own included: what the head \
             is chosen by.",
        ),
        figure(
            "Loss",
            &loss,
            &keys(&named),
            "Cross-entropy in nats, by token ahead.",
        ),
        figure(
            "Accuracy",
            &accuracy,
            &keys(&named),
            "First choices that are the model's own; tokens that cannot be drafted count as missed.",
        ),
    ];
    Ok(format!(
        "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
         <title>{title}</title>\n<style>\n{STYLE}</style>\n</head>\n<body>\n<h1>{title}</h1>\n\
         <p class=\"headline\">{best}</p>\n\
         <p class=\"facts\">Update {done} of {steps}; {} conversations of {} tokens.</p>\n{}\
         <footer>Made by eaglet {}.</footer>\n</body>\n</html>\n",
        course.documents,
        course.tokens,
        figures.concat(),
        env!("CARGO_PKG_VERSION"),
    ))
}
