//! The seam between models and devices: fused operations over burn tensors.
//!
//! A device implements [`Ops`] and overrides what it does better; every method but the
//! device's own identity has a default body in plain burn operations (`reference.rs`),
//! which is also what the override is tested against.
//!
//! **Row invariance** is part of each override's contract: what is computed for one row
//! must not depend, to the bit, on which other rows are in the call nor on which cache
//! slots hold the keys it sees. It is what makes speculative decoding emit exactly the
//! tokens of plain decoding. The default bodies promise it only as far as the burn
//! backend does.

mod attention;
mod candidates;
mod counters;
mod dice;
pub mod levels;
pub mod ranking;
mod recorded;
#[cfg_attr(target_family = "wasm", path = "absent.rs")]
mod reference;
mod rows;
mod staged;
mod weight;

use std::future::Future;
use std::pin::Pin;

use burn::tensor::{DType, Device, Tensor, TensorData};

pub use attention::{HeadNorms, Heads, KvLayer, Rotary};
pub use candidates::lay_out;
pub(crate) use candidates::take_up;
pub use counters::Counters;
pub use dice::Dice;
pub use recorded::Recorded;
pub use reference::Reference;
pub use rows::Rows;
pub use weight::{Linear, Norm, Weight, same_layout};

use crate::error::Result;
use crate::sample::Pick;
use crate::weights::Matrix;

/// The most children and rows of a level that [`Ops::frontier`] takes: kernels keep a level's
/// candidates, the square of it, in a workgroup's own memory.
pub const WIDEST: usize = 32;

/// A boxed future that borrows its device. Not `Send`: a browser's is not either.
pub type Async<'a, T> = Pin<Box<dyn Future<Output = Result<T>> + 'a>>;

/// What [`Ops::repeat`] runs: from inputs and rows to results.
pub type Pass<'a> = dyn FnMut(&[Tensor<2>], &mut [Rows<'_>]) -> Result<Vec<Tensor<2>>> + 'a;

/// A level of a tree that stays on the device, as another one goes on from it.
#[derive(Clone, Copy, Debug)]
pub struct Level<'a> {
    /// What was found after each of its rows: `[rows, 2 k]`, of [`Ops::candidates`].
    pub found: &'a Tensor<2>,
    /// What the drafter made of each of its rows: `[rows, hidden]`.
    pub outputs: &'a Tensor<2>,
    /// Its rows; nothing for the root's, which has its slot in the table.
    pub rows: Option<&'a Rows<'a>>,
}

/// Fused operations of one device. All activations are f32.
pub trait Ops: Send + Sync {
    /// The burn device whose tensors these operations take and make.
    fn device(&self) -> &Device;

    /// What was asked of the device since it was opened.
    fn counters(&self) -> Counters {
        Counters::default()
    }

    /// Whether to wait for a result costs more than a pass of a small network, so that work is
    /// better queued than decided upon.
    fn reads_dearly(&self) -> bool {
        false
    }

    /// Whether tokens are better drawn where their logits lie than on the host, one for each
    /// row rather than for those that a walk comes by.
    fn draws(&self) -> bool {
        false
    }

    /// How many passes of one form come before one that costs what all later ones will:
    /// kernels are compiled on the way, and what comes often may be recorded.
    fn warm_up(&self) -> usize {
        1
    }

    /// Bytes of device memory in use; nothing where tensors lie in the host's memory.
    fn memory(&self) -> Option<u64> {
        None
    }

    /// Copies matrices of one dtype and one width, stacked along their rows, into the
    /// layout this device likes. The parts become one weight `[sum of rows, cols]`.
    fn pack(&self, parts: &[Matrix<'_>]) -> Result<Weight> {
        reference::pack(self.device(), parts)
    }

    /// Zeroed room for one layer's keys and values, `[slots, kv heads, dim]` each, in
    /// `dtype` (f32 or f16).
    fn kv_layer(&self, slots: usize, heads: Heads, dtype: DType) -> Result<KvLayer> {
        let zeros = || Tensor::zeros([slots, heads.kv, heads.dim], (self.device(), dtype));
        Ok(KvLayer {
            keys: zeros(),
            values: zeros(),
        })
    }

    /// Rows of an embedding table: `[tokens, hidden]`.
    fn embed(&self, table: &Weight, tokens: &[u32]) -> Result<Tensor<2>> {
        reference::embed(table, tokens)
    }

    /// Takes in rows that operations will ask for. An upload cuts what is queued in two, so
    /// that several passes which wait for nothing have their rows taken in before the first.
    fn stage(&self, rows: &Rows<'_>) -> Result<()> {
        let _ = rows;
        Ok(())
    }

    /// [`Ops::embed`] for the tokens of `rows`, which it takes in first.
    fn embed_rows(&self, table: &Weight, rows: &Rows<'_>) -> Result<Tensor<2>> {
        self.embed(table, &rows.tokens)
    }

    /// RMS norm of each row: `[rows, n]` to the same shape.
    fn norm(&self, x: &Tensor<2>, norm: &Norm) -> Result<Tensor<2>> {
        reference::norm(x, norm)
    }

    /// `norm(x) W^T + b`: `[rows, in]` to `[rows, out]`; without `norm`, `x W^T + b`.
    fn norm_linear(
        &self,
        x: &Tensor<2>,
        norm: Option<&Norm>,
        linear: &Linear,
    ) -> Result<Tensor<2>> {
        reference::norm_linear(x, norm, linear)
    }

    /// `residual + x W^T + b`: `[rows, in]` and `[rows, out]` to `[rows, out]`.
    fn linear_add(&self, x: &Tensor<2>, linear: &Linear, residual: Tensor<2>) -> Result<Tensor<2>> {
        reference::linear_add(x, linear, residual)
    }

    /// `silu(g) * u` where `[g, u] = norm(x) W^T` and `W` stacks gate over up:
    /// `[rows, hidden]` to `[rows, intermediate]`.
    fn norm_gate_up(&self, x: &Tensor<2>, norm: &Norm, gate_up: &Weight) -> Result<Tensor<2>> {
        reference::norm_gate_up(x, norm, gate_up)
    }

    /// Splits `qkv` (`[rows, (query + 2 kv) * dim]`), rotates queries and keys to their
    /// rows' positions, writes keys and values into the rows' slots, and returns the
    /// queries `[rows, query * dim]`.
    fn rotate_and_cache(
        &self,
        qkv: Tensor<2>,
        heads: Heads,
        rotary: &Rotary,
        norms: Option<&HeadNorms>,
        cache: &mut KvLayer,
        rows: &Rows<'_>,
    ) -> Result<Tensor<2>> {
        reference::rotate_and_cache(qkv, heads, rotary, norms, cache, rows)
    }

    /// Softmax attention of each row over the slots it sees, in the order of their
    /// logical positions: `[rows, query * dim]` to the same shape.
    fn path_attention(
        &self,
        queries: &Tensor<2>,
        heads: Heads,
        cache: &KvLayer,
        rows: &Rows<'_>,
    ) -> Result<Tensor<2>> {
        reference::path_attention(queries, heads, cache, rows)
    }

    /// The chosen rows of `x`, in that order: `[rows, n]` to `[chosen, n]`.
    fn select(&self, x: &Tensor<2>, chosen: &[u32]) -> Result<Tensor<2>> {
        reference::select(x, chosen)
    }

    /// [`Ops::select`] of the same rows of several tensors.
    fn select_each(&self, all: &[Tensor<2>], chosen: &[u32]) -> Result<Vec<Tensor<2>>> {
        all.iter().map(|x| self.select(x, chosen)).collect()
    }

    /// Parts one under another (`axis` 0) or side by side (`axis` 1).
    fn concat(&self, parts: &[Tensor<2>], axis: usize) -> Result<Tensor<2>> {
        reference::concat(parts, axis)
    }

    /// The index of the largest value of each row, the lowest one where several are
    /// equal; `None` for a row with a NaN, or whose largest value is infinite: a drafted row
    /// that nobody will ask for must not spoil the others. One readback.
    fn argmax<'a>(&'a self, logits: &'a Tensor<2>) -> Async<'a, Vec<Option<u32>>> {
        Box::pin(reference::argmax(logits))
    }

    /// Takes in dice that [`Ops::draw`] will ask for, before the pass whose logits they are for:
    /// see [`Ops::stage`].
    fn stage_dice(&self, dice: &Dice) -> Result<()> {
        let _ = dice;
        Ok(())
    }

    /// What [`Die::draw`](crate::sample::Die::draw) says of each row of logits, to the token.
    /// One readback.
    fn draw<'a>(&'a self, logits: &'a Tensor<2>, dice: &'a Dice) -> Async<'a, Vec<Option<Pick>>> {
        Box::pin(reference::draw(logits, dice))
    }

    /// The `k` largest values of each row, one at least and not more than there are, largest
    /// first and equal ones by rising index. They stay on the device: `[rows, 2 k]`, each an index
    /// (below 2^24) and its log-softmax, and an index of -1 where a row has no more numbers.
    fn candidates(&self, logits: &Tensor<2>, k: usize) -> Result<Tensor<2>> {
        reference::candidates(logits, k)
    }

    /// [`Ops::candidates`], read back; `k` may be 0.
    fn top_k<'a>(&'a self, logits: &'a Tensor<2>, k: usize) -> Async<'a, Vec<Vec<(u32, f32)>>> {
        Box::pin(async move {
            match k {
                0 => Ok(vec![Vec::new(); logits.dims()[0]]),
                _ => {
                    let found = self.candidates(logits, k)?;
                    let width = found.dims()[1];
                    Ok(take_up(&self.read(found).await?, width))
                }
            }
        })
    }

    /// The k candidates of a level, `[rows, 2 k]`, that are likeliest with all their
    /// ancestors: by rising place (row times k plus rank), each place with its score (see
    /// [`levels::score`]), `[1, 2 k]`; -1 where there are no more. `above` is the same of the
    /// level's own rows, which were chosen so; without it the level is the root's, of one row.
    /// k is at most [`WIDEST`].
    fn frontier(&self, found: &Tensor<2>, above: Option<&Tensor<2>>) -> Result<Tensor<2>> {
        reference::frontier(found, above)
    }

    /// Places that are known beforehand, in the form of [`Ops::frontier`]; without scores.
    fn places(&self, places: &[u32]) -> Result<Tensor<2>> {
        let data = TensorData::new(levels::places(places), [1, 2 * places.len()]);
        Ok(Tensor::from_data(data, self.device()))
    }

    /// Goes down a level: `rows` become the candidates at the places in `chosen`, as many as
    /// there are rows. They were added with their slots, and with paths of the right length
    /// that end in them; the device gives them their tokens and the slots of their ancestors,
    /// and the host need not know. `ids` (`[1, n]`, whole numbers) are the tokens that indices
    /// stand for; without them indices are tokens. Returns their parents' outputs,
    /// `[rows, hidden]`. A row for which there was no candidate means nothing.
    fn descend(
        &self,
        level: &Level<'_>,
        chosen: &Tensor<2>,
        ids: Option<&Tensor<2>>,
        rows: &mut Rows<'_>,
    ) -> Result<Tensor<2>> {
        reference::descend(level, chosen, ids, rows)
    }

    /// The likeliest nodes of a tree that grew, of all its levels, each after its parent:
    /// `[RANKED, WIDTH]`, as [`ranking::Node`] explains. `grown` is all that was found, as the
    /// module [`ranking`] puts it, [`ranking::MOST`] candidates at most; `ids` as in
    /// [`Ops::descend`].
    fn rank(&self, grown: &Tensor<2>, ids: Option<&Tensor<2>>) -> Result<Tensor<2>> {
        reference::rank(grown, ids)
    }

    /// Makes `rows`, a root's and those of nodes below it, of what [`Ops::rank`] found: row n
    /// becomes the n-th node. Its row was added with its slot, which ends its path, and with a
    /// path at least as long as any node's; the device gives it its token, its position and the
    /// slots of its ancestors, and the host need not know. To do it twice is to do it once. A row
    /// for which there is no node means nothing.
    fn settle(&self, ranked: &Tensor<2>, rows: &mut Rows<'_>) -> Result<()> {
        reference::settle(ranked, rows)
    }

    /// Of logits of rows that were settled by `ranked`: the token after each, drawn with a die
    /// for each depth (as [`Ops::draw`] draws) or, without dice, the likeliest; and the values
    /// of `ranked`. One readback.
    fn draw_settled<'a>(
        &'a self,
        logits: &'a Tensor<2>,
        dice: Option<&'a Dice>,
        ranked: &'a Tensor<2>,
    ) -> Async<'a, (Vec<Option<Pick>>, Vec<f32>)> {
        Box::pin(reference::draw_settled(self, logits, dice, ranked))
    }

    /// Runs a pass over `inputs` and `rows`, which takes in nothing else, or repeats what the
    /// device recorded of an earlier one that it ran for the owner of `recorded`: always with
    /// the same weights and caches, and the same launches where shapes are the same. What
    /// comes back may be overwritten by the next pass.
    ///
    /// # Errors
    /// Those of the pass.
    fn repeat(
        &self,
        recorded: &mut Recorded,
        inputs: &[Tensor<2>],
        rows: &mut [Rows<'_>],
        pass: &mut Pass<'_>,
    ) -> Result<Vec<Tensor<2>>> {
        let _ = recorded;
        pass(inputs, rows)
    }

    /// All values, row-major, on the host. One readback.
    fn read(&self, x: Tensor<2>) -> Async<'_, Vec<f32>> {
        Box::pin(reference::read(x))
    }
}
