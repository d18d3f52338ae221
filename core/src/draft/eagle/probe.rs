//! Whether a head fits its target: wrong taps do not crash, they make drafts worthless.

use burn::tensor::{DType, Tensor};

use super::Head;
use crate::cache::{KvPool, Table};
use crate::error::{Error, Result};
use crate::model::{Features, Transformer};
use crate::sample::not_a_number;
use crate::weights::Dtype;

/// Agreement below this is none: a head for this target, trained however briefly, has
/// more.
const NONE: f64 = 0.05;

/// How often a head says what its target says.
#[derive(Clone, Debug, PartialEq)]
pub struct Agreement {
    /// Positions that were compared.
    pub positions: usize,
    /// The share of them where the most likely tokens of both are the same.
    pub share: f64,
    /// Taps that would have agreed where the head's own do not, and how much: the layers
    /// whose inputs they are.
    pub better: Option<(Vec<usize>, f64)>,
}

impl Agreement {
    /// Whether there is none: the head is not for this target, or its taps are wrong.
    pub fn is_none(&self) -> bool {
        self.share < NONE
    }
}

/// Runs a head beside its target over a text, each position given the right tokens, and
/// compares what they hold for most likely next. Where an EAGLE-3 head does not agree,
/// the taps one layer earlier and one later are tried: files count layers' inputs or
/// their outputs.
///
/// # Errors
/// There are fewer than three tokens, or they are not in the vocabulary; or a device
/// failed.
pub async fn probe(head: &dyn Head, target: &Transformer, tokens: &[u32]) -> Result<Agreement> {
    if tokens.len() < 3 {
        return Err(Error::Invalid("a probe needs three tokens".into()));
    }
    let layers = target.config().layers;
    let shifted = [1, -1].map(|by| shift(head.taps(), by, layers));
    let mut points = [head.taps(), &shifted.concat()].concat();
    points.sort_unstable();
    points.dedup();
    let (features, wanted) = teach(target, tokens, &points).await?;
    let agree = async |taps: &[usize]| {
        let features = features.only(&points, taps);
        let found = follow(head, target, &features, tokens).await?;
        // Pair i is asked for token i + 2: what the target says after token i + 1.
        let hits = found.iter().zip(&wanted[1..]).filter(|(a, b)| a == b);
        Ok::<_, Error>(hits.count() as f64 / found.len() as f64)
    };
    let mut agreement = Agreement {
        positions: tokens.len() - 1,
        share: agree(head.taps()).await?,
        better: None,
    };
    if agreement.is_none() {
        for taps in shifted.into_iter().filter(|taps| !taps.is_empty()) {
            let share = agree(&taps).await?;
            let best = agreement.better.as_ref().map_or(NONE, |(_, share)| *share);
            if share > best {
                agreement.better = Some((taps, share));
            }
        }
    }
    Ok(agreement)
}

/// Taps one layer on, or back; none where they would leave the model.
fn shift(taps: &[usize], by: isize, layers: usize) -> Vec<usize> {
    let moved = taps.iter().map(|tap| tap.checked_add_signed(by));
    let moved = moved.map(|tap| tap.filter(|&tap| tap <= layers));
    moved.collect::<Option<_>>().unwrap_or_default()
}

/// The target's features over the tokens, and its most likely token after each.
async fn teach(
    target: &Transformer,
    tokens: &[u32],
    points: &[usize],
) -> Result<(Features, Vec<u32>)> {
    let (config, ops) = (target.config(), &**target.ops());
    let dtype = match target.dtype() {
        Dtype::F32 => DType::F32,
        _ => DType::F16,
    };
    let heads = config.attention_heads();
    let mut pool = KvPool::new(ops, config.layers, tokens.len(), heads, dtype)?;
    let slots = pool.reserve(tokens.len())?;
    let mut table = Table::default();
    let rows = table.extend(tokens, &slots);
    let features = target.forward(&rows, &mut pool, points)?;
    let logits = target.logits(&features.last)?;
    let wanted = ops.argmax(&logits).await?;
    let wanted = wanted.into_iter().map(|id| id.ok_or_else(not_a_number));
    Ok((features, wanted.collect::<Result<_>>()?))
}

/// The head's most likely token after each pair of a feature and the token that follows.
async fn follow(
    head: &dyn Head,
    target: &Transformer,
    features: &Features,
    tokens: &[u32],
) -> Result<Vec<u32>> {
    let ops = &**target.ops();
    let pairs = tokens.len() - 1;
    let rows: Vec<u32> = (0..pairs as u32).collect();
    let of = |t: &Tensor<2>| ops.select(t, &rows);
    let features = Features {
        last: of(&features.last)?,
        taps: features.taps.iter().map(of).collect::<Result<_>>()?,
    };
    let mut pool = KvPool::new(ops, 1, pairs, head.heads(), DType::F32)?;
    let slots = pool.reserve(pairs)?;
    let mut table = Table::default();
    let rows = table.extend(&tokens[1..], &slots);
    let embedded = ops.embed(head.embedding(), &rows.tokens)?;
    let outputs = head.pass(&head.fuse(&features)?, embedded, &rows, pool.layer(0))?;
    let best = ops.argmax(&head.logits(&outputs)?).await?;
    let token = |index: Option<u32>| index.map(|i| head.token(i)).ok_or_else(not_a_number);
    best.into_iter().map(token).collect()
}
