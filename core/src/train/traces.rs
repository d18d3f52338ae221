//! Traces on demand, kept on disk where there is a folder for them.

use std::fs;
use std::path::{Path, PathBuf};

use ::safetensors::SafeTensors;
use ::safetensors::tensor::{Dtype as Number, TensorView, serialize};
use burn::tensor::{Tensor, TensorData};
use half::f16;

use super::parameters::hash;
use super::{Document, Trace, Tracer};
use crate::error::{Error, Result};
use crate::weights::write_atomically;

/// Makes traces, or finds them. On disk they are f16: `2 * (taps + 1) * hidden + 4`
/// bytes a token.
pub struct Traces {
    tracer: Tracer,
    folder: Option<PathBuf>,
}

impl Traces {
    /// Traces that are kept in `folder`, if there is one.
    ///
    /// # Errors
    /// The folder cannot be made.
    pub fn new(tracer: Tracer, folder: Option<PathBuf>) -> Result<Self> {
        if let Some(folder) = &folder {
            fs::create_dir_all(folder).map_err(|source| io(folder, source))?;
        }
        Ok(Self { tracer, folder })
    }

    /// What makes them.
    pub fn tracer(&self) -> &Tracer {
        &self.tracer
    }

    /// Bytes on disk a token.
    pub fn bytes_per_token(&self) -> usize {
        let width = self.tracer.target().config().hidden;
        2 * (self.tracer.taps().len() + 1) * width + 4
    }

    /// A document's trace.
    ///
    /// # Errors
    /// The device failed, or the disk is full.
    pub async fn get(&mut self, document: &Document) -> Result<Trace> {
        let Some(folder) = &self.folder else {
            return self.tracer.trace(document.clone()).await;
        };
        let path = folder.join(format!("{:016x}.safetensors", self.key(document)));
        if let Some(trace) = self.read(&path, document) {
            return Ok(trace);
        }
        let trace = self.tracer.trace(document.clone()).await?;
        write(&path, &trace)?;
        Ok(trace)
    }

    /// Names a document's trace (FNV-1a over its tokens and the taps).
    fn key(&self, document: &Document) -> u64 {
        let taps = self.tracer.taps().iter().map(|&tap| tap as u32);
        let values = taps
            .chain([u32::MAX])
            .chain(document.tokens.iter().copied());
        hash(values)
    }

    /// A trace from disk; `None` where it is not there or not this document's.
    fn read(&self, path: &Path, document: &Document) -> Option<Trace> {
        let bytes = fs::read(path).ok()?;
        let file = SafeTensors::deserialize(&bytes).ok()?;
        let rows = document.tokens.len();
        let numbers = |name: &str| {
            let view = file.tensor(name).ok()?;
            let (chunks, _) = view.data().as_chunks::<4>();
            Some(
                chunks
                    .iter()
                    .map(|b| u32::from_le_bytes(*b))
                    .collect::<Vec<_>>(),
            )
        };
        if numbers("tokens")? != document.tokens {
            return None;
        }
        let device = self.tracer.target().ops().device();
        let matrix = |name: &str, width: usize| {
            let view = file.tensor(name).ok()?;
            let (chunks, _) = view.data().as_chunks::<2>();
            let values = chunks.iter().map(|b| f16::from_le_bytes(*b).to_f32());
            let values: Vec<f32> = values.collect();
            let data =
                (values.len() == rows * width).then(|| TensorData::new(values, [rows, width]));
            Some(Tensor::<2>::from_data(data?, device))
        };
        let width = self.tracer.target().config().hidden;
        Some(Trace {
            document: document.clone(),
            taps: matrix("taps", self.tracer.taps().len() * width)?,
            last: matrix("last", width)?,
            argmax: numbers("argmax").filter(|ids| ids.len() == rows)?,
        })
    }
}

/// Writes a trace, whole or not at all.
fn write(path: &Path, trace: &Trace) -> Result<()> {
    let half = |tensor: &Tensor<2>| -> Vec<u8> {
        let values = tensor.to_data().iter::<f32>().collect::<Vec<_>>();
        values
            .iter()
            .flat_map(|&v| f16::from_f32(v).to_le_bytes())
            .collect()
    };
    let (taps, last) = (half(&trace.taps), half(&trace.last));
    let tokens: Vec<u8> = trace
        .document
        .tokens
        .iter()
        .flat_map(|id| id.to_le_bytes())
        .collect();
    let argmax: Vec<u8> = trace
        .argmax
        .iter()
        .flat_map(|id| id.to_le_bytes())
        .collect();
    let rows = trace.argmax.len();
    let entries = [
        ("taps", Number::F16, trace.taps.dims().to_vec(), &taps),
        ("last", Number::F16, trace.last.dims().to_vec(), &last),
        ("tokens", Number::U32, vec![rows], &tokens),
        ("argmax", Number::U32, vec![rows], &argmax),
    ];
    let views = entries.into_iter().map(|(name, number, shape, bytes)| {
        TensorView::new(number, shape, bytes).map(|view| (name, view))
    });
    let views: Vec<_> = views.collect::<Result<_, _>>().map_err(refused)?;
    write_atomically(path, &serialize(views, None).map_err(refused)?)
}

fn io(path: &Path, source: std::io::Error) -> Error {
    Error::Io {
        path: path.into(),
        source,
    }
}

fn refused(error: ::safetensors::SafeTensorError) -> Error {
    Error::Invalid(error.to_string())
}
