//! The run: data, network, updates, measurements, files.

use std::path::Path;
use std::time::Instant;

use eaglet_core::draft::{
    Drafter, Eagle, Growth, HeadCheckpoint, HeadFile, HeadKind, Medusa, load_head, load_medusa,
};
use eaglet_core::model::ModelConfig;
use eaglet_core::train::{
    Acceptance, Document, DraftVocabulary, Eagle1Network, Eagle3Network, Initial, MedusaNetwork,
    Network, Rule, StepReport, Tracer, Traces, TrainOptions, Trainer, acceptance, taps,
};
use eaglet_core::weights::{Dtype, ModelFile, NamedTensors, write_atomically};

use super::card::card;
use super::course::{Course, Line, Point};
use super::data::Data;
use super::report;
use super::{Args, Kind, Optimizer};
use crate::context::Context;
use crate::error::Failure;
use crate::runtime::Runtime;

/// Drafted tokens of the chains that are measured.
pub const CHAIN: usize = 4;
/// Tokens that an EAGLE-3 head drafts, if nobody says otherwise.
const DRAFTED: usize = 8192;
/// Tokens of an answer that are measured.
const MEASURED_TOKENS: usize = 64;
/// Updates between two lines of losses.
const TELL_EVERY: usize = 10;

pub fn run(args: &Args, context: &Context) -> Result<(), Failure> {
    let runtime = Runtime::load(&args.model, context)?;
    let note = |text: String| context.progress.note(text);
    let mut data = Data::default();
    for path in &args.data {
        data.read(
            path,
            &runtime.text.tokenizer,
            runtime.template()?,
            args.max_length,
        )?;
    }
    for line in &data.skipped {
        note(format!("skipped: {line}"));
    }
    let (documents, held_out) = split(data.documents, args)?;
    let target = runtime.target.clone();
    let file = ModelFile::open(&context.model(&args.model.model)?)?;
    let weights = Initial::new(&file, target.ops().device())?;
    let config = target.config();
    let begun = match &args.init {
        Some(path) => {
            let head = HeadCheckpoint::open(path)?;
            fits(&head, config)?;
            Some(head.values(config.vocab)?)
        }
        None => None,
    };
    let known = begun.as_ref().and_then(|head| head.ids.clone());
    let vocabulary = match (known, args.draft_vocab) {
        (Some(ids), None) => DraftVocabulary::new(ids),
        (_, size) => DraftVocabulary::count(&documents, config.vocab, size.unwrap_or(DRAFTED)),
    };
    let tokens: usize = documents.iter().map(|d| d.tokens.len()).sum();
    note(format!(
        "{} conversations of {tokens} tokens ({} cut to {}), {} held out; the {} draft tokens \
         cover {:.1} % of the answers",
        documents.len(),
        data.cut,
        args.max_length,
        held_out.len(),
        vocabulary.ids().len(),
        100.0 * vocabulary.coverage(&documents),
    ));
    let network: Box<dyn Network> = match args.method {
        Kind::Eagle3 => Box::new(Eagle3Network::new(
            target.clone(),
            &weights,
            vocabulary.clone(),
            taps(config.layers)?,
            args.ahead,
        )?),
        Kind::Eagle1 => Box::new(Eagle1Network::new(target.clone(), &weights, &vocabulary)?),
        Kind::Medusa => Box::new(MedusaNetwork::new(
            target.clone(),
            &weights,
            &vocabulary,
            args.ahead,
        )?),
    };
    // The same taps for every kind, so that all can share what is kept on disk.
    let points = taps(config.layers).unwrap_or_default();
    let tracer = Tracer::new(target.clone(), points, args.max_length)?;
    let traces = Traces::new(tracer, args.traces.clone())?;
    if let Some(folder) = &args.traces {
        let megabytes = (traces.bytes_per_token() * tokens) as f64 / 1e6;
        note(format!(
            "traces take {megabytes:.0} MB in {}",
            folder.display()
        ));
    }
    let head = weights.head(&vocabulary)?;
    let options = TrainOptions {
        epochs: args.epochs,
        rate: args.lr,
        micro_rows: args.micro_batch,
        micro_batches: args.accumulate,
        workers: workers(args, &runtime),
        rule: match args.optimizer {
            Optimizer::Muon => Rule::Muon,
            Optimizer::Adamw => Rule::AdamW,
        },
        seed: args.seed,
    };
    let (count, drafted) = (documents.len(), vocabulary.ids().len());
    let mut trainer = Trainer::new(&*network, documents, traces, vocabulary, head, options)?;
    if let Some(head) = begun {
        trainer.start_from(head)?;
    }
    std::fs::create_dir_all(&args.output)
        .map_err(|e| Failure::Input(format!("{}: {e}", args.output.display())))?;
    let run = Run {
        args,
        runtime: &runtime,
        network: &*network,
        held_out,
    };
    let course = Course {
        documents: count,
        tokens,
        drafted,
        held_out: run.held_out.len(),
        ..Course::default()
    };
    run.train(trainer, course, context)
}

/// Refuses a head that is another network than the one that is trained: names and shapes do
/// not tell.
fn fits(head: &HeadCheckpoint, target: &ModelConfig) -> Result<(), Failure> {
    let Some(info) = head.describe()? else {
        return Ok(()); // Its tensors will tell.
    };
    let refuse = |what: String| {
        let rule = "training goes on only with heads such as it makes";
        Err(Failure::Input(format!(
            "--init: the head has {what}; {rule}"
        )))
    };
    if let Some(flag) = info.features.iter().find(|f| f.starts_with("norm_")) {
        return refuse(format!("the flag {flag}"));
    }
    if info.kind == HeadKind::Eagle3
        && let Some(own) = info.taps
        && own != taps(target.layers)?
    {
        return refuse(format!("the taps {own:?}"));
    }
    if info.kind != HeadKind::Medusa && info.rope_theta != target.rope_theta {
        return refuse(format!("the rotary base {}", info.rope_theta));
    }
    Ok(())
}

/// Passes side by side: a GPU does one thing after another.
fn workers(args: &Args, runtime: &Runtime) -> usize {
    let cores = || std::thread::available_parallelism().map_or(1, |n| n.get());
    match &runtime.backend.name[..] {
        "cpu" => args.model.threads.unwrap_or_else(cores),
        _ => 1,
    }
}

/// The conversations to learn from, and those that are held out.
fn split(
    mut documents: Vec<Document>,
    args: &Args,
) -> Result<(Vec<Document>, Vec<Document>), Failure> {
    if documents.len() < 2 {
        return Err(Failure::Input(
            "the data hold fewer than two conversations".into(),
        ));
    }
    let held = args.held_out.clamp(1, documents.len() / 2);
    let held_out = documents.split_off(documents.len() - held);
    let count = (documents.len() as f64 * args.share).ceil() as usize;
    documents.truncate(count);
    Ok((documents, held_out))
}

struct Run<'a> {
    args: &'a Args,
    runtime: &'a Runtime,
    network: &'a dyn Network,
    held_out: Vec<Document>,
}

impl Run<'_> {
    fn train(
        &self,
        mut trainer: Trainer<'_>,
        mut course: Course,
        context: &Context,
    ) -> Result<(), Failure> {
        let folder = &self.args.output;
        let state = folder.join("state.safetensors");
        if trainer.resume(&state)? {
            course = read_course(&folder.join("course.json"))?;
            let at = trainer.step_count();
            context
                .progress
                .note(format!("going on at update {at} of {}", trainer.steps()));
        }
        let mut steps = context.progress.steps("training", trainer.steps());
        for _ in 0..trainer.step_count() {
            steps.skip();
        }
        let (mut rows, start) = (0, Instant::now());
        let mut accuracy = Vec::new();
        loop {
            let next = trainer.step_count() + 1;
            let measure = next == 1 || next.is_multiple_of(TELL_EVERY);
            let Some(report) = pollster::block_on(trainer.step(measure))? else {
                break;
            };
            rows += report.rows;
            steps.step();
            if measure {
                let line = line(&report);
                accuracy = line.accuracy.clone();
                course.lines.push(line);
            }
            let tau = course.measured.last().map_or(0.0, |point| point.tau);
            steps.tell(|| {
                let rate = rows as f64 / start.elapsed().as_secs_f64();
                format!(
                    "{rate:.0} tokens/s, accuracy {}, tau {tau:.2}",
                    shares(&accuracy)
                )
            });
            let last = report.step == trainer.steps();
            if last || report.step.is_multiple_of(self.args.measure_every) {
                let export = self.network.export(trainer.weights())?;
                let measured = self.measure(&export)?;
                let best = course.measured.iter().all(|point| point.tau < measured.tau);
                course.measured.push(Point {
                    step: report.step,
                    tau: measured.tau,
                    by_depth: measured.by_depth,
                });
                if best {
                    export.save_folder(folder, Dtype::F16)?;
                    if self.args.method != Kind::Medusa {
                        export.save_gguf(&folder.join("head.gguf"))?;
                    }
                }
                trainer.save(&state)?;
                let json = serde_json::to_vec(&course);
                let json = json.map_err(|e| Failure::Runtime(e.to_string()))?;
                write_atomically(&folder.join("course.json"), &json)?;
                let text = card(self.args, &self.runtime.name, &course);
                write_atomically(&folder.join("README.md"), text.as_bytes())?;
                let title = format!("{} head for {}", self.network.name(), self.runtime.name);
                let page = report::render(&title, &course, trainer.steps())?;
                write_atomically(&folder.join("report.html"), page.as_bytes())?;
            }
        }
        steps.finish();
        let best = course
            .measured
            .iter()
            .map(|point| point.tau)
            .fold(0.0, f64::max);
        context.progress.note(format!(
            "the best head accepts {:.2} of {CHAIN} drafted tokens a round (tau {best:.2}): {}",
            best - 1.0,
            folder.display()
        ));
        Ok(())
    }

    /// Drafts for the held-out prompts with the head as it would be loaded.
    fn measure(&self, head: &HeadFile) -> Result<Acceptance, Failure> {
        let target = &self.runtime.target;
        let tensors =
            NamedTensors::from_bytes(Path::new("the head"), &head.safetensors(Dtype::F16)?)?;
        let growth = Growth {
            top_k: 1,
            depth: CHAIN,
            nodes: CHAIN,
        };
        let drafter: Box<dyn Drafter> = match self.args.method {
            Kind::Medusa => {
                let heads = load_medusa(tensors, target, Dtype::F16)?;
                Box::new(Medusa::new(heads, growth))
            }
            Kind::Eagle1 | Kind::Eagle3 => {
                let config = head.config.to_string();
                let head = load_head(tensors, config.as_bytes(), target, Dtype::F16)?;
                Box::new(Eagle::new(self.network.name(), head, target, growth)?)
            }
        };
        let prompts: Vec<Vec<u32>> = self.held_out.iter().map(|d| d.prompt().to_vec()).collect();
        let eos = self.runtime.text.tokenizer.eos_ids();
        let measured = acceptance(target, drafter, &prompts, eos, MEASURED_TOKENS, CHAIN);
        Ok(pollster::block_on(measured)?)
    }
}

fn line(report: &StepReport) -> Line {
    let loss = report.steps.iter().map(|m| m.loss / m.learnt.max(1) as f64);
    let accuracy = report
        .steps
        .iter()
        .map(|m| m.correct as f64 / m.all.max(1) as f64);
    Line {
        step: report.step,
        rate: report.rate,
        loss: loss.collect(),
        accuracy: accuracy.collect(),
    }
}

fn shares(values: &[f64]) -> String {
    let shares: Vec<String> = values.iter().map(|share| format!("{share:.2}")).collect();
    shares.join("/")
}

fn read_course(path: &Path) -> Result<Course, Failure> {
    let told = |e: String| Failure::Input(format!("{}: {e}", path.display()));
    let bytes = std::fs::read(path).map_err(|e| told(e.to_string()))?;
    serde_json::from_slice(&bytes).map_err(|e| told(e.to_string()))
}
