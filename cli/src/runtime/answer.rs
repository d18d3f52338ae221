//! One answer: rounds until it ends, its text streamed as it becomes certain.

use std::future::ready;
use std::sync::atomic::{AtomicBool, Ordering};

use eaglet_core::Error;
use eaglet_core::engine::{Session, Stats, Watch, Word};

use super::{DecodeArgs, Drafting, Method, Reader, Reply, Runtime};
use crate::error::Failure;

/// A sequence that gives answers.
pub struct Answer<'a> {
    runtime: &'a Runtime,
    session: Session,
    sequence: usize,
    stop: Vec<String>,
    method: Method,
}

impl<'a> Answer<'a> {
    /// Makes room for a conversation.
    pub fn new(
        runtime: &'a Runtime,
        decode: &DecodeArgs,
        drafting: &Drafting,
    ) -> Result<Self, Failure> {
        Ok(Self {
            runtime,
            session: runtime.session(decode, drafting, 1)?,
            sequence: 0,
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
        let mut listener = Listener {
            reader: Reader::new(&self.runtime.text, &self.stop)?,
            failure: None,
            interrupt,
            sink,
        };
        let (session, sequence) = (&mut self.session, self.sequence);
        let finish = pollster::block_on(async {
            let mut finish = session
                .prompt(sequence, prompt, &mut listener)
                .await?
                .finish;
            while finish.is_none() {
                let emissions = session.round(&mut listener).await?;
                finish = emissions.last().and_then(|emission| emission.finish);
            }
            Ok::<_, Error>(finish)
        })?;
        let Listener {
            reader, failure, ..
        } = listener;
        if let Some(failure) = failure {
            return Err(failure);
        }
        let certain = reader.certain();
        let interrupted = interrupt.load(Ordering::Relaxed);
        let reply = reader.finish(finish.filter(|_| !interrupted));
        sink(&reply.text[certain..])?;
        Ok(reply)
    }

    /// The method that drafts.
    pub fn method(&self) -> Method {
        self.method
    }

    /// Counts and times of the last answer.
    pub fn stats(&self) -> &Stats {
        self.session.sequence(self.sequence).stats()
    }
}

/// Hands text on as it comes, and decides where the answer ends.
struct Listener<'a> {
    reader: Reader<'a>,
    /// What went wrong on the way to the person; it ends the answer.
    failure: Option<Failure>,
    interrupt: &'a AtomicBool,
    sink: &'a mut dyn FnMut(&str) -> Result<(), Failure>,
}

impl Watch for Listener<'_> {
    fn emitted(&mut self, _: usize, token: u32) -> bool {
        let told = self.reader.read(token).and_then(|text| (self.sink)(text));
        self.failure = told.err();
        self.reader.is_stopped() || self.failure.is_some() || self.interrupted()
    }

    fn cancelled(&mut self) -> Word<'_> {
        Box::pin(ready(self.interrupted()))
    }
}

impl Listener<'_> {
    fn interrupted(&self) -> bool {
        self.interrupt.load(Ordering::Relaxed)
    }
}
