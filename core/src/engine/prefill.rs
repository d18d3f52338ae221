//! Taking in a prompt, and the first token of its answer.

use std::time::Instant;

use super::session::{Emission, Session, Watch};
use super::stats::Stats;
use crate::draft::Observation;
use crate::error::{Error, Result};
use crate::ops::Rows;

/// Rows of one prefill pass: enough to be bound by arithmetic and not by the weights'
/// way from memory, few enough to keep activations small.
const CHUNK: usize = 256;

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
        watch: &mut Watch<'_>,
    ) -> Result<Emission> {
        let start = Instant::now();
        self.check_prompt(prompt)?;
        let sequence = &mut self.sequences[index];
        // The last token is always run: its logits give the first token of the answer.
        let reused = sequence.table.shared_prefix(prompt).min(prompt.len() - 1);
        self.pool
            .release(sequence.table.truncate(reused).into_iter());
        sequence.options.drafter.truncate(reused);
        sequence.tokens = prompt.to_vec();
        sequence.finish = None;
        sequence.stats = Stats {
            prompt_tokens: prompt.len(),
            reused_tokens: reused,
            ..Default::default()
        };
        let mut last = None;
        for chunk in prompt[reused..].chunks(CHUNK) {
            last = Some(self.run_chunk(index, chunk)?);
        }
        let Some(last) = last else {
            return Err(Error::Invalid("the prompt is empty".into()));
        };
        let logits = self.target.logits(&last)?;
        let mut draws = self.draws(logits).await?;
        let token = draws.at(0, &self.sequences[index], std::iter::empty())?;
        let stop = watch(index, token)?;
        let sequence = &mut self.sequences[index];
        sequence.emit(token, stop, self.context);
        sequence.stats.prefill = start.elapsed();
        Ok(Emission {
            sequence: index,
            tokens: vec![token],
            finish: sequence.finish,
        })
    }

    fn check_prompt(&self, prompt: &[u32]) -> Result<()> {
        if prompt.is_empty() {
            return Err(Error::Invalid("the prompt is empty".into()));
        }
        if prompt.len() >= self.context {
            return Err(Error::Capacity {
                needed: prompt.len() + 1,
                capacity: self.context,
                hint: "shorten the prompt or raise --ctx",
            });
        }
        Ok(())
    }

    /// Runs and commits part of a prompt; returns the features of its last token.
    fn run_chunk(&mut self, index: usize, chunk: &[u32]) -> Result<burn::tensor::Tensor<2>> {
        let slots = self.pool.reserve(chunk.len())?;
        let table = &mut self.sequences[index].table;
        let position = table.len();
        for (&token, &slot) in chunk.iter().zip(&slots) {
            table.commit(token, slot);
        }
        let mut rows = Rows::default();
        let id = rows.add_table(table.slots());
        for (i, (&token, &slot)) in chunk.iter().zip(&slots).enumerate() {
            rows.push(token, slot, id, (position + i + 1) as u32, &[]);
        }
        let features = self.target.forward(&rows, &mut self.pool, &self.taps)?;
        let all: Vec<u32> = (0..chunk.len() as u32).collect();
        self.sequences[index].options.drafter.observe(Observation {
            tokens: chunk,
            position,
            features: &features,
            rows: &all,
        })?;
        let last = chunk.len() as u32 - 1;
        self.target.ops().select(&features.last, &[last])
    }
}
