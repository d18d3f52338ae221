//! `eaglet bench`: methods beside each other, on the same questions and the same machine.

mod contender;
mod figures;
mod html;
mod measure;
mod player;
mod report;
mod shapes;
mod statistics;
mod subject;
mod synthetic;
mod table;
mod tally;

use std::fs::{self, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};

use self::contender::{Candidate, Contender};
use self::measure::Plan;
use self::report::Report;
use self::subject::Subject;
use crate::context::Context;
use crate::error::Failure;
use crate::runtime::{DecodeArgs, ModelArgs, Verify};

/// Arguments of `eaglet bench`.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "\
All methods answer each question in turn, in one process, plain decoding among them: what
disturbs the machine disturbs them alike. Tokens that differ from plain decoding's end the
run with exit code 1 (unless --verify asks for others). Decoding options hold for every method.

Examples:
  eaglet bench                                     ngram beside plain, built-in questions
  eaglet bench --limit 8 --methods ngram,eagle3=HEAD --temperatures 0,1 --html report.html
  eaglet bench --questions spec_bench.jsonl --repeats 3 --json report.json
  eaglet bench --synthetic-acceptance 0.6,0.8      the engine, whatever the head
  eaglet bench --random-weights llama2-7b --dtype q4 --synthetic-acceptance 0.8 -n 64",
    // Here there are lists of these: their flags are taken away, so that who types one is
    // told of the list.
    mut_arg("method", |arg| arg.hide(true).long("each-method")),
    mut_arg("draft", |arg| arg.hide(true).long("each-draft")),
    mut_arg("temperature", |arg| arg.hide(true).long("each-temperature").short(None)),
    mut_arg("max_tokens", |arg| {
        arg.default_value("256").help("Tokens of an answer at most")
    })
)]
pub struct Args {
    /// Questions: lines of {"question_id", "category", "turns": [..]}, as MT-bench and
    /// Spec-Bench have them [default: half of MT-bench, which is built in]
    #[arg(long, value_name = "FILE")]
    questions: Option<PathBuf>,

    /// Of the questions, take N at even distances
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    limit: Option<u32>,

    /// What is compared with plain decoding: METHOD, or METHOD=PATH for its --draft
    #[arg(
        long,
        value_name = "METHOD,..",
        value_delimiter = ',',
        default_value = "ngram",
        value_parser = Candidate::parse
    )]
    methods: Vec<Candidate>,

    /// Each question is answered at each of these
    #[arg(
        long,
        value_name = "T,..",
        value_delimiter = ',',
        default_value = "0",
        allow_negative_numbers = true
    )]
    temperatures: Vec<f32>,

    /// Times that everything is measured
    #[arg(
        long,
        value_name = "N",
        default_value_t = 1,
        value_parser = clap::value_parser!(u8).range(1..)
    )]
    repeats: u8,

    /// Also a drafter that knows the answer and proposes each token of it with probability
    /// A, at no cost: measures the engine, and no method
    #[arg(long, value_name = "A,..", value_delimiter = ',', value_parser = probability)]
    synthetic_acceptance: Vec<f64>,

    /// In place of a model, one of this shape with made-up weights, given random ids: for
    /// speed only. A config.json, or a name such as llama2-7b
    #[arg(long, value_name = "CONFIG", conflicts_with_all = ["model", "questions"])]
    random_weights: Option<String>,

    /// Write all figures as JSON
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,

    /// Write a page with tables and plots, which needs no other file
    #[arg(long, value_name = "FILE")]
    html: Option<PathBuf>,

    #[command(flatten)]
    model: ModelArgs,

    #[command(flatten)]
    decode: DecodeArgs,
}

/// Runs `eaglet bench`.
pub fn run(args: &Args, context: &Context) -> Result<(), Failure> {
    let contenders = contender::line_up(&args.methods, &args.synthetic_acceptance)?;
    check(args, &contenders)?;
    let limit = args.limit.map(|limit| limit as usize);
    let (questions, subject, source) = match &args.random_weights {
        Some(shape) => {
            let subject = Subject::random(shape, &args.model, context)?;
            (subject::wordless(limit), subject, "random ids".to_owned())
        }
        None => {
            let file = args.questions.as_deref();
            let questions = subject::questions(file, limit)?;
            let source = file.map_or("MT-bench (every second)".into(), |file| {
                file.display().to_string()
            });
            (questions, Subject::load(&args.model, context)?, source)
        }
    };
    let bandwidth = subject.backend().bandwidth()?;
    let passes = subject.passes(context.progress)?;
    let plan = Plan {
        subject: &subject,
        questions: &questions,
        contenders: &contenders,
        temperatures: &args.temperatures,
        repeats: args.repeats.into(),
        decode: &args.decode,
    };
    let records = plan.run(context.progress)?;
    let report = Report::new(&plan, &records, source, bandwidth, passes);
    // Files first: whoever reads the table may stop reading.
    if let Some(path) = &args.json {
        let json = serde_json::to_vec_pretty(&report);
        save(path, &json.map_err(|e| Failure::Runtime(e.to_string()))?)?;
    }
    if let Some(path) = &args.html {
        save(path, html::render(&report)?.as_bytes())?;
    }
    write!(anstream::stdout(), "{}", table::render(&report)).map_err(Failure::output)?;
    report.verdict()
}

/// Refuses what cannot work, before anything is loaded.
fn check(args: &Args, contenders: &[Contender]) -> Result<(), Failure> {
    for contender in contenders {
        for &temperature in &args.temperatures {
            contender.decode(&args.decode, temperature).check()?;
        }
    }
    if contenders.iter().any(Contender::is_synthetic) && args.decode.verify != Verify::Exact {
        return Err(Failure::Input(
            "--synthetic-acceptance is for --verify exact: by other rules the answer is not \
             plain decoding's, which is the one that is known"
                .into(),
        ));
    }
    for path in [&args.json, &args.html].into_iter().flatten() {
        let opened = OpenOptions::new().append(true).create(true).open(path);
        opened.map_err(|e| Failure::Input(format!("cannot write {}: {e}", path.display())))?;
    }
    Ok(())
}

fn save(path: &Path, bytes: &[u8]) -> Result<(), Failure> {
    fs::write(path, bytes)
        .map_err(|e| Failure::Runtime(format!("cannot write {}: {e}", path.display())))
}

fn probability(text: &str) -> Result<f64, String> {
    let number = text.parse().ok().filter(|p| (0.0..=1.0).contains(p));
    number.ok_or_else(|| "a probability from 0 to 1 is needed".into())
}
