//! One conversation being held: whose turn it is, and what is to be run for it.

use eaglet_core::sample::Sampling;
use eaglet_core::text::{ChatTemplate, Message, Role, Special, Tokenizer, encode_chat};
use eaglet_core::{Error, Result};

use super::filter::{self, Asked, Dropped};
use super::plan::Job;
use crate::dialogue::{Conversation, Turn};

/// Stands for what a user will say; a noncharacter that no template writes.
const OPENING: &str = "\u{FDEF}";

/// Both sides of the text.
#[derive(Clone, Copy)]
pub struct Language<'a> {
    pub tokenizer: &'a Tokenizer,
    pub template: &'a ChatTemplate,
}

impl Language<'_> {
    /// The ids up to where the user begins to speak.
    fn opening(self, said: &[Message]) -> Result<Vec<u32>> {
        let mut messages = said.to_vec();
        messages.push(Message::new(Role::User, OPENING));
        let text = self.template.render(&messages, false)?;
        let end = text.find(OPENING).ok_or_else(|| {
            Error::Template("does not write what users say, so none can be invented".into())
        })?;
        self.tokenizer.encode(&text[..end], Special::Parse)
    }

    /// What ids say, without the token that ended them.
    fn text(self, ids: &[u32]) -> Result<String> {
        let text = self.tokenizer.decode(self.said(ids), false)?;
        Ok(text.trim().to_owned())
    }

    fn said<'i>(&self, ids: &'i [u32]) -> &'i [u32] {
        match ids {
            [said @ .., last] if self.tokenizer.eos_ids().contains(last) => said,
            all => all,
        }
    }
}

/// What a sequence is to do next.
pub struct Prompt {
    pub ids: Vec<u32>,
    pub sampling: Sampling,
    pub max_tokens: usize,
}

/// How a conversation goes on.
pub enum Step {
    /// Something more is to be said.
    Prompt(Prompt),
    /// It is over.
    Done(std::result::Result<Conversation, Dropped>),
}

/// A conversation at some point.
pub struct Talk {
    job: Job,
    said: Vec<Message>,
    /// The tokens that are being emitted.
    pub ids: Vec<u32>,
}

/// Tokens of a question at most: longer ones are not questions.
const LONGEST_QUESTION: usize = 256;

impl Talk {
    pub fn new(job: Job) -> Self {
        Self {
            job,
            said: Vec::new(),
            ids: Vec::new(),
        }
    }

    /// Takes in what was emitted and tells what comes next. `ended` says that the model
    /// came to its own end.
    pub fn next(
        &mut self,
        language: Language<'_>,
        ended: bool,
        max_tokens: usize,
        asked: &mut Asked,
    ) -> Result<Step> {
        let ids = std::mem::take(&mut self.ids);
        if !ids.is_empty()
            && let Err(dropped) = self.take_in(language, &ids, ended, asked)?
        {
            return Ok(Step::Done(Err(dropped)));
        }
        let turn = self.said.len() / 2;
        let asks = self.said.len().is_multiple_of(2);
        if asks && turn == self.job.turns {
            return Ok(Step::Done(Ok(self.conversation())));
        }
        if asks && let Some(question) = self.job.questions.get(turn).cloned() {
            // The same prompt may be answered at other temperatures: no duplicate.
            self.said.push(Message::new(Role::User, &question));
        } else if asks {
            return Ok(Step::Prompt(Prompt {
                ids: language.opening(&self.said)?,
                sampling: self.job.inventing(turn),
                max_tokens: LONGEST_QUESTION,
            }));
        }
        Ok(Step::Prompt(Prompt {
            ids: encode_chat(language.tokenizer, language.template, &self.said, true)?,
            sampling: self.job.answering(turn),
            max_tokens,
        }))
    }

    /// Adds what was emitted to what was said, if it is any good.
    fn take_in(
        &mut self,
        language: Language<'_>,
        ids: &[u32],
        ended: bool,
        asked: &mut Asked,
    ) -> Result<std::result::Result<(), Dropped>> {
        let text = language.text(ids)?;
        let asks = self.said.len().is_multiple_of(2);
        let verdict = match asks {
            true if !ended || text.is_empty() => Err(Dropped::Question),
            true if self.said.is_empty() => asked.ask(&text),
            true => Ok(()),
            false => filter::answer(language.said(ids)),
        };
        let role = if asks { Role::User } else { Role::Assistant };
        self.said.push(Message::new(role, &text));
        if !asks && !ended {
            // A cut answer is learnt from, but nothing can follow it.
            self.job.turns = self.said.len() / 2;
        }
        Ok(verdict)
    }

    fn conversation(&self) -> Conversation {
        let turn = |message: &Message| Turn {
            from: match message.role {
                Role::Assistant => "gpt".into(),
                _ => "human".into(),
            },
            value: message.content.clone(),
        };
        Conversation {
            id: self.job.id.clone(),
            conversations: self.said.iter().map(turn).collect(),
        }
    }
}
