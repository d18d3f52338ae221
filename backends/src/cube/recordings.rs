//! Passes recorded as graphs of launches: CUDA's own, and on wgpu what is prepared of each
//! dispatch. A pass of the same form is then one call in place of hundreds, each of which
//! costs the host more than a small layer costs a GPU.
//!
//! A recording holds the very buffers that its launches used. Rows are written into the one
//! that it read them from; its results are overwritten by the next pass.

use std::thread::{self, ThreadId};

use burn::tensor::Tensor;
use burn_cubecl::CubeRuntime;
use cubecl::client::Graph;
use cubecl::server::Handle;
use eaglet_core::error::Result;
use eaglet_core::ops::Rows;

use super::CubeOps;
use super::attention::SPAN;
use super::gpu::Gpu;
use super::rows::Staged;
use super::tensors::Kind;

/// A form of pass is recorded when it has come so often: that takes two passes more.
const OFTEN: usize = 8;
/// Recordings that are kept, the latest used.
const KEPT: usize = 12;
/// Words by which the room for rows grows.
const ROOM: usize = 1024;

/// What launches depend on: all else about rows is in their buffer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Form {
    rows: usize,
    /// Spans of positions, which attention has workgroups for.
    spans: usize,
    /// Words of the buffer.
    room: usize,
    /// A recording is for the stream that it was made on, and threads have streams of their own.
    thread: ThreadId,
    /// How often a cache has moved, and left its recordings behind.
    moves: u64,
}

/// The recordings of one owner's passes.
pub struct Recordings<R: CubeRuntime> {
    /// Forms that came, how often, and what was recorded of them; the latest used last.
    forms: Vec<(Form, usize, Option<Recording<R>>)>,
    /// Whether the device records nothing.
    refused: bool,
}

impl<R: CubeRuntime> Default for Recordings<R> {
    fn default() -> Self {
        Self {
            forms: Vec::new(),
            refused: false,
        }
    }
}

struct Recording<R: CubeRuntime> {
    graph: Graph<R>,
    rows: Handle,
    results: Vec<Tensor<2>>,
    dispatches: u64,
}

impl<R: CubeRuntime> Recordings<R> {
    /// Notes that a form came, and forgets what has not come for long.
    fn come(&mut self, form: Form) -> &mut (Form, usize, Option<Recording<R>>) {
        // What lay in a cache that moved is of no use.
        self.forms.retain(|(known, ..)| known.moves == form.moves);
        let known = self.forms.iter().position(|(known, ..)| *known == form);
        let entry = known.map_or((form, 0, None), |at| self.forms.remove(at));
        if self.forms.len() >= KEPT {
            self.forms.remove(0);
        }
        self.forms.push(entry);
        let last = self.forms.len() - 1;
        self.forms[last].1 += 1;
        &mut self.forms[last]
    }
}

impl<K: Kind> CubeOps<K> {
    /// Runs a pass over rows, or what was recorded of it.
    pub(in crate::cube) fn run_repeat(
        &self,
        recordings: &mut Recordings<K::Runtime>,
        rows: &Rows<'_>,
        pass: &mut dyn FnMut() -> Result<Vec<Tensor<2>>>,
    ) -> Result<Vec<Tensor<2>>> {
        let mut words = Staged::words(rows)?;
        let positions = rows
            .positions
            .iter()
            .max()
            .map_or(0, |&last| last as usize + 1);
        let form = Form {
            rows: rows.len(),
            spans: positions.div_ceil(SPAN),
            room: words.len().next_multiple_of(ROOM),
            thread: thread::current().id(),
            moves: self.gpu.moves(),
        };
        let used = words.len();
        let refused = recordings.refused;
        let (_, count, recording) = recordings.come(form);
        if recording.is_none() && (refused || *count < OFTEN) {
            return pass();
        }
        if let Some(recording) = recording {
            self.gpu
                .write(&recording.rows, bytemuck::cast_slice(&words))?;
            // SAFETY: the recording holds its buffers, the pass's owner the cache, which has
            // not moved, and the device the weights; all of it is on this thread's stream.
            unsafe { recording.graph.replay() };
            self.gpu.count_dispatches(recording.dispatches);
            return Ok(recording.results.clone());
        }
        let staged = rows.staged(|| {
            words.resize(form.room, 0);
            let buffer = self.gpu.upload(bytemuck::cast_slice(&words))?;
            words.truncate(used);
            Ok(Staged::around(buffer, rows, &words))
        })?;
        let before = self.gpu.counters().dispatches;
        let Some((graph, results)) = self.gpu.record(pass)? else {
            recordings.refused = true;
            return pass();
        };
        // One pass of two was run to make room for the other's buffers.
        let dispatches = (self.gpu.counters().dispatches - before) / 2;
        // A cache that moved under the recording's hands is not where launches look for it.
        if self.gpu.moves() != form.moves {
            return pass();
        }
        // SAFETY: as above.
        unsafe { graph.replay() };
        recordings.come(form).2 = Some(Recording {
            graph,
            rows: staged.buffer.clone(),
            results: results.clone(),
            dispatches,
        });
        Ok(results)
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
        if self.client.graph_prepare().is_err() {
            return Ok(None);
        }
        let warm = pass().map(drop);
        let started = self.client.start_capture();
        let results = match started {
            Ok(()) => warm.and_then(|()| pass()),
            Err(_) => warm.map(|()| Vec::new()),
        };
        // Closed also where the pass failed: the stream would record for ever.
        let graph = started.and_then(|()| self.client.stop_capture());
        self.fault.check()?;
        let results = results?;
        Ok(graph.ok().map(|graph| (graph, results)))
    }
}
