//! Several traces as one list of rows.

use std::ops::Range;

use burn::tensor::{Device, Int, Tensor, TensorData, activation::softmax};

use super::{DraftVocabulary, Trace};
use crate::error::{Error, Result};

/// Documents one after another, as rows. Documents do not see each other.
pub struct Batch {
    /// The rows of each document.
    pub documents: Vec<Range<usize>>,
    /// The token of each row.
    pub tokens: Vec<u32>,
    /// `[rows, taps * hidden]`
    pub taps: Tensor<2>,
    /// `[rows, hidden]`, after the target's final norm.
    pub last: Tensor<2>,
    /// What is learnt from, by row: an index into `targets`, where the target's next
    /// token is part of an answer and can be drafted.
    learnt: Vec<Option<usize>>,
    /// The target's distribution over the draft vocabulary after each row that is
    /// learnt from, `[learnt, draft vocab]`.
    targets: Tensor<2>,
    /// Rows whose next token is part of an answer, whether it can be drafted or not.
    answers: Vec<bool>,
}

/// What a prediction some tokens ahead is compared with.
pub struct Lesson {
    /// The rows that predict.
    pub rows: Vec<u32>,
    /// What each should say, `[rows, draft vocab]`.
    pub targets: Tensor<2>,
    /// Predictions that there would be if every token could be drafted.
    pub all: usize,
}

impl Batch {
    /// Joins traces. `head` holds the rows of the target's output head that belong to
    /// the draft vocabulary, `[draft vocab, hidden]`.
    ///
    /// # Errors
    /// There is no trace, or nothing in them to learn from.
    pub fn new(traces: &[Trace], vocabulary: &DraftVocabulary, head: &Tensor<2>) -> Result<Self> {
        let mut batch = Rows::default();
        for trace in traces {
            batch.add(trace, vocabulary);
        }
        if batch.chosen.is_empty() {
            return Err(Error::Invalid("a batch holds nothing to learn from".into()));
        }
        let join = |part: fn(&Trace) -> &Tensor<2>| {
            Tensor::cat(traces.iter().map(|trace| part(trace).clone()).collect(), 0)
        };
        let last = join(|trace| &trace.last);
        let chosen = indices(&batch.chosen, &last.device());
        let logits = last
            .clone()
            .select(0, chosen)
            .matmul(head.clone().transpose());
        Ok(Self {
            documents: batch.documents,
            tokens: batch.tokens,
            taps: join(|trace| &trace.taps),
            last,
            learnt: batch.learnt,
            targets: softmax(logits, 1),
            answers: batch.answers,
        })
    }

    /// Rows of all documents.
    pub fn rows(&self) -> usize {
        self.tokens.len()
    }

    /// Predictions from the features of row i of the token at i + 1 + `ahead`. `ahead`
    /// is 1 for the first token that a head drafts: the one at i + 1 is known to it.
    pub fn lesson(&self, ahead: usize) -> Option<Lesson> {
        let (mut rows, mut wanted, mut all) = (Vec::new(), Vec::new(), 0);
        for document in &self.documents {
            for row in document.start..document.end.saturating_sub(ahead) {
                all += usize::from(self.answers[row + ahead]);
                if let Some(target) = self.learnt[row + ahead] {
                    rows.push(row as u32);
                    wanted.push(target as u32);
                }
            }
        }
        if rows.is_empty() {
            return None;
        }
        let wanted = indices(&wanted, &self.targets.device());
        let targets = self.targets.clone().select(0, wanted);
        Some(Lesson { rows, targets, all })
    }

    /// The token `ahead` places after each row; 0 beyond a document's end, where nothing
    /// is learnt.
    pub fn shifted(&self, ahead: usize) -> Vec<u32> {
        let mut shifted = vec![0; self.rows()];
        for document in &self.documents {
            let tokens = &self.tokens[document.clone()];
            let later = &tokens[ahead.min(tokens.len())..];
            shifted[document.start..][..later.len()].copy_from_slice(later);
        }
        shifted
    }

    /// The place of each row in its document.
    pub fn positions(&self) -> Vec<u32> {
        let places = self.documents.iter().flat_map(|d| 0..d.len() as u32);
        places.collect()
    }
}

/// What is collected row by row.
#[derive(Default)]
struct Rows {
    documents: Vec<Range<usize>>,
    tokens: Vec<u32>,
    answers: Vec<bool>,
    learnt: Vec<Option<usize>>,
    chosen: Vec<u32>,
}

impl Rows {
    fn add(&mut self, trace: &Trace, vocabulary: &DraftVocabulary) {
        let (first, document) = (self.tokens.len(), &trace.document);
        self.tokens.extend(&document.tokens);
        for (place, &likely) in trace.argmax.iter().enumerate() {
            let answer = document.answer.get(place + 1).copied().unwrap_or(false);
            let learnt = answer && vocabulary.contains(likely);
            self.answers.push(answer);
            self.learnt.push(learnt.then_some(self.chosen.len()));
            if learnt {
                self.chosen.push((first + place) as u32);
            }
        }
        self.documents.push(first..self.tokens.len());
    }
}

/// Indices as a tensor.
pub(super) fn indices(values: &[u32], device: &Device) -> Tensor<1, Int> {
    let values: Vec<i32> = values.iter().map(|&value| value as i32).collect();
    let len = values.len();
    Tensor::from_data(TensorData::new(values, [len]), device)
}
