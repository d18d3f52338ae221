//! How the tokens of a vocabulary spell bytes.
//!
//! Vocabularies store tokens as printable strings. Seeing a token as the bytes it
//! stands for makes decoding a concatenation, and streaming it exact and cheap, where
//! decoding strings would need a window of earlier tokens each time.

use tokenizers::normalizers::Replace;
use tokenizers::pre_tokenizers::metaspace::PrependScheme;
use tokenizers::{AddedToken, DecoderWrapper};

use crate::error::{Error, Result};

/// What SentencePiece writes for a space.
pub(super) const METASPACE: char = '▁';

/// The two ways in which language models' vocabularies spell bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Spelling {
    /// Every byte is one character of GPT-2's alphabet.
    ByteLevel,
    /// Plain text with `▁` for a space, and tokens like `<0xE2>` for single bytes.
    SentencePiece {
        /// Whether encoding puts a space before the text, for decoding to take away.
        space_prefix: bool,
    },
}

impl Spelling {
    /// Reads the spelling off the decoder of a `tokenizer.json`.
    pub fn of(decoder: Option<&DecoderWrapper>) -> Result<Self> {
        match decoder {
            Some(DecoderWrapper::ByteLevel(_)) => Ok(Self::ByteLevel),
            Some(DecoderWrapper::Metaspace(metaspace)) => Ok(Self::SentencePiece {
                space_prefix: metaspace.get_prepend_scheme() != PrependScheme::Never,
            }),
            Some(DecoderWrapper::Sequence(sequence)) => of_steps(sequence.get_decoders()),
            _ => Err(unsupported()),
        }
    }

    /// Appends the bytes of a token of the model's own vocabulary.
    pub fn append(self, token: &str, bytes: &mut Vec<u8>) {
        match self {
            Self::ByteLevel => {
                let start = bytes.len();
                for c in token.chars() {
                    let Some(byte) = byte_level(c) else {
                        // Not in the alphabet, so not spelled with it: text as it is.
                        bytes.truncate(start);
                        bytes.extend_from_slice(token.as_bytes());
                        return;
                    };
                    bytes.push(byte);
                }
            }
            Self::SentencePiece { .. } => match byte_token(token) {
                Some(byte) => bytes.push(byte),
                None => bytes.extend_from_slice(token.replace(METASPACE, " ").as_bytes()),
            },
        }
    }

    /// Appends the bytes of an added token, whose text no byte alphabet ever touched.
    pub fn append_added(self, token: &AddedToken, bytes: &mut Vec<u8>) {
        match self {
            Self::ByteLevel => bytes.extend_from_slice(token.content.as_bytes()),
            Self::SentencePiece { .. } => self.append(&token.content, bytes),
        }
    }

    /// Takes away the space that encoding put before the text; `bytes` starts it.
    pub fn strip_start(self, bytes: &mut Vec<u8>) {
        if self == (Self::SentencePiece { space_prefix: true }) && bytes.first() == Some(&b' ') {
            bytes.remove(0);
        }
    }
}

/// The steps that Hugging Face gives LLaMA-like tokenizers, in any number.
fn of_steps(steps: &[DecoderWrapper]) -> Result<Spelling> {
    let space = Replace::new(METASPACE.to_string(), " ").map_err(|_| unsupported())?;
    let mut space_prefix = false;
    for step in steps {
        match step {
            DecoderWrapper::Fuse(_) | DecoderWrapper::ByteFallback(_) => {}
            DecoderWrapper::Replace(replace) if *replace == space => {}
            DecoderWrapper::Strip(strip)
                if (strip.content, strip.start, strip.stop) == (' ', 1, 0) =>
            {
                space_prefix = true;
            }
            DecoderWrapper::ByteLevel(_) if steps.len() == 1 => return Ok(Spelling::ByteLevel),
            _ => return Err(unsupported()),
        }
    }
    Ok(Spelling::SentencePiece { space_prefix })
}

fn unsupported() -> Error {
    Error::Tokenizer(
        "this decoder is not supported; supported: ByteLevel, Metaspace, \
         Sequence[Replace ▁, ByteFallback, Fuse, Strip]"
            .into(),
    )
}

/// The byte behind a character of GPT-2's alphabet: printable bytes stand for
/// themselves, the other 68 follow in order from U+0100.
fn byte_level(c: char) -> Option<u8> {
    let code = u32::from(c);
    let byte = match code {
        0x21..=0x7E | 0xA1..=0xAC | 0xAE..=0xFF => code,
        0x100..=0x120 => code - 0x100,
        0x121..=0x142 => code - 0x121 + 0x7F,
        0x143 => 0xAD,
        _ => return None,
    };
    u8::try_from(byte).ok()
}

/// The byte of a token like `<0x0A>`.
fn byte_token(token: &str) -> Option<u8> {
    let digits = token.strip_prefix("<0x")?.strip_suffix('>')?;
    (digits.len() == 2).then(|| u8::from_str_radix(digits, 16).ok())?
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokenizers::pre_tokenizers::byte_level::ByteLevel;

    #[test]
    fn byte_alphabet_is_the_crates_own() {
        let mut bytes: Vec<u8> = ByteLevel::alphabet()
            .into_iter()
            .filter_map(byte_level)
            .collect();
        bytes.sort_unstable();
        assert_eq!(bytes, (0..=255).collect::<Vec<u8>>());
        assert_eq!(byte_level('Ġ'), Some(b' '));
        assert_eq!(byte_level('Ċ'), Some(b'\n'));
        assert_eq!(byte_level('\u{144}'), None);
    }

    #[test]
    fn tokens_outside_the_alphabet_are_text() {
        let mut bytes = Vec::new();
        Spelling::ByteLevel.append("a b", &mut bytes);
        assert_eq!(bytes, b"a b");
    }

    #[test]
    fn byte_tokens_need_two_digits() {
        assert_eq!(byte_token("<0x0A>"), Some(10));
        assert_eq!(byte_token("<0xA>"), None);
        assert_eq!(byte_token("<0xé>"), None);
        assert_eq!(byte_token("<0x>"), None);
    }
}
