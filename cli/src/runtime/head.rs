//! Heads from their files; those of EAGLE are tried on a few words before they are used.

use std::io::Write;

use eaglet_core::draft::{Head, HeadCheckpoint, MedusaHeads, load_medusa, probe};
use eaglet_core::model::Transformer;
use eaglet_core::text::{Special, TextAssets};
use eaglet_core::weights::Dtype;

use super::Method;
use super::heads::Source;
use crate::error::Failure;

/// How heads lie in memory, whatever their file holds: they change speed only, never
/// text. Measured (`cargo bench -p eaglet-tests --bench draft`: width 576, 8192 tokens,
/// two cores with VNNI): a pass takes 1.3 ms in q8 and 2.9 ms in f16; q4 would take 0.6 ms,
/// and its drafts are worse.
const DTYPE: Dtype = Dtype::Q8;

/// Plain sentences, such as any model of English goes on with.
const TEXT: &str = "The sun is a star at the center of our solar system. It gives us light and \
                    heat, and without it there would be no life on Earth.";

/// Tokens of it that are tried: more would be felt at the start.
const TOKENS: usize = 24;

/// The EAGLE head of `method`. Warns on standard error where it does
/// not seem to fit the model.
pub fn eagle(
    source: &Source,
    method: Method,
    target: &Transformer,
    text: Option<&TextAssets>,
) -> Result<Box<dyn Head>, Failure> {
    let checkpoint = open(source, method)?;
    let key = checkpoint.taps_key();
    let head = checkpoint.load(target, DTYPE)?;
    if let Some(text) = text
        && let Some(doubt) = doubt(&*head, &key, target, text)?
    {
        // A closed standard error must not stop the work.
        let _ = writeln!(
            anstream::stderr(),
            "\x1b[1;33mwarning:\x1b[0m {source}: {doubt}"
        );
    }
    Ok(head)
}

/// Medusa heads.
pub fn medusa(source: &Source, target: &Transformer) -> Result<MedusaHeads, Failure> {
    let tensors = open(source, Method::Medusa)?.tensors;
    Ok(load_medusa(tensors, target, DTYPE)?)
}

/// Opens a head, which must be one of the method's.
fn open(source: &Source, method: Method) -> Result<HeadCheckpoint, Failure> {
    let checkpoint = source.open()?;
    let held = match checkpoint.kind() {
        Some(found) if Some(found) == method.kind() => return Ok(checkpoint),
        Some(found) => format!(
            "the head of another method than {}: one of {found}",
            method.name()
        ),
        None => "no head that eaglet knows".into(),
    };
    Err(Failure::Input(format!("{source} holds {held}")))
}

/// What speaks against a head, if anything does.
fn doubt(
    head: &dyn Head,
    taps_key: &str,
    target: &Transformer,
    text: &TextAssets,
) -> Result<Option<String>, Failure> {
    let mut tokens = text.tokenizer.encode(TEXT, Special::Parse)?;
    tokens.truncate(TOKENS.min(target.context()));
    if tokens.len() < 3 {
        return Ok(None); // A context in which nothing can be drafted either.
    }
    let agreement = match pollster::block_on(probe(head, target, &tokens)) {
        Ok(agreement) if agreement.is_none() => agreement,
        Ok(_) => return Ok(None),
        Err(error) => return Ok(Some(format!("the head failed when it was tried: {error}"))),
    };
    let (hits, all) = (
        (agreement.share * agreement.positions as f64).round(),
        agreement.positions,
    );
    let fact = format!(
        "the head agrees with the model on {hits} of {all} tokens, so drafts will be rejected \
         (the text stays right, and is slower than it could be)"
    );
    Ok(Some(match agreement.better {
        Some((taps, share)) => format!(
            "{fact}. It sees the wrong layers: with the inputs of {taps:?} it agrees on {:.0} %; \
             set {taps_key} to {taps:?}",
            share * 100.0
        ),
        None => format!("{fact}. It is not trained, or was trained for another model"),
    }))
}
