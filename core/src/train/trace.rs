//! What the target makes of a document: what a head sees, and what it is to predict.

use std::sync::Arc;

use burn::tensor::{DType, Tensor};

use super::Document;
use crate::cache::{KvPool, Table};
use crate::error::Result;
use crate::model::Transformer;
use crate::sample::not_a_number;
use crate::weights::Dtype;

/// A document with the target's features, all on the plain device.
#[derive(Clone, Debug)]
pub struct Trace {
    /// The tokens, and which of them are answers.
    pub document: Document,
    /// The residual stream at the head's taps side by side, `[tokens, taps * hidden]`.
    pub taps: Tensor<2>,
    /// After the final norm: what the target's output head sees, `[tokens, hidden]`.
    pub last: Tensor<2>,
    /// The target's most likely next token after each.
    pub argmax: Vec<u32>,
}

/// Runs the target over documents.
pub struct Tracer {
    target: Arc<Transformer>,
    pool: KvPool,
    taps: Vec<usize>,
}

/// Rows of one pass through the layers.
const CHUNK: usize = 256;
/// Rows of one pass through the output head, whose result is as wide as the vocabulary.
const LOGITS: usize = 32;

impl Tracer {
    /// Makes room for documents of `limit` tokens at most. `taps` are points of the
    /// residual stream, ascending (see [`crate::model::Features`]).
    ///
    /// # Errors
    /// The device has not enough memory.
    pub fn new(target: Arc<Transformer>, taps: Vec<usize>, limit: usize) -> Result<Self> {
        let (config, ops) = (target.config(), &**target.ops());
        // As in a session: the head must learn from what it will see.
        let dtype = match target.dtype() {
            Dtype::F32 => DType::F32,
            _ => DType::F16,
        };
        let pool = KvPool::new(ops, config.layers, limit, config.attention_heads(), dtype)?;
        Ok(Self { target, pool, taps })
    }

    /// The model that is traced.
    pub fn target(&self) -> &Arc<Transformer> {
        &self.target
    }

    /// The points that are tapped.
    pub fn taps(&self) -> &[usize] {
        &self.taps
    }

    /// Runs a document.
    ///
    /// # Errors
    /// It is longer than there is room, or the device failed.
    pub async fn trace(&mut self, document: Document) -> Result<Trace> {
        let mut table = Table::default();
        let trace = self.run(document, &mut table).await;
        self.pool.release(table.truncate(0).into_iter());
        trace
    }

    async fn run(&mut self, document: Document, table: &mut Table) -> Result<Trace> {
        let ops = self.target.ops().clone();
        let (mut taps, mut last, mut argmax) = (Vec::new(), Vec::new(), Vec::new());
        for chunk in document.tokens.chunks(CHUNK) {
            let slots = self.pool.reserve(chunk.len())?;
            let rows = table.extend(chunk, &slots);
            let features = self.target.forward(&rows, &mut self.pool, &self.taps)?;
            if !features.taps.is_empty() {
                taps.push(Tensor::cat(features.taps, 1));
            }
            last.push(ops.norm(&features.last, self.target.final_norm())?);
            for start in (0..chunk.len()).step_by(LOGITS) {
                let count = LOGITS.min(chunk.len() - start);
                let rows = features.last.clone().narrow(0, start, count);
                let logits = self.target.logits(&rows)?;
                for best in ops.argmax(&logits).await? {
                    argmax.push(best.ok_or_else(not_a_number)?);
                }
            }
        }
        let last = Tensor::cat(last, 0);
        let taps = match taps.is_empty() {
            true => last.clone().slice([0..last.dims()[0], 0..0]),
            false => Tensor::cat(taps, 0),
        };
        Ok(Trace {
            document,
            taps,
            last,
            argmax,
        })
    }
}
