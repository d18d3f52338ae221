//! Taking in a prompt, and the first token of its answer.

use burn::tensor::Tensor;
use web_time::Instant;

use super::round::Emission;
use super::sequence::FinishReason;
use super::session::Session;
use super::stats::Stats;
use super::watch::Watch;
use crate::draft::Observation;
use crate::error::{Error, Result};

/// Passes over a prompt that a device may have before it: it takes them without a word, and
/// while all of a long prompt is waited for, nobody would be heard.
const UNDER_WAY: usize = 4;

/// Rows of one prefill pass: enough to be bound by arithmetic and not by the weights'
/// way from memory, few enough to keep activations small.
pub(super) const CHUNK: usize = 256;

impl Session {
    /// Gives a sequence its whole text anew, prompts and answers of earlier turns
    /// included, and emits the first token of the answer. What the cache holds of it
    /// already is not computed again.
    ///
    /// # Errors
    /// The prompt is empty or leaves no room for an answer, or the device failed.
    pub async fn prompt(
        &mut self,
        index: usize,
        prompt: &[u32],
        watch: &mut dyn Watch,
    ) -> Result<Emission> {
        self.check_prompt(prompt)?;
        let emission = self.take_in(index, prompt, watch).await;
        if emission.is_err() {
            // Devices tell late of what they could not do: nothing of it is kept.
            let sequence = &mut self.sequences[index];
            let dropped = sequence.table.truncate(sequence.stats.reused_tokens);
            self.pool.release(dropped.into_iter());
            sequence.tokens.truncate(sequence.table.len());
        }
        debug_assert!(self.check_integrity().is_ok());
        emission
    }

    /// Reads prompts by so many rows a pass from now on, instead of 256: between two passes
    /// [`Watch::cancelled`] is asked, so on a slow device fewer make a session that listens.
    /// The answers are the same, bit for bit.
    ///
    /// # Panics
    /// For 0.
    pub fn read_by(&mut self, rows: usize) {
        assert!(rows > 0, "a pass has at least one row");
        self.chunk = rows;
    }

    async fn take_in(
        &mut self,
        index: usize,
        prompt: &[u32],
        watch: &mut dyn Watch,
    ) -> Result<Emission> {
        let start = Instant::now();
        let sequence = &mut self.sequences[index];
        // The last token is always run: its logits give the first token of the answer.
        let reused = sequence.table.shared_prefix(prompt).min(prompt.len() - 1);
        let reused = sequence.options.drafter.truncate(reused).min(reused);
        let dropped = sequence.table.truncate(reused);
        self.pool.release(dropped.into_iter());
        sequence.tokens = prompt.to_vec();
        sequence.finish = None;
        sequence.stats = Stats {
            prompt_tokens: prompt.len(),
            reused_tokens: reused,
            ..Default::default()
        };
        let asked = self.ask(&[(index, prompt.len())], watch.wants_logits())?;
        let mut last: Option<Tensor<2>> = None;
        for (pass, chunk) in prompt[reused..].chunks(self.chunk).enumerate() {
            if let Some(last) = last.take_if(|_| pass % UNDER_WAY == 0) {
                self.target.ops().read(last).await?;
            }
            if watch.cancelled().await {
                return Ok(self.give_up(index));
            }
            last = Some(self.run_chunk(index, chunk)?);
        }
        let Some(last) = last else {
            return Err(Error::Invalid("the prompt is empty".into()));
        };
        let logits = self.target.logits(&last)?;
        let mut draws = self.draws(logits, asked).await?;
        if let Some(logits) = draws.logits(0) {
            watch.logits(index, logits);
        }
        let token = draws.at(0, &self.sequences[index], std::iter::empty())?;
        let stop = watch.emitted(index, token);
        let sequence = &mut self.sequences[index];
        sequence.emit(token, stop, self.context);
        sequence.stats.prefill = start.elapsed();
        Ok(Emission {
            sequence: index,
            tokens: vec![token],
            finish: sequence.finish,
        })
    }

    /// Ends a sequence before its first token; what was computed stays in the cache.
    fn give_up(&mut self, index: usize) -> Emission {
        let finish = Some(FinishReason::Stop);
        self.sequences[index].finish = finish;
        Emission {
            sequence: index,
            tokens: Vec::new(),
            finish,
        }
    }

    fn check_prompt(&self, prompt: &[u32]) -> Result<()> {
        if prompt.is_empty() {
            return Err(Error::Invalid("the prompt is empty".into()));
        }
        if prompt.len() >= self.context {
            return Err(Error::Capacity {
                needed: prompt.len() + 1,
                capacity: self.context,
                hint: "shorten the prompt, or load the model with a larger context",
            });
        }
        Ok(())
    }

    /// Runs and commits part of a prompt; returns the features of its last token. After
    /// an error nothing of the part is committed.
    fn run_chunk(&mut self, index: usize, chunk: &[u32]) -> Result<Tensor<2>> {
        let position = self.sequences[index].table.len();
        let features = self.try_chunk(index, chunk);
        if features.is_err() {
            let slots = self.sequences[index].table.truncate(position);
            self.pool.release(slots.into_iter());
        }
        features
    }

    fn try_chunk(&mut self, index: usize, chunk: &[u32]) -> Result<Tensor<2>> {
        let slots = self.pool.reserve(chunk.len())?;
        let table = &mut self.sequences[index].table;
        let position = table.len();
        let rows = table.extend(chunk, &slots);
        let features = self.target.forward(&rows, &mut self.pool, &self.taps)?;
        let all: Vec<u32> = (0..chunk.len() as u32).collect();
        let drafter = &mut self.sequences[index].options.drafter;
        drafter.observe(Observation {
            tokens: chunk,
            position,
            features: &features.only(&self.taps, drafter.taps()),
            rows: &all,
        })?;
        let last = chunk.len() as u32 - 1;
        self.target.ops().select(&features.last, &[last])
    }
}
