//! A conversation as tokens, and which of them the model itself says.

use crate::error::{Error, Result};
use crate::text::{ChatTemplate, Message, Role, Tokenizer, encode_chat};

/// A conversation to learn from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Document {
    /// All tokens, as the chat template makes them.
    pub tokens: Vec<u32>,
    /// Whether each token is part of an answer, the token that ends it included: only
    /// these are learnt.
    pub answer: Vec<bool>,
}

impl Document {
    /// Renders a conversation. The spans of answers come from the template itself: what
    /// it writes up to where the model speaks, against what it writes with the answer.
    ///
    /// # Errors
    /// There is no answer, or one is empty; or the template writes the past differently
    /// once there is more of it, so that the spans are not known.
    pub fn new(
        tokenizer: &Tokenizer,
        template: &ChatTemplate,
        messages: &[Message],
    ) -> Result<Self> {
        let mut tokens = Vec::new();
        let mut answer = Vec::new();
        let spoken = messages.iter().enumerate();
        for (index, message) in spoken.filter(|(_, m)| m.role == Role::Assistant) {
            if message.content.trim().is_empty() {
                return Err(Error::Template("an answer is empty".into()));
            }
            let before = encode_chat(tokenizer, template, &messages[..index], true)?;
            let after = encode_chat(tokenizer, template, &messages[..=index], false)?;
            if !before.starts_with(&tokens) || !after.starts_with(&before) {
                return Err(Error::Template(
                    "writes earlier turns differently in longer conversations: where \
                     answers begin is not known"
                        .into(),
                ));
            }
            let ends = after
                .iter()
                .rposition(|id| tokenizer.eos_ids().contains(id));
            let end = ends.map_or(after.len(), |at| at + 1).max(before.len());
            answer.resize(before.len(), false);
            answer.resize(end, true);
            tokens = after[..end].to_vec();
        }
        if tokens.is_empty() {
            return Err(Error::Template("nobody answers".into()));
        }
        Ok(Self { tokens, answer })
    }

    /// Cuts it to `limit` tokens.
    pub fn truncate(&mut self, limit: usize) {
        self.tokens.truncate(limit);
        self.answer.truncate(limit);
    }

    /// The tokens before the first answer.
    pub fn prompt(&self) -> &[u32] {
        let first = self.answer.iter().position(|&answer| answer);
        &self.tokens[..first.unwrap_or(self.tokens.len())]
    }
}
