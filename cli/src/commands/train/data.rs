//! Conversations from files to documents, those that are no use counted and told.

use std::io::BufRead;
use std::path::Path;

use eaglet_core::text::{ChatTemplate, Message, Tokenizer};
use eaglet_core::train::Document;

use crate::dialogue::Conversation;
use crate::error::Failure;

/// What was read.
#[derive(Default)]
pub struct Data {
    /// In the order of the files.
    pub documents: Vec<Document>,
    /// Lines that were skipped, and why: `FILE: line N: ..`.
    pub skipped: Vec<String>,
    /// Documents that were cut.
    pub cut: usize,
}

impl Data {
    /// Adds a file of JSON lines. A line that is no conversation is skipped and told, as
    /// is one with an empty turn or an unknown speaker.
    ///
    /// # Errors
    /// The file cannot be read.
    pub fn read(
        &mut self,
        path: &Path,
        tokenizer: &Tokenizer,
        template: &ChatTemplate,
        limit: usize,
    ) -> Result<(), Failure> {
        let told = |e: std::io::Error| Failure::Input(format!("{}: {e}", path.display()));
        let file = std::fs::File::open(path).map_err(told)?;
        for (number, line) in (1..).zip(std::io::BufReader::new(file).lines()) {
            let line = line.map_err(told)?;
            if line.trim().is_empty() {
                continue;
            }
            match document(&line, tokenizer, template) {
                Ok(mut document) => {
                    if document.tokens.len() > limit {
                        document.truncate(limit);
                        self.cut += 1;
                    }
                    if document.answer.contains(&true) {
                        self.documents.push(document);
                    } else {
                        let why = format!("the question alone has more than {limit} tokens");
                        self.skip(path, number, &why);
                    }
                }
                Err(why) => self.skip(path, number, &why),
            }
        }
        Ok(())
    }

    fn skip(&mut self, path: &Path, number: usize, why: &str) {
        self.skipped
            .push(format!("{}: line {number}: {why}", path.display()));
    }
}

fn document(
    line: &str,
    tokenizer: &Tokenizer,
    template: &ChatTemplate,
) -> Result<Document, String> {
    let conversation: Conversation = serde_json::from_str(line).map_err(|e| e.to_string())?;
    let messages =
        conversation
            .conversations
            .iter()
            .map(|turn| match turn.value.trim().is_empty() {
                true => Err("a turn is empty".to_owned()),
                false => turn.message(),
            });
    let messages: Vec<Message> = messages.collect::<Result<_, _>>()?;
    Document::new(tokenizer, template, &messages).map_err(|e| e.to_string())
}
