//! Much work, several pieces at a time: each sequence takes the next when it is free.

use eaglet_core::Error;
use eaglet_core::engine::{FinishReason, SequenceOptions, Session, Stats};

use crate::error::Failure;

/// What a sequence is to do next.
pub struct Request {
    /// The whole text so far, as ids.
    pub ids: Vec<u32>,
    /// How to decode from here on; `None` goes on as before.
    pub options: Option<SequenceOptions>,
}

/// How the answer to a request ended.
pub struct Ended<'a> {
    /// Why.
    pub finish: FinishReason,
    /// What it cost.
    pub stats: &'a Stats,
}

/// Hands out work, and is told what became of it.
pub trait Desk {
    /// One piece of work: requests to one sequence, each made after the answer before.
    type Task;

    /// The next piece of work, while there is any.
    fn take(&mut self) -> Option<Self::Task>;

    /// What is to be done next for a task, given how the answer before ended (`None` at
    /// first), or `None` when the task is done.
    fn advance(
        &mut self,
        task: &mut Self::Task,
        before: Option<Ended<'_>>,
    ) -> Result<Option<Request>, Failure>;

    /// Sees each token of a task's answer; returns whether the answer ends there.
    fn emitted(&mut self, task: &mut Self::Task, token: u32) -> bool;

    /// A request could not be taken in, and the task ends with it.
    fn refused(&mut self, task: &mut Self::Task, error: Error) -> Result<(), Failure> {
        let _ = task;
        Err(error.into())
    }

    /// Called after every round.
    fn tell(&mut self) {}
}

/// Does all work of a desk with the first `count` sequences of a session.
pub fn work<D: Desk>(session: &mut Session, count: usize, desk: &mut D) -> Result<(), Failure> {
    let mut tasks: Vec<Option<D::Task>> = (0..count).map(|_| None).collect();
    loop {
        for (index, task) in tasks.iter_mut().enumerate() {
            serve(session, index, task, desk)?;
        }
        if tasks.iter().all(Option::is_none) {
            return Ok(());
        }
        let mut watch = |index: usize, token| match &mut tasks[index] {
            Some(task) => desk.emitted(task, token),
            None => false,
        };
        pollster::block_on(session.round(&mut watch))?;
        desk.tell();
    }
}

/// Gives a sequence that waits for it something to do, as long as there is anything.
fn serve<D: Desk>(
    session: &mut Session,
    index: usize,
    place: &mut Option<D::Task>,
    desk: &mut D,
) -> Result<(), Failure> {
    loop {
        let sequence = session.sequence(index);
        let (mut task, before) = match (place.take(), sequence.finish()) {
            (Some(task), Some(finish)) => {
                let stats = sequence.stats();
                (task, Some(Ended { finish, stats }))
            }
            (Some(task), None) => {
                *place = Some(task);
                return Ok(());
            }
            (None, _) => match desk.take() {
                Some(task) => (task, None),
                None => return Ok(()),
            },
        };
        let Some(request) = desk.advance(&mut task, before)? else {
            continue;
        };
        if let Some(options) = request.options {
            session.reconfigure(index, options)?;
        }
        let mut watch = |_: usize, token| desk.emitted(&mut task, token);
        let given = pollster::block_on(session.prompt(index, &request.ids, &mut watch));
        match given {
            Ok(_) => *place = Some(task),
            Err(error) => desk.refused(&mut task, error)?,
        }
    }
}
