//! The pre-tokenizers of byte-level vocabularies: how text is cut into words before
//! merging. GGUF files only name them, so the rules are here.

use tokenizers::pre_tokenizers::byte_level::ByteLevel;
use tokenizers::pre_tokenizers::digits::Digits;
use tokenizers::pre_tokenizers::sequence::Sequence;
use tokenizers::pre_tokenizers::split::{Split, SplitPattern};
use tokenizers::{PreTokenizerWrapper, SplitDelimiterBehavior};

use super::tokenizer::library_error;
use crate::error::{Error, Result};

/// Words as LLaMA 3 cuts them: digits in threes.
const LLAMA3: &str = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+";
/// The same with every digit alone.
const QWEN2: &str = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+";

/// What a GGUF file's `tokenizer.ggml.pre` can ask for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum PreTokenization {
    /// GPT-2's own words.
    Gpt2,
    /// Every digit alone, then GPT-2's words.
    SmolLm,
    /// LLaMA 3's words, each looked up whole before any merging.
    Llama3,
    /// Qwen2's words over composed characters.
    Qwen2,
}

impl PreTokenization {
    /// Finds a rule by the name in the file; none is GPT-2's.
    pub fn named(name: Option<&str>) -> Result<Self> {
        match name {
            None | Some("default" | "gpt-2" | "gpt2") => Ok(Self::Gpt2),
            Some("smollm") => Ok(Self::SmolLm),
            Some("llama-bpe" | "llama3" | "llama-v3") => Ok(Self::Llama3),
            Some("qwen2") => Ok(Self::Qwen2),
            Some(other) => Err(Error::Tokenizer(format!(
                "pre-tokenizer `{other}` is not supported; supported: default, gpt-2, smollm, \
                 llama-bpe, qwen2"
            ))),
        }
    }

    /// Whether texts start with a beginning-of-text token unless the file says no.
    pub fn adds_bos(self) -> bool {
        self == Self::Llama3
    }

    /// Whether a word that is a token stays whole, whatever the merges say.
    pub fn ignores_merges(self) -> bool {
        self == Self::Llama3
    }

    /// Whether characters are composed (NFC) first.
    pub fn composes(self) -> bool {
        self == Self::Qwen2
    }

    /// The library's form of the rule.
    pub fn build(self) -> Result<PreTokenizerWrapper> {
        let bytes = |use_regex| ByteLevel::new(false, true, use_regex).into();
        let words = |pattern: &str| {
            let pattern = SplitPattern::Regex(pattern.into());
            Split::new(pattern, SplitDelimiterBehavior::Isolated, false).map_err(library_error)
        };
        let steps = match self {
            Self::Gpt2 => vec![bytes(true)],
            Self::SmolLm => vec![Digits::new(true).into(), bytes(true)],
            Self::Llama3 => vec![words(LLAMA3)?.into(), bytes(false)],
            Self::Qwen2 => vec![words(QWEN2)?.into(), bytes(false)],
        };
        Ok(Sequence::new(steps).into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokenizers::{OffsetReferential, OffsetType, PreTokenizedString, PreTokenizer};

    fn words(name: &str, text: &str) -> Result<Vec<String>> {
        let mut pieces = PreTokenizedString::from(text);
        let rule = PreTokenization::named(Some(name))?.build()?;
        rule.pre_tokenize(&mut pieces).map_err(library_error)?;
        let splits = pieces.get_splits(OffsetReferential::Original, OffsetType::Byte);
        Ok(splits
            .into_iter()
            .map(|(word, ..)| word.to_owned())
            .collect())
    }

    #[test]
    fn each_rule_cuts_its_own_way() -> Result<()> {
        let text = "It'S 1234 a\n\nb";
        assert_eq!(
            words("gpt-2", text)?,
            ["It", "'", "S", "Ġ1234", "Ġa", "Ċ", "Ċ", "b"]
        );
        assert_eq!(
            words("smollm", text)?,
            ["It", "'", "S", "Ġ", "1", "2", "3", "4", "Ġa", "Ċ", "Ċ", "b"]
        );
        assert_eq!(
            words("llama-bpe", text)?,
            ["It", "'S", "Ġ", "123", "4", "Ġa", "ĊĊ", "b"]
        );
        assert_eq!(
            words("qwen2", text)?,
            ["It", "'S", "Ġ", "1", "2", "3", "4", "Ġa", "ĊĊ", "b"]
        );
        Ok(())
    }
}
