//! A loaded model and how it answers: what `generate` and `chat` share.

mod answer;
mod costs;
mod drafters;
mod drafting;
mod head;
mod heads;
pub mod memory;
mod method;
mod options;
pub mod pool;
mod reader;
mod report;
mod shipped;
mod tree_arg;
mod verify;

use std::path::PathBuf;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use eaglet_backends::Backend;
use eaglet_core::Error;
use eaglet_core::engine::{Session, SessionOptions};
use eaglet_core::model::{LoadOptions, Transformer};
use eaglet_core::text::{ChatTemplate, Message, Special, TextAssets, encode_chat};
use eaglet_core::weights::ModelFile;
use indicatif::ProgressBar;

pub use answer::Answer;
pub use costs::Known;
pub use drafters::Drafters;
pub use drafting::{DraftArgs, Drafting};
pub use method::Method;
pub use options::{DecodeArgs, ModelArgs};
pub use reader::{Reader, Reply};
pub use report::{Report, summary};
pub use tree_arg::TreeArg;
pub use verify::Verify;

use crate::context::Context;
use crate::error::Failure;

/// A model on a device, with its text side.
pub struct Runtime {
    /// The model, by the name that was asked for.
    pub name: String,
    /// Where it lies.
    pub path: PathBuf,
    /// The device.
    pub backend: Backend,
    /// The model itself.
    pub target: Arc<Transformer>,
    /// Tokenizer and template.
    pub text: TextAssets,
    /// How long loading took.
    pub load: Duration,
    /// What its passes cost.
    pub costs: Known,
}

/// A device and a model that is on this machine, not yet loaded: there is time to refuse
/// what does not go with it.
pub struct Found<'a> {
    args: &'a ModelArgs,
    backend: Backend,
    /// Where the model lies.
    pub path: PathBuf,
}

impl<'a> Found<'a> {
    /// Opens the device, and finds or fetches the model.
    pub fn new(args: &'a ModelArgs, context: &Context) -> Result<Self, Failure> {
        let backend = context.open(args.device, args.threads)?;
        for device in &backend.skipped {
            context.progress.note(format!("skipped: {device}"));
        }
        let path = context.model(&args.model)?;
        Ok(Self {
            args,
            backend,
            path,
        })
    }

    /// Loads the model.
    pub fn load(self, context: &Context) -> Result<Runtime, Failure> {
        let Self {
            args,
            backend,
            path,
        } = self;
        let start = Instant::now();
        let file = ModelFile::open(&path)?;
        let options = LoadOptions {
            dtype: args.dtype,
            context: args.ctx,
        };
        let bar = context.progress.spinner("loading");
        // The tokenizer is built while the weights are packed: both take a while.
        let (text, target) = thread::scope(|scope| {
            let text = scope.spawn(|| TextAssets::open(&file));
            let target = Transformer::load(&file, backend.ops.clone(), options, |done, all| {
                show(&bar, done, all);
            });
            let text = text
                .join()
                .unwrap_or_else(|_| Err(Error::Tokenizer("building the tokenizer failed".into())));
            (text, target)
        });
        bar.finish_and_clear();
        let target = target?;
        Ok(Runtime {
            name: args.model.to_string(),
            path,
            costs: Known::new(&context.store, &target, &backend.description),
            backend,
            target: Arc::new(target),
            text: text?,
            load: start.elapsed(),
        })
    }
}

impl Runtime {
    /// Finds (or fetches) the model and loads it.
    pub fn load(args: &ModelArgs, context: &Context) -> Result<Self, Failure> {
        Found::new(args, context)?.load(context)
    }

    /// A session of some sequences that are all decoded alike.
    pub fn session(
        &self,
        decode: &DecodeArgs,
        drafting: &Drafting,
        sequences: usize,
    ) -> Result<Session, Failure> {
        let nodes = drafting.budget.nodes;
        let options = SessionOptions { sequences, nodes };
        let mut session = Session::new(self.target.clone(), options)?;
        let drafters = Drafters::load(drafting, &self.target, Some(&self.text))?;
        for _ in 0..sequences {
            session.open(decode.sequence(&drafters, Some(&self.text))?)?;
        }
        if decode.is_sized(drafting) {
            self.costs.tell(&mut session, sequences, nodes)?;
            pollster::block_on(session.rehearse())?;
        }
        Ok(session)
    }

    /// How conversations become text, of a model that knows conversations.
    pub fn template(&self) -> Result<&ChatTemplate, Failure> {
        self.text.template.as_ref().ok_or_else(|| {
            Failure::Input(format!(
                "{} has no chat template: it completes text; use `generate --raw`",
                self.name
            ))
        })
    }

    /// A conversation as ids, up to where the model speaks.
    pub fn encode_chat(&self, messages: &[Message]) -> Result<Vec<u32>, Failure> {
        let (tokenizer, template) = (&self.text.tokenizer, self.template()?);
        Ok(encode_chat(tokenizer, template, messages, true)?)
    }

    /// Plain text as ids, special tokens included, after the mark of a beginning where
    /// the model wants one.
    pub fn encode_raw(&self, text: &str) -> Result<Vec<u32>, Failure> {
        let tokenizer = &self.text.tokenizer;
        let bos = tokenizer.bos().filter(|_| tokenizer.add_bos());
        let mut ids: Vec<u32> = bos.into_iter().collect();
        ids.extend(tokenizer.encode(text, Special::Parse)?);
        Ok(ids)
    }
}

fn show(bar: &ProgressBar, done: usize, all: usize) {
    bar.set_length(all as u64);
    bar.set_position(done as u64);
}
