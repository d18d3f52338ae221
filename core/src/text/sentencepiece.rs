//! SentencePiece vocabularies (LLaMA 1 and 2, Vicuna, Mistral) as BPE.
//!
//! SentencePiece keeps no merges: it merges the neighbours whose union scores best.
//! The same choices come out of a merge list that holds every way to cut every token
//! in two, ordered by the token's score, which is also how Hugging Face converts them.

use tokenizers::models::bpe::{Merges, Vocab};
use tokenizers::normalizers::{Prepend, Replace, Sequence};
use tokenizers::{NormalizerWrapper, Tokenizer};

use super::gguf_vocab::{GgufVocab, NORMAL, bpe, id_map};
use super::spelling::METASPACE;
use super::tokenizer::library_error;
use crate::error::{Error, Result};

/// The library's tokenizer for the vocabulary, without its added tokens.
pub(super) fn build(vocab: GgufVocab, space_prefix: bool) -> Result<Tokenizer> {
    let GgufVocab {
        tokens,
        token_types,
        scores,
        unknown,
        ..
    } = vocab;
    let count = tokens.len();
    if scores.len() != count {
        let scored = scores.len();
        return Err(Error::Tokenizer(format!(
            "{count} tokens but {scored} scores"
        )));
    }
    let unknown = unknown
        .map(|id| {
            let token = tokens.get(id as usize).cloned();
            token.ok_or_else(|| Error::Tokenizer(format!("unknown token {id} of {count}")))
        })
        .transpose()?;

    let map = id_map(tokens.clone())?;
    let merges = merges(&tokens, &token_types, &scores, &map);

    let mut model = bpe(map, merges)?.byte_fallback(true).fuse_unk(true);
    if let Some(unknown) = unknown {
        model = model.unk_token(unknown);
    }
    let mut inner = Tokenizer::new(model.build().map_err(library_error)?);
    inner
        .with_normalizer(Some(normalizer(space_prefix)?))
        .map_err(library_error)?;
    Ok(inner)
}

/// Spaces become `▁`, and one more of them starts the text.
fn normalizer(space_prefix: bool) -> Result<NormalizerWrapper> {
    let prepend = space_prefix.then(|| Prepend::new(METASPACE.into()).into());
    let replace = Replace::new(" ", METASPACE.to_string()).map_err(library_error)?;
    Ok(Sequence::new(prepend.into_iter().chain([replace.into()]).collect()).into())
}

/// Every cut of every normal token into two tokens: best score first, then the longest
/// left part, then the longest right part, then the token's place in the vocabulary.
fn merges(tokens: &[String], token_types: &[i32], scores: &[f32], map: &Vocab) -> Merges {
    let mut cuts = Vec::new();
    for (id, (token, score)) in tokens.iter().zip(scores).enumerate() {
        if token_types.get(id).is_some_and(|kind| *kind != NORMAL) {
            continue;
        }
        let length = token.chars().count();
        for (chars, (at, _)) in token.char_indices().enumerate().skip(1) {
            let (left, right) = token.split_at(at);
            if map.contains_key(left) && map.contains_key(right) {
                cuts.push((*score, (chars, length - chars), left, right));
            }
        }
    }
    cuts.sort_by(|a, b| b.0.total_cmp(&a.0).then(b.1.cmp(&a.1)));
    cuts.into_iter()
        .map(|(_, _, left, right)| (left.into(), right.into()))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::super::{Special, Tokenizer, sample};
    use super::*;

    #[test]
    fn best_score_merges_first() -> Result<()> {
        let tokenizer = Tokenizer::from_gguf_vocab(sample::sentencepiece())?;
        let tokens = |text: &str| -> Result<Vec<String>> {
            let ids = tokenizer.encode(text, Special::Plain)?;
            Ok(ids
                .into_iter()
                .filter_map(|id| tokenizer.token(id))
                .collect())
        };
        // `ab` outscores `▁a`, so `▁a` + `b` never comes to be.
        assert_eq!(tokens("ab ab")?, ["▁ab", "▁ab"]);
        assert_eq!(tokens("aab")?, ["▁a", "ab"]);
        // Outside the vocabulary: the bytes.
        assert_eq!(tokens("é")?, ["▁", "<0xC3>", "<0xA9>"]);
        Ok(())
    }

    #[test]
    fn round_trips_with_and_without_the_leading_space() -> Result<()> {
        for add_space_prefix in [Some(true), Some(false)] {
            let vocab = GgufVocab {
                add_space_prefix,
                ..sample::sentencepiece()
            };
            let tokenizer = Tokenizer::from_gguf_vocab(vocab)?;
            for text in ["ab", " ab", "a  b ", "é🙂\n", "", " "] {
                let ids = tokenizer.encode(text, Special::Plain)?;
                assert_eq!(tokenizer.decode(&ids, true)?, text);
            }
        }
        Ok(())
    }
}
