//! What is decoded together: a model, a cache, sequences.

use std::sync::Arc;

use burn::tensor::DType;

use super::costs::{CostTable, Costs};
use super::prefill::CHUNK;
use super::sequence::{Limits, Sequence, SequenceOptions};
use super::worth::Worth;
use crate::cache::KvPool;
use crate::error::{Error, Result};
use crate::model::Transformer;
use crate::sample::Sampling;
use crate::weights::Dtype;

/// What a session makes room for.
#[derive(Clone, Copy, Debug)]
pub struct SessionOptions {
    /// Sequences that are decoded together.
    pub sequences: usize,
    /// Nodes that one sequence may draft in a round.
    pub nodes: usize,
}

/// A model, a cache, and the sequences that are decoded with them.
pub struct Session {
    pub(super) target: Arc<Transformer>,
    pub(super) pool: KvPool,
    pub(super) sequences: Vec<Sequence>,
    pub(super) taps: Vec<usize>,
    pub(super) context: usize,
    pub(super) costs: Costs,
    pub(super) worth: Worth,
    /// Rows of one pass over a prompt.
    pub(super) chunk: usize,
}

impl Session {
    /// Allocates the cache: `context` positions for each sequence and the nodes of one
    /// round. Keys and values are f32 for an f32 model and f16 for every other.
    ///
    /// # Errors
    /// The device has not enough memory.
    pub fn new(target: Arc<Transformer>, options: SessionOptions) -> Result<Self> {
        let dtype = match target.dtype() {
            Dtype::F32 => DType::F32,
            _ => DType::F16,
        };
        let context = target.context();
        let each = context
            .checked_add(options.nodes)
            .and_then(|n| n.checked_add(1));
        let slots = each.and_then(|n| n.checked_mul(options.sequences));
        let slots = slots.filter(|&n| n < u32::MAX as usize).ok_or_else(|| {
            Error::Invalid("so many sequences of so many positions cannot be counted".into())
        })?;
        let (config, ops) = (target.config(), &**target.ops());
        let pool = KvPool::new(ops, config.layers, slots, config.attention_heads(), dtype)?;
        Ok(Self {
            target,
            pool,
            sequences: Vec::new(),
            taps: Vec::new(),
            context,
            costs: Costs::default(),
            worth: Worth::default(),
            chunk: CHUNK,
        })
    }

    /// Adds a sequence and returns its number. It waits for [`Session::prompt`].
    ///
    /// # Errors
    /// The sampling options make no sense, or not for this model.
    pub fn open(&mut self, options: SequenceOptions) -> Result<usize> {
        self.check(&options.sampling)?;
        self.sequences.push(Sequence::new(options));
        self.gather_taps();
        Ok(self.sequences.len() - 1)
    }

    /// Decodes a sequence in another way from its next prompt on. Its cache stays, but a
    /// new drafter has seen nothing of it.
    ///
    /// # Errors
    /// As [`Session::open`].
    pub fn reconfigure(&mut self, sequence: usize, options: SequenceOptions) -> Result<()> {
        self.check(&options.sampling)?;
        let sequence = &mut self.sequences[sequence];
        sequence.options = options;
        sequence.calibration = Default::default();
        sequence.foresight = Default::default();
        self.gather_taps();
        Ok(())
    }

    /// Draws and ends a sequence's answers in another way from its next prompt on. What
    /// drafts stays, and remembers what it has seen.
    ///
    /// # Errors
    /// As [`Session::open`].
    pub fn adjust(&mut self, sequence: usize, sampling: Sampling, limits: Limits) -> Result<()> {
        self.check(&sampling)?;
        let options = &mut self.sequences[sequence].options;
        (options.sampling, options.limits) = (sampling, limits);
        Ok(())
    }

    fn check(&self, sampling: &Sampling) -> Result<()> {
        sampling.check()?;
        let vocab = self.target.config().vocab;
        let mut biased = sampling.logit_bias.iter().map(|(id, _)| *id);
        if let Some(id) = biased.find(|&id| id as usize >= vocab) {
            return Err(Error::Invalid(format!(
                "a logit bias for token {id}: the model's ids end at {}",
                vocab - 1
            )));
        }
        Ok(())
    }

    /// The points of the residual stream that any sequence's drafter asks for.
    fn gather_taps(&mut self) {
        let taps = self.sequences.iter().flat_map(|s| s.options.drafter.taps());
        let mut taps: Vec<usize> = taps.copied().collect();
        taps.sort_unstable();
        taps.dedup();
        if taps != self.taps {
            self.taps = taps;
            self.pool.take_recorded();
        }
    }

    /// Sizes trees by a table of costs: one that [`Session::measure`] made, in this session
    /// or in another of the same model on the same device. What passes take from now on
    /// corrects it.
    pub fn assume(&mut self, table: CostTable) {
        self.costs = Costs::new(table);
    }

    /// A sequence, by number.
    pub fn sequence(&self, index: usize) -> &Sequence {
        &self.sequences[index]
    }

    /// Checks that every cache slot has one owner. For debug builds and tests.
    ///
    /// # Errors
    /// A slot is lost or used twice.
    pub fn check_integrity(&self) -> Result<()> {
        self.pool
            .check_integrity(self.sequences.iter().map(|s| &s.table))
    }
}
