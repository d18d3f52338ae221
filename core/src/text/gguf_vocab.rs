//! A tokenizer from the vocabulary that a GGUF file carries.

use tokenizers::models::bpe::{BPE, BpeBuilder, Merges, Vocab};
use tokenizers::normalizers::NFC;
use tokenizers::{AddedToken, NormalizerWrapper};

use super::pre_tokenize::PreTokenization;
use super::sentencepiece;
use super::spelling::Spelling;
use super::tokenizer::{Markers, Tokenizer, library_error};
use crate::error::{Error, Result};

// Values of the `tokenizer.ggml.token_type` array.
pub(super) const NORMAL: i32 = 1;
const UNKNOWN: i32 = 2;
const CONTROL: i32 = 3;
const USER_DEFINED: i32 = 4;

/// The `tokenizer.ggml.*` metadata of a GGUF file, under their own names.
#[derive(Clone, Debug, Default)]
pub struct GgufVocab {
    /// `model`: `gpt2` for byte-level BPE, `llama` for SentencePiece.
    pub model: String,
    /// `pre`: the name of the pre-tokenizer, for byte-level vocabularies.
    pub pre: Option<String>,
    /// `tokens`, in order of id.
    pub tokens: Vec<String>,
    /// `token_type`, one a token; empty if every token is normal.
    pub token_types: Vec<i32>,
    /// `merges`, `"left right"`, best first; byte-level vocabularies only.
    pub merges: Vec<String>,
    /// `scores`, one a token; SentencePiece vocabularies only.
    pub scores: Vec<f32>,
    /// `bos_token_id`.
    pub bos: Option<u32>,
    /// `eos_token_id`.
    pub eos: Option<u32>,
    /// `eot_token_id`: the end of a turn.
    pub eot: Option<u32>,
    /// `unknown_token_id`.
    pub unknown: Option<u32>,
    /// `add_bos_token`. Where a file does not say: true for SentencePiece and LLaMA 3.
    pub add_bos: Option<bool>,
    /// `add_space_prefix`. Where a file does not say: true for SentencePiece.
    pub add_space_prefix: Option<bool>,
}

impl Tokenizer {
    /// Rebuilds a tokenizer from GGUF metadata.
    pub fn from_gguf_vocab(vocab: GgufVocab) -> Result<Self> {
        vocab.check()?;
        let added = vocab.added_tokens();
        let mut markers = Markers {
            bos: vocab.bos,
            add_bos: vocab.add_bos.unwrap_or(false),
            eos: vocab.eos.into_iter().chain(vocab.eot).collect(),
        };
        let (mut inner, spelling) = match vocab.model.as_str() {
            "gpt2" => {
                let rule = PreTokenization::named(vocab.pre.as_deref())?;
                markers.add_bos = vocab.add_bos.unwrap_or(rule.adds_bos());
                (byte_level(vocab, rule)?, Spelling::ByteLevel)
            }
            "llama" => {
                let space_prefix = vocab.add_space_prefix.unwrap_or(true);
                markers.add_bos = vocab.add_bos.unwrap_or(true);
                (
                    sentencepiece::build(vocab, space_prefix)?,
                    Spelling::SentencePiece { space_prefix },
                )
            }
            other => {
                return Err(Error::Tokenizer(format!(
                    "model `{other}` is not supported; supported: gpt2, llama"
                )));
            }
        };
        inner.add_tokens(added).map_err(library_error)?;
        Self::assemble(inner, spelling, markers)
    }
}

impl GgufVocab {
    fn check(&self) -> Result<()> {
        let count = self.tokens.len();
        let types = self.token_types.len();
        if count == 0 || u32::try_from(count).is_err() {
            return Err(Error::Tokenizer(format!("a vocabulary of {count} tokens")));
        }
        if types != 0 && types != count {
            return Err(Error::Tokenizer(format!(
                "{count} tokens but {types} token types"
            )));
        }
        Ok(())
    }

    /// The tokens that text is searched for before anything else, all in one list:
    /// adding them one by one would rebuild the search automaton each time.
    fn added_tokens(&self) -> Vec<AddedToken> {
        let added = |(token, token_type): (&String, &i32)| match *token_type {
            CONTROL | UNKNOWN => Some(AddedToken::from(token, true)),
            USER_DEFINED => Some(AddedToken::from(token, false).normalized(false)),
            _ => None,
        };
        self.tokens
            .iter()
            .zip(&self.token_types)
            .filter_map(added)
            .collect()
    }
}

/// Byte-level BPE: GPT-2 and, with other pre-tokenizers, LLaMA 3, Qwen2, SmolLM2.
fn byte_level(vocab: GgufVocab, rule: PreTokenization) -> Result<tokenizers::Tokenizer> {
    let merges: Option<Merges> = vocab
        .merges
        .iter()
        .map(|merge| {
            merge
                .split_once(' ')
                .map(|(left, right)| (left.into(), right.into()))
        })
        .collect();
    let merges = merges
        .ok_or_else(|| Error::Tokenizer("a merge that is not two tokens and a space".into()))?;
    let model = bpe(id_map(vocab.tokens)?, merges)?.ignore_merges(rule.ignores_merges());
    let mut inner = tokenizers::Tokenizer::new(model.build().map_err(library_error)?);
    inner.with_pre_tokenizer(Some(rule.build()?));
    if rule.composes() {
        let nfc: NormalizerWrapper = NFC.into();
        inner.with_normalizer(Some(nfc)).map_err(library_error)?;
    }
    Ok(inner)
}

/// Token to id. A token that has two ids would lose one of them: refused.
pub(super) fn id_map(tokens: Vec<String>) -> Result<Vocab> {
    let count = tokens.len();
    let map: Vocab = tokens.into_iter().zip(0..).collect();
    if map.len() != count {
        let twice = count - map.len();
        return Err(Error::Tokenizer(format!(
            "{twice} of {count} tokens are there twice"
        )));
    }
    Ok(map)
}

/// Starts a BPE model. The library copies each merge into a buffer as long as the
/// longest token and would panic on a longer one, which is checked here.
pub(super) fn bpe(map: Vocab, merges: Merges) -> Result<BpeBuilder> {
    let longest = map.keys().map(String::len).max().unwrap_or(0);
    match merges
        .iter()
        .find(|(left, right)| left.len() + right.len() > longest)
    {
        Some((left, right)) => Err(Error::Tokenizer(format!(
            "the merge of `{left}` and `{right}` is not in the vocabulary"
        ))),
        None => Ok(BPE::builder().vocab_and_merges(map, merges)),
    }
}

#[cfg(test)]
mod tests {
    use super::super::Special;
    use super::super::sample;
    use super::*;

    fn message(vocab: GgufVocab) -> String {
        match Tokenizer::from_gguf_vocab(vocab) {
            Ok(_) => "no error".into(),
            Err(error) => error.to_string(),
        }
    }

    #[test]
    fn unknown_names_are_named_with_what_would_work() {
        let pre = message(GgufVocab {
            pre: Some("novel".into()),
            ..sample::byte_level()
        });
        assert!(
            pre.contains("`novel`") && pre.contains("smollm") && pre.contains("qwen2"),
            "{pre}"
        );
        let model = message(GgufVocab {
            model: "bert".into(),
            ..sample::byte_level()
        });
        assert!(
            model.contains("`bert`") && model.contains("gpt2, llama"),
            "{model}"
        );
    }

    #[test]
    fn broken_vocabularies_are_errors() {
        let good = sample::byte_level;
        let with_merge = |merge: &str| GgufVocab {
            merges: vec![merge.into()],
            ..good()
        };
        let broken = [
            GgufVocab {
                tokens: vec![],
                ..good()
            },
            GgufVocab {
                token_types: vec![1, 1],
                ..good()
            },
            GgufVocab {
                tokens: vec!["a".into(), "a".into()],
                token_types: vec![],
                ..good()
            },
            GgufVocab {
                bos: Some(9999),
                ..good()
            },
            GgufVocab {
                eos: Some(9999),
                ..good()
            },
            with_merge("nospace"),
            with_merge("q z"),
            with_merge("Ġ thelongestmergeofthemallbyfar"),
            GgufVocab {
                scores: vec![0.0],
                ..sample::sentencepiece()
            },
            GgufVocab {
                unknown: Some(9999),
                ..sample::sentencepiece()
            },
        ];
        for (index, vocab) in broken.into_iter().enumerate() {
            assert_ne!(message(vocab), "no error", "case {index}");
        }
    }

    #[test]
    fn beginning_of_text_follows_the_file_then_the_family() -> Result<()> {
        let adds_bos = |vocab| Ok::<_, Error>(Tokenizer::from_gguf_vocab(vocab)?.add_bos());
        let llama3 = || GgufVocab {
            pre: Some("llama-bpe".into()),
            ..sample::byte_level()
        };
        assert!(!adds_bos(sample::byte_level())?);
        assert!(adds_bos(llama3())?);
        assert!(!adds_bos(GgufVocab {
            add_bos: Some(false),
            ..llama3()
        })?);
        assert!(adds_bos(sample::sentencepiece())?);
        assert!(!adds_bos(GgufVocab {
            bos: None,
            ..sample::sentencepiece()
        })?);
        Ok(())
    }

    #[test]
    fn llama3_takes_whole_words_before_merging() -> Result<()> {
        // `hello` is a token that no merge leads to.
        let vocab = |pre: &str| {
            let mut vocab = GgufVocab {
                pre: Some(pre.into()),
                ..sample::byte_level()
            };
            vocab.tokens.push("hello".into());
            vocab.token_types.push(NORMAL);
            vocab
        };
        let whole = Tokenizer::from_gguf_vocab(vocab("llama-bpe"))?;
        assert_eq!(whole.encode("hello", Special::Plain)?.len(), 1);
        let merged = Tokenizer::from_gguf_vocab(vocab("qwen2"))?;
        assert!(merged.encode("hello", Special::Plain)?.len() > 1);
        Ok(())
    }

    #[test]
    fn qwen2_composes_characters() -> Result<()> {
        let vocab = GgufVocab {
            pre: Some("qwen2".into()),
            ..sample::byte_level()
        };
        let tokenizer = Tokenizer::from_gguf_vocab(vocab)?;
        let composed = tokenizer.encode("\u{e9}", Special::Plain)?;
        assert_eq!(tokenizer.encode("e\u{301}", Special::Plain)?, composed);
        Ok(())
    }
}
