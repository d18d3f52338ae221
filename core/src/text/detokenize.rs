//! Ids to text while they arrive.

use std::sync::Arc;

use super::tokenizer::Tokenizer;
use crate::error::Result;

/// Turns a stream of ids into a stream of text.
///
/// What it has returned is final, and joined it is [`Tokenizer::decode`] of all the
/// ids. It holds back at most the three bytes of an unfinished character, so a token
/// costs the same however long the text is.
#[derive(Clone, Debug)]
pub struct Detokenizer {
    tokenizer: Arc<Tokenizer>,
    keep_special: bool,
    /// Bytes of a character that is not complete yet.
    bytes: Vec<u8>,
    /// Whether any byte has come.
    started: bool,
}

impl Detokenizer {
    /// Starts a text; special tokens appear in it only if `keep_special`.
    pub fn new(tokenizer: Arc<Tokenizer>, keep_special: bool) -> Self {
        Self {
            tokenizer,
            keep_special,
            bytes: Vec::new(),
            started: false,
        }
    }

    /// Takes the next id and returns the text that became certain with it: often a
    /// token's own, empty within a character, more after one that turned out broken.
    pub fn push(&mut self, id: u32) -> Result<String> {
        self.tokenizer
            .append_bytes(id, self.keep_special, &mut self.bytes)?;
        if !self.started && !self.bytes.is_empty() {
            self.started = true;
            self.tokenizer.spelling().strip_start(&mut self.bytes);
        }
        let unfinished = unfinished_len(&self.bytes);
        let rest = self.bytes.split_off(self.bytes.len() - unfinished);
        let text = String::from_utf8_lossy(&self.bytes).into_owned();
        self.bytes = rest;
        Ok(text)
    }

    /// The bytes that an id would bring to the text if it were the next one: it may be a part
    /// of a character. Of a special token they are its name.
    ///
    /// # Errors
    /// The id is not in the vocabulary.
    pub fn bytes(&self, id: u32) -> Result<Vec<u8>> {
        let mut bytes = Vec::new();
        self.tokenizer.append_bytes(id, true, &mut bytes)?;
        if !self.started {
            self.tokenizer.spelling().strip_start(&mut bytes);
        }
        Ok(bytes)
    }

    /// Ends the text: U+FFFD if it stopped within a character, else nothing.
    pub fn finish(self) -> String {
        String::from_utf8_lossy(&self.bytes).into_owned()
    }
}

/// How many of the last bytes could still become one character.
fn unfinished_len(bytes: &[u8]) -> usize {
    let Some(last) = bytes.utf8_chunks().last() else {
        return 0;
    };
    // An error without a length means: valid so far, but cut off.
    match std::str::from_utf8(last.invalid()) {
        Err(error) if error.error_len().is_none() => last.invalid().len(),
        _ => 0,
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Special, sample};
    use super::*;

    fn tokenizers() -> Result<[Arc<Tokenizer>; 2]> {
        Ok([
            Arc::new(Tokenizer::from_gguf_vocab(sample::byte_level())?),
            Arc::new(Tokenizer::from_gguf_vocab(sample::sentencepiece())?),
        ])
    }

    /// Streams the ids, checking after each that little is held back.
    fn stream(tokenizer: &Arc<Tokenizer>, ids: &[u32]) -> Result<Vec<String>> {
        let mut detokenizer = Detokenizer::new(Arc::clone(tokenizer), true);
        let mut parts = Vec::new();
        for id in ids {
            parts.push(detokenizer.push(*id)?);
            assert!(detokenizer.bytes.len() <= 3);
        }
        parts.push(detokenizer.finish());
        assert_eq!(parts.concat(), tokenizer.decode(ids, true)?);
        Ok(parts)
    }

    #[test]
    fn characters_arrive_whole() -> Result<()> {
        for tokenizer in tokenizers()? {
            let text = "ab🙂👩\u{200d}💻 é\u{fffd}";
            let ids = tokenizer.encode(text, Special::Plain)?;
            let parts = stream(&tokenizer, &ids)?;
            assert_eq!(parts.concat(), text);
            assert!(parts.contains(&"🙂".to_owned()), "{parts:?}");
        }
        Ok(())
    }

    #[test]
    fn any_ids_stream_as_they_decode() -> Result<()> {
        let mut state = 1u32;
        for tokenizer in tokenizers()? {
            let size = tokenizer.vocab_size() as u32;
            for length in 0..200 {
                let mut next = || {
                    state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                    (state >> 8) % size
                };
                stream(&tokenizer, &(0..length).map(|_| next()).collect::<Vec<_>>())?;
            }
        }
        Ok(())
    }

    #[test]
    fn endless_broken_bytes_do_not_pile_up() -> Result<()> {
        for tokenizer in tokenizers()? {
            // Lone continuation bytes, then lone first bytes of four.
            for broken in ["\u{85}", "<0x85>", "ð", "<0xF0>"] {
                if let Some(id) = tokenizer.id_of(broken) {
                    stream(&tokenizer, &vec![id; 1000])?;
                }
            }
        }
        Ok(())
    }

    #[test]
    fn special_tokens_are_kept_only_on_demand() -> Result<()> {
        let [tokenizer, _] = tokenizers()?;
        let ids = tokenizer.encode("<|im_start|>the<tool><|im_end|>", Special::Parse)?;
        let mut quiet = Detokenizer::new(Arc::clone(&tokenizer), false);
        let text: Result<Vec<String>> = ids.iter().map(|id| quiet.push(*id)).collect();
        assert_eq!(text?.concat(), "the<tool>");
        assert_eq!(
            tokenizer.decode(&ids, true)?,
            "<|im_start|>the<tool><|im_end|>"
        );
        assert!(Detokenizer::new(tokenizer, true).push(u32::MAX).is_err());
        Ok(())
    }
}
