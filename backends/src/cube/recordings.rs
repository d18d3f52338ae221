//! Passes recorded as graphs of launches: CUDA's own, and on wgpu what is prepared of each
//! dispatch. A pass of the same form is then one call in place of hundreds, each of which
//! costs the host more than a small layer costs a GPU.
//!
//! A recording holds the very buffers that its launches used. Rows and inputs are written into
//! those that it read them from; its results are overwritten by the next pass.

use std::thread::{self, ThreadId};

use burn::tensor::Tensor;
use burn_cubecl::CubeRuntime;
use cubecl::client::{ComputeClient, Graph};
use cubecl::server::Handle;
use eaglet_core::error::{Error, Result};
use eaglet_core::ops::{Pass, Rows};

use super::CubeOps;
use super::attention::SPAN;
use super::gpu::Gpu;
use super::rows::Staged;
use super::tensors::Kind;

/// A form of pass is recorded when it has come so often: that takes two passes more.
pub const OFTEN: usize = 8;
/// Recordings that are kept, the latest used.
const KEPT: usize = 12;
/// Forms whose coming is counted.
const FORMS: usize = 64;
/// Words by which the room for rows grows.
const ROOM: usize = 1024;

/// What launches depend on: all else about rows is in their buffers.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Form {
    inputs: Vec<[usize; 2]>,
    rows: Vec<Shape>,
    /// A recording is for the stream that it was made on, and threads have streams of their
    /// own.
    thread: ThreadId,
    /// How often a cache has moved, and left its recordings behind.
    moves: u64,
}

/// The same of rows that run together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Shape {
    count: usize,
    /// Spans of positions, which attention has workgroups for.
    spans: usize,
    /// Words of their buffer.
    room: usize,
}

impl Shape {
    fn new(rows: &Rows<'_>, words: &[u32]) -> Self {
        let last = rows.positions.iter().max();
        Self {
            count: rows.len(),
            spans: last.map_or(0, |&last| (last as usize + 1).div_ceil(SPAN)),
            room: words.len().next_multiple_of(ROOM),
        }
    }
}

/// The recordings of one owner's passes.
pub struct Recordings<R: CubeRuntime> {
    /// Forms that came, the latest last.
    known: Vec<Known<R>>,
    /// Whether the device records nothing, or not these passes.
    refused: bool,
    /// Where recordings were made.
    client: Option<ComputeClient<R>>,
}

struct Known<R: CubeRuntime> {
    form: Form,
    /// How often it came.
    count: usize,
    recording: Option<Recording<R>>,
}

struct Recording<R: CubeRuntime> {
    graph: Graph<R>,
    inputs: Vec<Tensor<2>>,
    rows: Vec<Handle>,
    results: Vec<Tensor<2>>,
    dispatches: u64,
}

impl<R: CubeRuntime> Default for Recordings<R> {
    fn default() -> Self {
        Self {
            known: Vec::new(),
            refused: false,
            client: None,
        }
    }
}

impl<R: CubeRuntime> Drop for Recordings<R> {
    /// What a recording held is given back to the device, which would keep it otherwise.
    fn drop(&mut self) {
        self.known.clear();
        if let Some(client) = &self.client {
            client.memory_cleanup();
        }
    }
}

impl<R: CubeRuntime> Recordings<R> {
    /// Takes a form that comes from among those that came, and forgets what has not come for
    /// long, or cannot come any more.
    fn take(&mut self, form: Form) -> Known<R> {
        self.known.retain(|known| known.form.moves == form.moves);
        let at = self.known.iter().position(|known| known.form == form);
        let mut known = at.map_or_else(
            || Known {
                form,
                count: 0,
                recording: None,
            },
            |at| self.known.remove(at),
        );
        let recorded = |known: &Known<R>| known.recording.is_some();
        if self.known.iter().filter(|known| recorded(known)).count() >= KEPT {
            self.known
                .remove(self.known.iter().position(recorded).unwrap_or(0));
        }
        if self.known.len() >= FORMS {
            self.known.remove(0);
        }
        known.count += 1;
        known
    }
}

impl<K: Kind> CubeOps<K> {
    /// Runs a pass over inputs and rows, or what was recorded of it.
    pub(in crate::cube) fn run_repeat(
        &self,
        recordings: &mut Recordings<K::Runtime>,
        inputs: &[Tensor<2>],
        rows: &mut [Rows<'_>],
        pass: &mut Pass<'_>,
    ) -> Result<Vec<Tensor<2>>> {
        let words = rows.iter().map(Staged::words).collect::<Result<Vec<_>>>()?;
        let shapes = rows.iter().zip(&words);
        let form = Form {
            inputs: inputs.iter().map(|input| input.dims()).collect(),
            rows: shapes
                .map(|(rows, words)| Shape::new(rows, words))
                .collect(),
            thread: thread::current().id(),
            moves: self.gpu.moves(),
        };
        let mut known = recordings.take(form);
        if let Some(recording) = &known.recording {
            // What was uploaded lies in wait; what is copied waits in the queue.
            for (buffer, words) in recording.rows.iter().zip(&words) {
                self.gpu.write(buffer, bytemuck::cast_slice(words))?;
            }
            for (input, own) in inputs.iter().zip(&recording.inputs) {
                self.put(input, Some(own))?;
            }
            // SAFETY: the recording holds its buffers, the pass's owner the cache, which has
            // not moved, and the device the weights; all of it is on this thread's stream.
            unsafe { recording.graph.replay() };
            self.gpu.count_dispatches(recording.dispatches);
            let results = recording.results.clone();
            recordings.known.push(known);
            return Ok(results);
        }
        if self.gpu.limits.records && !recordings.refused && known.count >= OFTEN {
            known.recording = match self.record(&known.form, inputs, rows, &words, pass) {
                Err(lost @ Error::Lost(_)) => return Err(lost),
                // What failed without a recording fails again, and is told then.
                recorded => recorded.ok().flatten(),
            };
            recordings.refused = known.recording.is_none();
            recordings.client = Some(self.gpu.client.clone());
            // Of all that was made room for, the recording holds what it needs.
            self.gpu.client.memory_cleanup();
        }
        // A cache that moved under the recording's hands is not where launches look for it.
        let stays = self.gpu.moves() == known.form.moves;
        let results = known.recording.as_ref().filter(|_| stays).map(|recording| {
            // SAFETY: as above.
            unsafe { recording.graph.replay() };
            recording.results.clone()
        });
        recordings.known.push(known);
        if let Some(results) = results {
            return Ok(results);
        }
        for (rows, words) in rows.iter().zip(&words) {
            rows.staged(|| Staged::of(&self.gpu, rows, words))?;
        }
        pass(inputs, rows)
    }

    /// Records a pass, without its being run; nothing where the device records nothing.
    fn record(
        &self,
        form: &Form,
        inputs: &[Tensor<2>],
        rows: &mut [Rows<'_>],
        words: &[Vec<u32>],
        pass: &mut Pass<'_>,
    ) -> Result<Option<Recording<K::Runtime>>> {
        let mut buffers = Vec::with_capacity(rows.len());
        for ((rows, words), shape) in rows.iter().zip(words).zip(&form.rows) {
            let staged = rows.staged(|| {
                let mut room = words.clone();
                room.resize(shape.room, 0);
                let buffer = self.gpu.upload(bytemuck::cast_slice(&room))?;
                Ok(Staged::around(buffer, rows, words))
            })?;
            // Rows that were staged before have no room for others.
            if staged.buffer.size() < 4 * shape.room as u64 {
                return Ok(None);
            }
            buffers.push(staged.buffer.clone());
        }
        let inputs = inputs.iter().map(|input| self.put(input, None));
        let inputs = inputs.collect::<Result<Vec<_>>>()?;
        let (before, fallbacks) = (self.gpu.counters().dispatches, self.gpu.fallbacks());
        let recorded = self.gpu.record(&mut || pass(&inputs, rows))?;
        // Burn uploads what it needs to know: each time, and not in a recording.
        let recorded = recorded.filter(|_| self.gpu.fallbacks() == fallbacks);
        // One pass of two was run to make room for the other's buffers.
        let dispatches = (self.gpu.counters().dispatches - before) / 2;
        Ok(recorded.map(|(graph, results)| Recording {
            graph,
            inputs,
            rows: buffers,
            results,
            dispatches,
        }))
    }
}

impl<R: CubeRuntime> Gpu<R> {
    /// Records what a pass launches; nothing where the device records nothing. The pass is run
    /// once before, and not run by being recorded.
    ///
    /// # Errors
    /// Those of the pass.
    fn record(
        &self,
        pass: &mut dyn FnMut() -> Result<Vec<Tensor<2>>>,
    ) -> Result<Option<(Graph<R>, Vec<Tensor<2>>)>> {
        // What failed before is no refusal.
        self.flush()?;
        if self.client.graph_prepare().is_err() {
            return Ok(None);
        }
        let warm = pass().map(drop);
        let started = self.client.start_capture();
        let results = match started {
            Ok(()) => warm.and_then(|()| pass()),
            Err(_) => {
                // An error that waited: CUDA's stream is still prepared, and has to be closed.
                let closed = self.client.start_capture();
                if closed.is_ok() {
                    let _ = self.client.stop_capture();
                }
                warm.map(|()| Vec::new())
            }
        };
        // Closed also where the pass failed: the stream would record for ever.
        let graph = match started {
            Ok(()) => self.client.stop_capture(),
            Err(error) => Err(error),
        };
        self.fault.check()?;
        let results = results?;
        Ok(graph.ok().map(|graph| (graph, results)))
    }
}
