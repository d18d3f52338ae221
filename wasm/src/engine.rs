//! A model that answers, one answer at a time.

use std::sync::Arc;

use eaglet_core::draft::{Budget, HeadCheckpoint, Plain};
use eaglet_core::engine::{Emission, Limits, SequenceOptions, Session, SessionOptions, Sizing};
use eaglet_core::model::Transformer;
use eaglet_core::ops::Ops;
use eaglet_core::sample::Sampling;
use eaglet_core::text::TextAssets;
use eaglet_core::verify::Verification;
use eaglet_core::weights::{Checkpoint, Dtype, ModelFile};

use crate::device::{self, pace};
use crate::drafting::Plan;
use crate::info::{HeadInfo, MemoryInfo, ModelInfo};
use crate::{Answer, Device, Failure, Info, Listen, Method, Options, Request, Step, TrainedHead};

/// The one sequence of the session.
const SEQUENCE: usize = 0;

/// Rows of a prompt that the processor reads before it listens again: a second's work with
/// half a billion weights. The kernels gain nothing from more.
pub const ROWS: usize = 32;

/// A model on a device, its text side, and the conversation that its cache holds.
pub struct Engine {
    target: Arc<Transformer>,
    text: Arc<TextAssets>,
    head: Option<TrainedHead>,
    session: Session,
    plan: Plan,
    info: Info,
}

impl Engine {
    /// Loads a model and, if there is one, its head. `progress` is told how many bytes of
    /// how many are packed.
    ///
    /// # Errors
    /// A file is broken or of another kind, the device is not there, or memory is short.
    pub async fn load(
        model: &ModelFile,
        head: Option<HeadCheckpoint>,
        options: &Options,
        progress: impl FnMut(usize, usize),
    ) -> Result<Self, Failure> {
        let config = model.config()?;
        // The tokenizer first: it is what a wrong set of files lacks.
        let text = Arc::new(TextAssets::open(model)?);
        let load = options.load(&config)?;
        let (device, working) = Device::open(options, model, load).await?;
        let ops = working.ops.clone();
        let target = Arc::new(Transformer::load(model, ops, load, progress)?);
        let head = head.map(|file| TrainedHead::load(file, &target));
        let head = head.transpose()?;
        let room = SessionOptions {
            sequences: 1,
            nodes: Plan::most_nodes()?,
        };
        let mut session = Session::new(target.clone(), room)?;
        let plan = Plan::new(Method::Plain, None)?;
        session.open(plain())?;
        // With a head's cache, of which each of its drafters makes one.
        let drafts = Plan::new(Method::Auto, head.as_ref())?;
        drop(drafts.drafter(head.as_ref(), &target)?);
        working.prove().await?;
        if device.name == device::WASM {
            session.read_by(ROWS);
        }
        let half = usize::from(target.dtype() != Dtype::F32);
        let heads = config.attention_heads();
        let slot = config.layers * 2 * heads.kv * heads.dim * (4 >> half);
        let info = Info {
            model: ModelInfo {
                architecture: config.architecture.to_string(),
                layers: config.layers,
                hidden: config.hidden,
                vocab: config.vocab,
                context: target.context(),
                dtype: target.dtype().to_string(),
                bytes: model.tensors().iter().map(|tensor| tensor.bytes).sum(),
            },
            head: head.as_ref().map(|head| HeadInfo {
                method: head.method(),
                bytes: head.bytes,
            }),
            device,
            memory: MemoryInfo {
                weights: target.bytes_per_pass(),
                cache: slot * (target.context() + room.nodes + 1),
            },
        };
        let mut engine = Self {
            target,
            text,
            head,
            session,
            plan,
            info,
        };
        // How long a pass takes is part of what a page is told.
        let seconds = pace(&mut engine.session).await?;
        engine.info.device.measured(seconds);
        Ok(engine)
    }

    /// The device's operations.
    pub fn ops(&self) -> &Arc<dyn Ops> {
        self.target.ops()
    }

    /// What was loaded.
    pub fn info(&self) -> &Info {
        &self.info
    }

    /// The tokenizer and the chat template.
    pub fn text(&self) -> &Arc<TextAssets> {
        &self.text
    }

    /// Runs a prompt, and returns the answer with what its first token brought. What the
    /// cache holds of the prompt is not run again. Where `listen` says while it runs that the
    /// answer is no longer wanted, it has ended without a token.
    ///
    /// # Errors
    /// The request makes no sense for this model, or does not fit the context; or the
    /// device failed.
    pub async fn start(
        &mut self,
        request: &Request,
        listen: Listen,
    ) -> Result<(Answer, Step), Failure> {
        let ids = request.encode(&self.text)?;
        let mut answer = Answer::new(request, &self.text, listen)?;
        let plan = Plan::new(request.method, self.head.as_ref())?;
        let (sampling, limits) = (request.sampling(), request.limits(&self.text));
        if plan == self.plan {
            self.session.adjust(SEQUENCE, sampling, limits)?;
        } else {
            let (budget, sizing) = plan.budget()?;
            let options = SequenceOptions {
                sampling,
                limits,
                drafter: plan.drafter(self.head.as_ref(), &self.target)?,
                budget,
                sizing,
                verification: Verification::Exact,
            };
            self.session.reconfigure(SEQUENCE, options)?;
            self.plan = plan;
        }
        let emission = self.session.prompt(SEQUENCE, &ids, &mut answer).await?;
        let step = self.taken(&mut answer, &emission)?;
        Ok((answer, step))
    }

    /// The next round of an answer; `None` after its last one. The answer must be the one
    /// that was started last.
    ///
    /// # Errors
    /// The device failed.
    pub async fn next(&mut self, answer: &mut Answer) -> Result<Option<Step>, Failure> {
        if answer.ended {
            return Ok(None);
        }
        match self.session.round(answer).await?.first() {
            Some(emission) => Ok(Some(self.taken(answer, emission)?)),
            None => Ok(None),
        }
    }

    fn taken(&self, answer: &mut Answer, emission: &Emission) -> Result<Step, Failure> {
        let sequence = self.session.sequence(SEQUENCE);
        answer.take(emission, sequence, self.target.context())
    }
}

/// How the session waits for its first request.
pub fn plain() -> SequenceOptions {
    SequenceOptions {
        sampling: Sampling::default(),
        limits: Limits::default(),
        drafter: Box::new(Plain),
        budget: Budget::new(0, 0),
        sizing: Sizing::Measured,
        verification: Verification::Exact,
    }
}
