//! Heads, as `eaglet inspect` shows them.

use std::io::{self, Write};

use eaglet_core::draft::HeadInfo;

use super::{Tensor, list, totals};

/// One JSON object.
pub fn json(out: &mut impl Write, head: &HeadInfo, tensors: &[Tensor]) -> io::Result<()> {
    let (parameters, bytes) = totals(tensors);
    let object = serde_json::json!({
        "head": head.kind.to_string(),
        "hidden": head.hidden,
        "target_hidden": head.target_hidden,
        "intermediate": head.intermediate,
        "heads": head.heads.map(|(query, _, _)| query),
        "kv_heads": head.heads.map(|(_, keys, _)| keys),
        "head_dim": head.heads.map(|(_, _, dim)| dim),
        "vocab": head.vocab,
        "draft_vocab": head.draft_vocab,
        "taps": head.taps,
        "rope_theta": head.rope_theta,
        "features": head.features,
        "parameters": parameters,
        "bytes": bytes,
        "tensors": tensors,
    });
    serde_json::to_writer_pretty(&mut *out, &object)?;
    writeln!(out)
}

/// Lines for people.
pub fn table(out: &mut impl Write, head: &HeadInfo, tensors: &[Tensor]) -> io::Result<()> {
    write!(out, "{} head: hidden {}", head.kind, head.hidden)?;
    if head.intermediate > 0 {
        write!(out, ", feed-forward {}", head.intermediate)?;
    }
    if let Some((query, keys, dim)) = head.heads {
        write!(out, ", {query} heads of {dim} ({keys} for keys)")?;
    }
    writeln!(out)?;
    write!(out, "for a target of hidden {}", head.target_hidden)?;
    if let Some(vocab) = head.vocab {
        write!(out, ", vocabulary {vocab}")?;
    }
    if let Some(draft) = head.draft_vocab {
        write!(out, ", of which it drafts {draft}")?;
    }
    writeln!(out)?;
    match &head.taps {
        None => writeln!(out, "sees the inputs of layers 2, L / 2 and L - 3")?,
        Some(taps) if taps.is_empty() => writeln!(out, "sees the last hidden state")?,
        Some(taps) => writeln!(out, "sees the inputs of layers {taps:?}")?,
    }
    if !head.features.is_empty() {
        writeln!(out, "has {}", head.features.join(", "))?;
    }
    list(out, tensors)
}
