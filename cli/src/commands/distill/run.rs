//! Holding many conversations at a time.

use std::collections::{BTreeMap, HashSet};
use std::fmt;
use std::ops::Range;
use std::time::{Duration, Instant};

use eaglet_core::draft::{Budget, Plain};
use eaglet_core::engine::{FinishReason, Limits, SequenceOptions, Session, Sizing};
use eaglet_core::sample::Sampling;
use eaglet_core::verify::Verification;

use super::filter::{Asked, Dropped};
use super::journal::Journal;
use super::plan::{Job, Plan};
use super::talk::{Language, Step, Talk};
use crate::error::Failure;
use crate::progress::{Progress, Steps};
use crate::runtime::pool::{self, Desk, Ended, Request};

/// Everything that a run works on.
pub struct Writing<'a> {
    pub language: Language<'a>,
    pub plan: &'a Plan,
    /// The conversations to hold, by index.
    pub conversations: Range<usize>,
    /// The ids of those that the file holds already.
    pub done: HashSet<String>,
    pub max_tokens: usize,
    pub asked: Asked,
    pub journal: Journal,
}

/// What a run did.
#[derive(Default)]
pub struct Told {
    kept: usize,
    dropped: BTreeMap<Dropped, usize>,
    tokens: usize,
    time: Duration,
}

impl fmt::Display for Told {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let rate = self.tokens as f64 / self.time.as_secs_f64().max(1e-9);
        write!(
            f,
            "{} conversations ({} tokens, {rate:.0}/s",
            self.kept, self.tokens
        )?;
        for (why, count) in &self.dropped {
            write!(f, "; {count} {}", why.name())?;
        }
        f.write_str(")")
    }
}

impl Writing<'_> {
    /// Holds all conversations, `batch` at a time.
    pub fn run(
        &mut self,
        session: &mut Session,
        batch: usize,
        progress: Progress,
    ) -> Result<Told, Failure> {
        for _ in 0..batch {
            session.open(sequence(Sampling::default(), 0, &[]))?;
        }
        let mut floor = Floor {
            steps: progress.steps("distilling", self.conversations.len()),
            told: Told::default(),
            start: Instant::now(),
            writing: self,
        };
        pool::work(session, batch, &mut floor)?;
        floor.told.time = floor.start.elapsed();
        floor.steps.finish();
        Ok(floor.told)
    }

    /// The next conversation that the file does not hold.
    fn next_job(&mut self, steps: &mut Steps) -> Option<Job> {
        loop {
            let job = self.plan.job(self.conversations.next()?);
            if !self.done.contains(&job.id) {
                return Some(job);
            }
            steps.skip();
        }
    }
}

/// Where conversations are held, and counted.
struct Floor<'w, 'a> {
    writing: &'w mut Writing<'a>,
    told: Told,
    steps: Steps,
    start: Instant,
}

impl Desk for Floor<'_, '_> {
    type Task = Talk;

    fn take(&mut self) -> Option<Talk> {
        self.writing.next_job(&mut self.steps).map(Talk::new)
    }

    fn advance(
        &mut self,
        talk: &mut Talk,
        before: Option<Ended<'_>>,
    ) -> Result<Option<Request>, Failure> {
        let Writing {
            language,
            max_tokens,
            asked,
            journal,
            ..
        } = &mut *self.writing;
        let ended = before.is_none_or(|before| before.finish == FinishReason::Stop);
        match talk.next(*language, ended, *max_tokens, asked)? {
            Step::Prompt(prompt) => {
                let eos = language.tokenizer.eos_ids();
                return Ok(Some(Request {
                    ids: prompt.ids,
                    options: Some(sequence(prompt.sampling, prompt.max_tokens, eos)),
                }));
            }
            Step::Done(Ok(conversation)) => {
                journal.write(&conversation)?;
                self.told.kept += 1;
            }
            Step::Done(Err(dropped)) => *self.told.dropped.entry(dropped).or_default() += 1,
        }
        self.steps.step();
        Ok(None)
    }

    fn emitted(&mut self, talk: &mut Talk, token: u32) -> bool {
        talk.ids.push(token);
        self.told.tokens += 1;
        false
    }

    fn tell(&mut self) {
        let rate = self.told.tokens as f64 / self.start.elapsed().as_secs_f64().max(1e-9);
        self.steps.tell(|| format!("{rate:.0} tokens/s"));
    }
}

/// Plain decoding: with a batch there is little to gain from drafts.
fn sequence(sampling: Sampling, max_tokens: usize, eos: &[u32]) -> SequenceOptions {
    SequenceOptions {
        sampling,
        limits: Limits {
            eos: eos.to_vec(),
            max_tokens: Some(max_tokens),
        },
        drafter: Box::new(Plain),
        budget: Budget::new(0, 0),
        sizing: Sizing::Measured,
        verification: Verification::Exact,
    }
}
