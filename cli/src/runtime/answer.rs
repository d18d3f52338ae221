//! One answer: rounds until it ends, its text streamed as it becomes certain.

use std::sync::atomic::{AtomicBool, Ordering};

use eaglet_core::Error;
use eaglet_core::engine::{FinishReason, Limits, SequenceOptions, Session, Watch};
use eaglet_core::text::{Detokenizer, StopStrings};

use super::{DecodeArgs, Drafting, Method, Runtime};
use crate::error::Failure;

/// A sequence that gives answers.
pub struct Answer<'a> {
    runtime: &'a Runtime,
    session: Session,
    sequence: usize,
    stop: Vec<String>,
    method: Method,
}

/// What an answer turned out to be.
#[derive(Clone, Debug)]
pub struct Reply {
    /// The text, without the stop string or the token that ended it.
    pub text: String,
    /// All ids that were emitted.
    pub ids: Vec<u32>,
    /// Why it ended; `None` when the person interrupted it.
    pub finish: Option<FinishReason>,
}

impl<'a> Answer<'a> {
    /// Makes room for a conversation.
    pub fn new(
        runtime: &'a Runtime,
        decode: &DecodeArgs,
        drafting: &Drafting,
    ) -> Result<Self, Failure> {
        let mut session = runtime.session(drafting)?;
        let sequence = session.open(SequenceOptions {
            sampling: decode.sampling(),
            limits: Limits {
                eos: runtime.text.tokenizer.eos_ids().to_vec(),
                max_tokens: decode.max_tokens,
            },
            drafter: drafting.drafter(runtime)?,
            budget: drafting.budget,
            sizing: drafting.sizing,
            verification: decode.verify.into(),
        })?;
        Ok(Self {
            runtime,
            session,
            sequence,
            stop: decode.stop.clone(),
            method: drafting.method,
        })
    }

    /// Answers a prompt, giving `sink` each piece of text once it is certain. Setting
    /// `interrupt` ends the answer after the token at hand.
    pub fn reply(
        &mut self,
        prompt: &[u32],
        interrupt: &AtomicBool,
        sink: &mut dyn FnMut(&str) -> Result<(), Failure>,
    ) -> Result<Reply, Failure> {
        let mut reader = Reader {
            eos: self.runtime.text.tokenizer.eos_ids(),
            detokenizer: Detokenizer::new(self.runtime.text.tokenizer.clone(), false),
            stops: StopStrings::new(self.stop.clone())?,
            text: String::new(),
            ids: Vec::new(),
            stopped: false,
            failure: None,
            interrupt,
            sink,
        };
        let (session, sequence) = (&mut self.session, self.sequence);
        let finish = pollster::block_on(async {
            let mut finish = session.prompt(sequence, prompt, &mut reader).await?.finish;
            while finish.is_none() {
                let emissions = session.round(&mut reader).await?;
                finish = emissions.last().and_then(|emission| emission.finish);
            }
            Ok::<_, Error>(finish)
        })?;
        let (text, ids) = reader.finish()?;
        let interrupted = interrupt.load(Ordering::Relaxed);
        Ok(Reply {
            text,
            ids,
            finish: finish.filter(|_| !interrupted),
        })
    }

    /// The method that drafts.
    pub fn method(&self) -> Method {
        self.method
    }

    /// Counts and times of the last answer.
    pub fn stats(&self) -> &eaglet_core::engine::Stats {
        self.session.sequence(self.sequence).stats()
    }
}

/// Turns tokens into text as they come, and decides where the answer ends.
struct Reader<'a> {
    eos: &'a [u32],
    detokenizer: Detokenizer,
    stops: StopStrings,
    text: String,
    ids: Vec<u32>,
    stopped: bool,
    /// What went wrong on the way to the reader; it ends the answer.
    failure: Option<Failure>,
    interrupt: &'a AtomicBool,
    sink: &'a mut dyn FnMut(&str) -> Result<(), Failure>,
}

impl Reader<'_> {
    fn read(&mut self, token: u32) -> Result<(), Failure> {
        self.ids.push(token);
        let piece = match self.eos.contains(&token) {
            true => String::new(),
            false => self.detokenizer.push(token)?,
        };
        let released = self.stops.push(&piece);
        self.stopped = released.stop.is_some();
        self.text.push_str(&released.text);
        (self.sink)(&released.text)
    }

    /// The whole text: what was held back is part of it unless a stop string ended it.
    fn finish(mut self) -> Result<(String, Vec<u32>), Failure> {
        if let Some(failure) = self.failure {
            return Err(failure);
        }
        if !self.stopped {
            let mut rest = self.stops.push(&self.detokenizer.finish()).text;
            rest.push_str(&self.stops.finish());
            (self.sink)(&rest)?;
            self.text.push_str(&rest);
        }
        Ok((self.text, self.ids))
    }
}

impl Watch for Reader<'_> {
    fn emitted(&mut self, _: usize, token: u32) -> bool {
        self.failure = self.read(token).err();
        self.stopped || self.failure.is_some() || self.cancelled()
    }

    fn cancelled(&mut self) -> bool {
        self.interrupt.load(Ordering::Relaxed)
    }
}
