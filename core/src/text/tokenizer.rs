//! The tokenizer: text to ids and back, and the ids that start and end a text.

use tokenizers::{
    AddedVocabulary, Model, OffsetReferential, OffsetType, PreTokenizedString, PreTokenizer,
};

use super::spelling::Spelling;
use crate::error::{Error, Result};

/// Special tokens that end a turn or a text, whoever trained the model. They count
/// only where the vocabulary marks them as special: text can never end a turn.
const WELL_KNOWN_ENDS: [&str; 5] = [
    "<|im_end|>",
    "<|eot_id|>",
    "<|end_of_text|>",
    "<|endoftext|>",
    "</s>",
];

/// What to make of special tokens, such as `<|im_start|>`, that stand in a text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Special {
    /// They become their own ids: for text that the program or a template wrote.
    Parse,
    /// They are text like any other: for text that came from outside.
    Plain,
}

/// The ids that mark the start and the ends of a text, as a checkpoint names them.
#[derive(Clone, Debug, Default)]
pub(super) struct Markers {
    pub bos: Option<u32>,
    pub add_bos: bool,
    pub eos: Vec<u32>,
}

/// A vocabulary with the rules to split text into it.
///
/// ```text
/// text --added tokens--> pieces --normalise, pre-tokenise--> words --BPE--> ids
/// ids --spelling--> bytes --UTF-8--> text
/// ```
#[derive(Debug)]
pub struct Tokenizer {
    inner: tokenizers::Tokenizer,
    /// The added tokens once more, with the special ones treated as text. Only these
    /// few exist twice; the vocabulary itself is shared by both ways to encode.
    plain: AddedVocabulary,
    spelling: Spelling,
    markers: Markers,
    vocab_size: usize,
}

impl Tokenizer {
    /// Joins the parts, completing `markers.eos` and checking every id.
    pub(super) fn assemble(
        inner: tokenizers::Tokenizer,
        spelling: Spelling,
        mut markers: Markers,
    ) -> Result<Self> {
        let added = inner.get_added_vocabulary();
        let mut plain = added.clone();
        plain.set_encode_special_tokens(true);

        let well_known = WELL_KNOWN_ENDS
            .iter()
            .filter(|token| added.is_special_token(token));
        let well_known = well_known.filter_map(|token| inner.token_to_id(token));
        let mut eos = Vec::new();
        for id in markers.eos.into_iter().chain(well_known) {
            if !eos.contains(&id) {
                eos.push(id);
            }
        }
        markers.eos = eos;
        for id in markers.bos.iter().chain(&markers.eos) {
            if inner.id_to_token(*id).is_none() {
                return Err(unknown_id(*id));
            }
        }

        let highest_added = added.get_added_tokens_decoder().keys().max();
        let vocab_size = inner
            .get_vocab_size(true)
            .max(highest_added.map_or(0, |id| *id as usize + 1));
        Ok(Self {
            inner,
            plain,
            spelling,
            markers,
            vocab_size,
        })
    }

    /// The ids of a text. Never adds a beginning of text: see [`Tokenizer::add_bos`].
    pub fn encode(&self, text: &str, special: Special) -> Result<Vec<u32>> {
        self.encode_with(self.added(special), text)
    }

    /// The text of some ids, broken UTF-8 replaced by U+FFFD. Special tokens appear in
    /// it only if `keep_special`.
    pub fn decode(&self, ids: &[u32], keep_special: bool) -> Result<String> {
        let mut bytes = Vec::new();
        for id in ids {
            self.append_bytes(*id, keep_special, &mut bytes)?;
        }
        self.spelling.strip_start(&mut bytes);
        Ok(String::from_utf8_lossy(&bytes).into_owned())
    }

    /// Number of ids, added tokens included: every id is below it. A model's output
    /// may be padded beyond.
    pub fn vocab_size(&self) -> usize {
        self.vocab_size
    }

    /// The beginning-of-text id, if the checkpoint names one.
    pub fn bos(&self) -> Option<u32> {
        self.markers.bos
    }

    /// Whether a text that has no template must start with [`Tokenizer::bos`].
    pub fn add_bos(&self) -> bool {
        self.markers.add_bos && self.markers.bos.is_some()
    }

    /// The ids after which generation ends, the checkpoint's own first: what its files
    /// name as end of text and of turn, and those of `<|im_end|>`, `<|eot_id|>`,
    /// `<|end_of_text|>`, `<|endoftext|>` and `</s>` that are special tokens here
    /// (checkpoints often name only one of the two or three that a model emits).
    pub fn eos_ids(&self) -> &[u32] {
        &self.markers.eos
    }

    /// The id of a token, spelled as in the vocabulary.
    pub fn id_of(&self, token: &str) -> Option<u32> {
        self.inner.token_to_id(token)
    }

    /// A token as the vocabulary spells it: for special tokens, their text.
    pub fn token(&self, id: u32) -> Option<String> {
        match self
            .inner
            .get_added_vocabulary()
            .get_added_tokens_decoder()
            .get(&id)
        {
            Some(added) => Some(added.content.clone()),
            None => self.inner.get_model().id_to_token(id),
        }
    }

    /// The special tokens, as they stand in a text.
    pub(super) fn special_tokens(&self) -> impl Iterator<Item = &str> {
        let added = self
            .inner
            .get_added_vocabulary()
            .get_added_tokens_decoder()
            .values();
        added
            .filter(|token| token.special)
            .map(|token| token.content.as_str())
    }

    /// How ids become bytes.
    pub(super) fn spelling(&self) -> Spelling {
        self.spelling
    }

    /// The library's tokenizer.
    pub(super) fn inner(&self) -> &tokenizers::Tokenizer {
        &self.inner
    }

    /// The added tokens to look for in a text.
    pub(super) fn added(&self, special: Special) -> &AddedVocabulary {
        match special {
            Special::Parse => self.inner.get_added_vocabulary(),
            Special::Plain => &self.plain,
        }
    }

    /// Encodes with the given added tokens.
    ///
    /// The library's own `encode` chooses between the two sets by a field of a shared
    /// vocabulary, so it would need `&mut self`, and appends what its post-processor
    /// says; these are its public steps without both.
    pub(super) fn encode_with(&self, added: &AddedVocabulary, text: &str) -> Result<Vec<u32>> {
        let encode = || {
            let mut pieces: PreTokenizedString =
                added.extract_and_normalize(self.inner.get_normalizer(), text);
            if let Some(pre_tokenizer) = self.inner.get_pre_tokenizer() {
                pre_tokenizer.pre_tokenize(&mut pieces)?;
            }
            self.inner
                .get_model()
                .tokenize_in_pretokenized(&mut pieces, None)?;
            let encoding = pieces.into_encoding(None, 0, OffsetType::None)?;
            Ok(encoding.get_ids().to_vec())
        };
        encode().map_err(library_error)
    }

    /// Where the special tokens of a text stand: id, start and end in bytes.
    pub(super) fn find_special(&self, text: &str) -> Vec<(u32, usize, usize)> {
        let added = self.inner.get_added_vocabulary();
        let pieces = added.extract_and_normalize(self.inner.get_normalizer(), text);
        let is_special = |id| {
            added
                .get_added_tokens_decoder()
                .get(&id)
                .is_some_and(|t| t.special)
        };
        pieces
            .get_splits(OffsetReferential::Original, OffsetType::Byte)
            .into_iter()
            .filter_map(|(_, (start, end), tokens)| match tokens.as_deref() {
                Some([token]) if is_special(token.id) => Some((token.id, start, end)),
                _ => None,
            })
            .collect()
    }

    /// Appends the bytes that a token stands for.
    pub(super) fn append_bytes(
        &self,
        id: u32,
        keep_special: bool,
        bytes: &mut Vec<u8>,
    ) -> Result<()> {
        if let Some(added) = self
            .inner
            .get_added_vocabulary()
            .get_added_tokens_decoder()
            .get(&id)
        {
            if keep_special || !added.special {
                self.spelling.append_added(added, bytes);
            }
        } else {
            let token = self
                .inner
                .get_model()
                .id_to_token(id)
                .ok_or_else(|| unknown_id(id))?;
            self.spelling.append(&token, bytes);
        }
        Ok(())
    }
}

/// The library's errors are opaque: their text is all there is.
pub(super) fn library_error(error: tokenizers::Error) -> Error {
    Error::Tokenizer(error.to_string())
}

fn unknown_id(id: u32) -> Error {
    Error::Tokenizer(format!("id {id} is not in the vocabulary"))
}

#[cfg(test)]
mod tests {
    use super::super::sample;
    use super::*;

    #[test]
    fn special_tokens_are_ids_or_text() -> Result<()> {
        let tokenizer = Tokenizer::from_gguf_vocab(sample::byte_level())?;
        let text = "<|im_start|>the hello\n\n<|im_end|>";
        let parsed = tokenizer.encode(text, Special::Parse)?;
        let tokens: Vec<_> = parsed
            .iter()
            .filter_map(|id| tokenizer.token(*id))
            .collect();
        assert_eq!(
            tokens,
            [
                "<|im_start|>",
                "t",
                "he",
                "Ġ",
                "hell",
                "o",
                "ĊĊ",
                "<|im_end|>"
            ]
        );
        let plain = tokenizer.encode(text, Special::Plain)?;
        assert!(!plain.contains(&0) && !plain.contains(&1));
        assert_eq!(tokenizer.decode(&plain, false)?, text);
        assert_eq!(tokenizer.decode(&parsed, false)?, "the hello\n\n");
        Ok(())
    }

    #[test]
    fn added_tokens_that_are_not_special_are_found_either_way() -> Result<()> {
        let tokenizer = Tokenizer::from_gguf_vocab(sample::byte_level())?;
        for special in [Special::Parse, Special::Plain] {
            assert_eq!(tokenizer.encode("<tool>", special)?, [2]);
        }
        assert_eq!(tokenizer.decode(&[2], false)?, "<tool>");
        Ok(())
    }

    #[test]
    fn ends_are_the_files_own_then_the_well_known() -> Result<()> {
        let mut vocab = sample::byte_level();
        vocab.eos = Some(2);
        vocab.tokens.extend(["</s>".into(), "<|eot_id|>".into()]);
        // Only the second is special, so only it can end a text.
        vocab.token_types.extend([1, 3]);
        let tokenizer = Tokenizer::from_gguf_vocab(vocab)?;
        let ends = tokenizer
            .eos_ids()
            .iter()
            .filter_map(|id| tokenizer.token(*id));
        assert_eq!(
            ends.collect::<Vec<_>>(),
            ["<tool>", "<|im_end|>", "<|eot_id|>"]
        );
        Ok(())
    }

    #[test]
    fn ids_outside_the_vocabulary_are_errors() -> Result<()> {
        let tokenizer = Tokenizer::from_gguf_vocab(sample::byte_level())?;
        let size = tokenizer.vocab_size() as u32;
        assert!(tokenizer.decode(&[size - 1], true).is_ok());
        assert!(tokenizer.decode(&[size], true).is_err());
        assert_eq!(tokenizer.token(size), None);
        assert_eq!(tokenizer.id_of("<|im_end|>"), Some(1));
        Ok(())
    }
}
