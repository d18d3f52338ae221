//! One answer: rounds until it ends, its text streamed as it becomes certain.

use std::sync::atomic::{AtomicBool, Ordering};

use eaglet_core::Error;
use eaglet_core::engine::{FinishReason, Limits, SequenceOptions, Session};
use eaglet_core::text::{Detokenizer, StopStrings};

use super::{DecodeArgs, Runtime};
use crate::error::Failure;

/// A sequence that gives answers.
pub struct Answer<'a> {
    runtime: &'a Runtime,
    session: Session,
    sequence: usize,
    stop: Vec<String>,
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
    pub fn new(runtime: &'a Runtime, decode: &DecodeArgs) -> Result<Self, Failure> {
        StopStrings::new(decode.stop.clone())?;
        let mut session = runtime.session(decode)?;
        let sequence = session.open(SequenceOptions {
            sampling: decode.sampling(),
            limits: Limits {
                eos: runtime.text.tokenizer.eos_ids().to_vec(),
                max_tokens: decode.max_tokens,
            },
            drafter: decode.method.drafter(decode.draft_tokens),
            budget: decode.budget(),
        })?;
        Ok(Self {
            runtime,
            session,
            sequence,
            stop: decode.stop.clone(),
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
        let tokenizer = self.runtime.text.tokenizer.clone();
        let eos = tokenizer.eos_ids().to_vec();
        let mut detokenizer = Detokenizer::new(tokenizer, false);
        let mut stops = StopStrings::new(self.stop.clone())?;
        let (mut text, mut ids, mut stopped) = (String::new(), Vec::new(), false);
        let mut failure = None;
        let mut watch = |_, token| {
            ids.push(token);
            let piece = match eos.contains(&token) {
                true => String::new(),
                false => detokenizer.push(token)?,
            };
            let released = stops.push(&piece);
            text.push_str(&released.text);
            if let Err(error) = sink(&released.text) {
                failure = Some(error);
            }
            stopped = released.stop.is_some();
            Ok(stopped || failure.is_some() || interrupt.load(Ordering::Relaxed))
        };
        let (session, sequence) = (&mut self.session, self.sequence);
        let run = pollster::block_on(async {
            let mut finish = session.prompt(sequence, prompt, &mut watch).await?.finish;
            while finish.is_none() {
                let emissions = session.round(&mut watch).await?;
                finish = emissions.last().and_then(|emission| emission.finish);
            }
            Ok::<_, Error>(finish)
        });
        if let Some(failure) = failure {
            return Err(failure);
        }
        let finish = run?;
        if !stopped {
            // What was held back is part of the text after all.
            let mut rest = stops.push(&detokenizer.finish()).text;
            rest.push_str(&stops.finish());
            sink(&rest)?;
            text.push_str(&rest);
        }
        let interrupted = interrupt.load(Ordering::Relaxed);
        Ok(Reply {
            text,
            ids,
            finish: finish.filter(|_| !interrupted),
        })
    }

    /// Counts and times of the last answer.
    pub fn stats(&self) -> &eaglet_core::engine::Stats {
        self.session.sequence(self.sequence).stats()
    }
}
