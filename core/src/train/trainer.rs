//! The loop: batches, gradients, updates; where it stands can be kept and taken up.

use std::path::Path;

use burn::tensor::Tensor;

use super::parameters::hash;
use super::state::{self, State};
use super::{
    Batch, Document, DraftVocabulary, Gradients, Loss, Measured, Network, Optimizer, Parameters,
    Rate, Rule, Traces, schedule,
};
use crate::draft::HeadValues;
use crate::error::{Error, Result};

/// How a head is trained.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct TrainOptions {
    /// How often every document is shown.
    pub epochs: usize,
    /// The highest learning rate.
    pub rate: f64,
    /// Rows of one pass, forward and backward: what has to fit in memory.
    pub micro_rows: usize,
    /// Passes whose gradients make one update.
    pub micro_batches: usize,
    /// How many of them run at a time, each in a thread of its own. Whatever it is, the
    /// gradients are added up in the same order, to the same sums.
    pub workers: usize,
    /// How gradients become steps.
    pub rule: Rule,
    /// Of the order of documents, and of noise.
    pub seed: u64,
}

/// What one update did.
#[derive(Clone, Debug)]
pub struct StepReport {
    /// Updates so far, this one included.
    pub step: usize,
    /// Its learning rate.
    pub rate: f64,
    /// The length of the gradient before it was shortened.
    pub norm: f64,
    /// Rows that were seen.
    pub rows: usize,
    /// By token ahead; counts without losses where they were not asked for.
    pub steps: Vec<Measured>,
}

/// A head in training.
pub struct Trainer<'a> {
    network: &'a dyn Network,
    documents: Vec<Document>,
    traces: Traces,
    vocabulary: DraftVocabulary,
    /// The target's output rows of the draft vocabulary.
    head: Tensor<2>,
    options: TrainOptions,
    /// Updates of each epoch.
    epochs: Vec<usize>,
    /// What the weights were at first, as one number.
    begun: u64,
    state: State,
}

/// Share of all updates during which the rate rises.
const WARM_UP: f64 = 0.05;

impl<'a> Trainer<'a> {
    /// Begins a run.
    ///
    /// # Errors
    /// There is nothing to learn from, a document is longer than a pass, or the first
    /// weights cannot be made.
    pub fn new(
        network: &'a dyn Network,
        documents: Vec<Document>,
        traces: Traces,
        vocabulary: DraftVocabulary,
        head: Tensor<2>,
        options: TrainOptions,
    ) -> Result<Self> {
        let longest = documents.iter().map(|d| d.tokens.len()).max().unwrap_or(0);
        if longest == 0 || longest > options.micro_rows {
            return Err(Error::Invalid(format!(
                "the longest of {} documents has {longest} tokens, and a pass takes {}",
                documents.len(),
                options.micro_rows
            )));
        }
        let mut trainer = Self {
            state: State {
                weights: network.initial()?,
                optimizer: Optimizer {
                    rule: options.rule,
                    ..Optimizer::default()
                },
                step: 0,
            },
            network,
            documents,
            traces,
            vocabulary,
            head,
            options,
            epochs: Vec::new(),
            begun: 0,
        };
        trainer.epochs = (0..options.epochs)
            .map(|e| trainer.epoch(e).len())
            .collect();
        Ok(trainer)
    }

    /// Updates in all.
    pub fn steps(&self) -> usize {
        self.epochs.iter().sum()
    }

    /// Updates so far.
    pub fn step_count(&self) -> usize {
        self.state.step
    }

    /// The weights as they are.
    pub fn weights(&self) -> &Parameters {
        &self.state.weights
    }

    /// One update, or `None` once all epochs are over. `measure` asks for losses.
    ///
    /// # Errors
    /// The device failed, or the disk that keeps traces is full.
    pub async fn step(&mut self, measure: bool) -> Result<Option<StepReport>> {
        let Some((epoch, index)) = self.place() else {
            return Ok(None);
        };
        let batch = self.epoch(epoch).swap_remove(index);
        let (mut gradients, mut steps, mut rows) = (Gradients::default(), Vec::new(), 0);
        let mut number = 0;
        for group in batch.chunks(self.options.workers.max(1)) {
            let mut passes = Vec::with_capacity(group.len());
            for micro in group {
                let seed = (self.state.step << 8 | number) as u64;
                number += 1;
                let mut traces = Vec::with_capacity(micro.len());
                for &document in micro {
                    traces.push(self.traces.get(&self.documents[document]).await?);
                }
                // Else nothing in it can be drafted.
                if let Ok(batch) = Batch::new(&traces, &self.vocabulary, &self.head) {
                    rows += batch.rows();
                    passes.push((batch, self.options.seed.wrapping_add(seed)));
                }
            }
            for loss in self.losses(&passes, measure) {
                let loss = loss?;
                gradients.add_all(loss.gradients);
                add(&mut steps, &loss.steps);
            }
        }
        let count = batch.len() as f64;
        for gradient in gradients.0.values_mut() {
            *gradient = gradient.clone() / count;
        }
        let rate = self.rate().at(self.state.step);
        let State {
            weights, optimizer, ..
        } = &mut self.state;
        let norm = optimizer.update(weights, &gradients, rate)?;
        self.state.step += 1;
        Ok(Some(StepReport {
            step: self.state.step,
            rate,
            norm,
            rows,
            steps,
        }))
    }

    /// One pass each, side by side.
    fn losses(&self, passes: &[(Batch, u64)], measure: bool) -> Vec<Result<Loss>> {
        let (network, weights) = (self.network, &self.state.weights);
        let loss = |(batch, seed): &(Batch, u64)| network.loss(weights, batch, *seed, measure);
        if let [only] = passes {
            return vec![loss(only)];
        }
        std::thread::scope(|scope| {
            let started: Vec<_> = passes
                .iter()
                .map(|pass| scope.spawn(|| loss(pass)))
                .collect();
            let joined = started.into_iter().map(|pass| pass.join());
            joined
                .map(|pass| pass.unwrap_or_else(|panic| std::panic::resume_unwind(panic)))
                .collect()
        })
    }

    /// Goes on from a head instead of the target's own weights. Where it drafts other
    /// tokens, those that it does not know begin with the target's rows.
    ///
    /// # Errors
    /// The head is of another kind or shape.
    pub fn start_from(&mut self, mut head: HeadValues) -> Result<()> {
        let rows = self.head.to_data().try_to_vec::<f32>();
        let rows = rows.map_err(|e| Error::Invalid(format!("the target's head: {e:?}")))?;
        head.redraft(self.vocabulary.ids(), &rows);
        self.state.weights.replace(head)?;
        self.begun = self.state.weights.hash();
        Ok(())
    }

    /// Keeps where the run stands.
    ///
    /// # Errors
    /// The file cannot be written; what was there is as it was.
    pub fn save(&self, path: &Path) -> Result<()> {
        state::save(path, &self.state, &self.run())
    }

    /// Takes up a run that was kept, if there is one; returns whether there was.
    ///
    /// # Errors
    /// It was made with other options or documents, or the file is damaged.
    pub fn resume(&mut self, path: &Path) -> Result<bool> {
        let found = state::load(path, &self.run(), self.options.rule, &self.head.device())?;
        let there = found.is_some();
        if let Some(state) = found {
            self.state = state;
        }
        Ok(there)
    }

    /// What makes this run different from others.
    fn run(&self) -> String {
        let tokens: usize = self.documents.iter().map(|d| d.tokens.len()).sum();
        let options = TrainOptions {
            workers: 1, // Changes nothing.
            ..self.options
        };
        format!(
            "{} {options:?} {} documents {tokens} tokens {} ids {:x} begun as {:x}",
            self.network.name(),
            self.documents.len(),
            self.vocabulary.ids().len(),
            hash(self.vocabulary.ids().iter().copied()),
            self.begun,
        )
    }

    fn rate(&self) -> Rate {
        let steps = self.steps();
        Rate {
            peak: self.options.rate,
            warm_up: (steps as f64 * WARM_UP).ceil() as usize,
            steps,
        }
    }

    /// The epoch of the next update, and its place in it.
    fn place(&self) -> Option<(usize, usize)> {
        let mut left = self.state.step;
        for (epoch, &updates) in self.epochs.iter().enumerate() {
            match left.checked_sub(updates) {
                Some(rest) => left = rest,
                None => return Some((epoch, left)),
            }
        }
        None
    }

    fn epoch(&self, epoch: usize) -> Vec<Vec<Vec<usize>>> {
        let lengths: Vec<usize> = self.documents.iter().map(|d| d.tokens.len()).collect();
        let TrainOptions {
            seed,
            micro_rows,
            micro_batches,
            ..
        } = self.options;
        schedule::epoch(&lengths, seed, epoch, micro_rows, micro_batches)
    }
}

fn add(sums: &mut Vec<Measured>, more: &[Measured]) {
    sums.resize(sums.len().max(more.len()), Measured::default());
    for (sum, more) in sums.iter_mut().zip(more) {
        sum.loss += more.loss;
        sum.learnt += more.learnt;
        sum.correct += more.correct;
        sum.all += more.all;
    }
}
