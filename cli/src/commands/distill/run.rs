//! Holding many conversations at a time: each sequence takes the next when it is free.

use std::collections::{BTreeMap, HashSet};
use std::fmt;
use std::ops::Range;
use std::time::{Duration, Instant};

use eaglet_core::draft::{Budget, Plain};
use eaglet_core::engine::{Emission, FinishReason, Limits, SequenceOptions, Session, Sizing};
use eaglet_core::sample::Sampling;
use eaglet_core::verify::Verification;

use super::filter::{Asked, Dropped};
use super::journal::Journal;
use super::plan::Plan;
use super::talk::{Language, Step, Talk};
use crate::error::Failure;
use crate::progress::{Progress, Steps};

/// Everything that a run works on.
pub struct Writing<'a> {
    pub session: Session,
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
    pub fn run(&mut self, batch: usize, progress: Progress) -> Result<Told, Failure> {
        let start = Instant::now();
        let mut told = Told::default();
        let mut steps = progress.steps("distilling", self.conversations.len());
        let mut talks: Vec<Option<Talk>> = Vec::new();
        for _ in 0..batch {
            self.session.open(sequence(Sampling::default(), 0, &[]))?;
            talks.push(None);
        }
        // Emissions of prompts that were given while others were being looked at.
        let mut news: Vec<Emission> = Vec::new();
        loop {
            for (index, talk) in talks.iter_mut().enumerate() {
                while talk.is_none()
                    && let Some(job) = self.next_job(&mut steps)
                {
                    *talk = Some(Talk::new(job));
                    self.advance(index, talk, true, &mut news, &mut told, &mut steps)?;
                }
            }
            while let Some(emission) = news.pop() {
                let (index, finish) = (emission.sequence, emission.finish);
                told.tokens += emission.tokens.len();
                if let Some(talk) = &mut talks[index] {
                    talk.ids.extend(emission.tokens);
                }
                if let Some(finish) = finish {
                    let ended = finish == FinishReason::Stop;
                    self.advance(
                        index,
                        &mut talks[index],
                        ended,
                        &mut news,
                        &mut told,
                        &mut steps,
                    )?;
                }
            }
            steps.tell(|| format!("{} tokens/s", rate(told.tokens, start)));
            if self.conversations.is_empty() && talks.iter().all(Option::is_none) {
                break;
            }
            news = pollster::block_on(self.session.round(&mut |_, _| false))?;
        }
        told.time = start.elapsed();
        steps.finish();
        Ok(told)
    }

    /// The next conversation that the file does not hold.
    fn next_job(&mut self, steps: &mut Steps) -> Option<super::plan::Job> {
        loop {
            let job = self.plan.job(self.conversations.next()?);
            if !self.done.contains(&job.id) {
                return Some(job);
            }
            steps.skip();
        }
    }

    /// Lets a conversation go on: gives its sequence the next prompt, or ends it.
    fn advance(
        &mut self,
        index: usize,
        slot: &mut Option<Talk>,
        ended: bool,
        news: &mut Vec<Emission>,
        told: &mut Told,
        steps: &mut Steps,
    ) -> Result<(), Failure> {
        let Some(talk) = slot else { return Ok(()) };
        let limit = self.max_tokens;
        match talk.next(self.language, ended, limit, &mut self.asked)? {
            Step::Prompt(prompt) => {
                let eos = self.language.tokenizer.eos_ids();
                let options = sequence(prompt.sampling, prompt.max_tokens, eos);
                self.session.reconfigure(index, options)?;
                let mut nobody = |_, _| false;
                let given = self.session.prompt(index, &prompt.ids, &mut nobody);
                news.push(pollster::block_on(given)?);
            }
            Step::Done(outcome) => {
                *slot = None;
                steps.step();
                match outcome {
                    Ok(conversation) => {
                        self.journal.write(&conversation)?;
                        told.kept += 1;
                    }
                    Err(dropped) => *told.dropped.entry(dropped).or_default() += 1,
                }
            }
        }
        Ok(())
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
        budget: Budget { nodes: 0, depth: 0 },
        sizing: Sizing::Measured,
        verification: Verification::Exact,
    }
}

fn rate(tokens: usize, since: Instant) -> usize {
    (tokens as f64 / since.elapsed().as_secs_f64().max(1e-9)) as usize
}
