//! A contender at work: one model, one session, one temperature.

use eaglet_core::engine::{Session, SessionOptions};
use eaglet_core::text::{Message, Role};

use super::contender::{Contender, Source};
use super::subject::Subject;
use super::synthetic::{Synthetic, Truth};
use super::tally::Tally;
use crate::dialogue::Questions;
use crate::error::Failure;
use crate::runtime::{DecodeArgs, Drafters, Reader};

/// What was answered to a question.
pub struct Answer {
    /// The ids of each turn's answer.
    pub turns: Vec<Vec<u32>>,
    /// What all turns cost together.
    pub tally: Tally,
}

/// A contender at one temperature. It has a session of its own: what one contender
/// learns of costs and of its luck is no business of the others.
pub struct Player<'a> {
    subject: &'a Subject,
    session: Session,
    sequence: usize,
    stop: Vec<String>,
    /// What a synthetic drafter is told.
    truth: Truth,
}

impl<'a> Player<'a> {
    /// Makes room for one sequence.
    pub fn new(
        subject: &'a Subject,
        contender: &Contender,
        asked: &DecodeArgs,
        temperature: f32,
    ) -> Result<Self, Failure> {
        let decode = contender.decode(asked, temperature);
        let truth = Truth::default();
        let drafting = subject.drafting(&decode)?;
        // Random weights never come to an end by themselves.
        let drafters = Drafters::load(&drafting, subject.target(), subject.text())?;
        let mut options = decode.sequence(&drafters, subject.text())?;
        if let Source::Synthetic(acceptance) = contender.source {
            options.drafter = Box::new(Synthetic {
                truth: truth.clone(),
                acceptance,
                // Not the numbers that the target's own draws are made of.
                seed: !decode.seed,
                vocab: subject.target().config().vocab as u32,
            });
        }
        let nodes = options.budget.nodes;
        let room = SessionOptions {
            sequences: 1,
            nodes,
        };
        let mut session = Session::new(subject.target().clone(), room)?;
        let sequence = session.open(options)?;
        if decode.is_sized(&drafting) {
            subject.tell_costs(&mut session, nodes)?;
            pollster::block_on(session.rehearse())?;
        }
        Ok(Self {
            subject,
            session,
            sequence,
            stop: decode.stop,
            truth,
        })
    }

    /// Answers the turns of a question, each after its own answers to those before, with
    /// `most` tokens at most. `known` is what plain decoding said.
    pub fn answer(
        &mut self,
        number: usize,
        question: &Questions,
        known: Option<&Answer>,
        most: usize,
    ) -> Result<Answer, Failure> {
        let mut said = Vec::new();
        let mut answer = Answer {
            turns: Vec::new(),
            tally: Tally::default(),
        };
        for (turn, asked) in question.turns.iter().enumerate() {
            said.push(Message::new(Role::User, asked));
            let prompt = self.subject.prompt(number, &said)?;
            let known = known.and_then(|known| known.turns.get(turn));
            let truth = prompt.iter().chain(known.into_iter().flatten());
            self.truth.replace(truth.copied().collect());
            let (ids, text) = self.reply(&prompt, most)?;
            said.push(Message::new(Role::Assistant, text));
            answer.turns.push(ids);
            let stats = self.session.sequence(self.sequence).stats();
            answer.tally.add(&Tally::of(stats));
        }
        Ok(answer)
    }

    /// Answers one prompt; returns ids and text.
    fn reply(&mut self, prompt: &[u32], most: usize) -> Result<(Vec<u32>, String), Failure> {
        let text = self.subject.text();
        let mut reader = text.map(|text| Reader::new(text, &self.stop)).transpose()?;
        let (mut ids, mut failure) = (Vec::new(), None);
        let mut watch = |_: usize, token| {
            ids.push(token);
            let stopped = reader.as_mut().is_some_and(|reader| {
                failure = reader.read(token).err();
                reader.is_stopped() || failure.is_some()
            });
            stopped || ids.len() >= most
        };
        let (session, sequence) = (&mut self.session, self.sequence);
        pollster::block_on(async {
            session.prompt(sequence, prompt, &mut watch).await?;
            while session.sequence(sequence).finish().is_none() {
                session.round(&mut watch).await?;
            }
            Ok::<_, eaglet_core::Error>(())
        })?;
        let finish = self.session.sequence(sequence).finish();
        match failure {
            Some(failure) => Err(failure),
            None => Ok((
                ids,
                reader.map_or_else(String::new, |reader| reader.finish(finish).text),
            )),
        }
    }
}
