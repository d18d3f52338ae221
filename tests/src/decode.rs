//! Running a session to its end.

use std::sync::Arc;

use eaglet_core::draft::{Budget, Drafter};
use eaglet_core::engine::{
    FinishReason, Limits, SequenceOptions, Session, SessionOptions, Sizing, Stats,
};
use eaglet_core::model::Transformer;
use eaglet_core::sample::Sampling;
use eaglet_core::verify::Verification;

pub const BUDGET: Budget = Budget::new(6, 5);

/// What came out.
#[derive(Clone, Debug, PartialEq)]
pub struct Decoded {
    pub ids: Vec<u32>,
    pub finish: FinishReason,
    pub stats: Stats,
}

pub fn options(sampling: &Sampling, max: usize, drafter: Box<dyn Drafter>) -> SequenceOptions {
    SequenceOptions {
        sampling: sampling.clone(),
        limits: Limits {
            eos: Vec::new(),
            max_tokens: Some(max),
        },
        drafter,
        budget: BUDGET,
        sizing: Sizing::Fixed,
        verification: Verification::Exact,
    }
}

pub fn session(target: &Arc<Transformer>, sequences: usize) -> Session {
    let options = SessionOptions {
        sequences,
        nodes: BUDGET.nodes,
    };
    Session::new(target.clone(), options).unwrap()
}

/// Answers a prompt in a session of its own.
pub fn decode(target: &Arc<Transformer>, prompt: &[u32], options: SequenceOptions) -> Decoded {
    let room = SessionOptions {
        sequences: 1,
        nodes: options.budget.nodes,
    };
    let mut session = Session::new(target.clone(), room).unwrap();
    session.open(options).unwrap();
    answer(&mut session, 0, prompt)
}

/// Answers a prompt in a sequence of a session, alone.
pub fn answer(session: &mut Session, sequence: usize, prompt: &[u32]) -> Decoded {
    let mut ids = Vec::new();
    let mut watch = |_: usize, token| {
        ids.push(token);
        false
    };
    let finish = pollster::block_on(async {
        let mut finish = session
            .prompt(sequence, prompt, &mut watch)
            .await
            .unwrap()
            .finish;
        while finish.is_none() {
            let emissions = session.round(&mut watch).await.unwrap();
            finish = emissions
                .iter()
                .find(|e| e.sequence == sequence)
                .unwrap()
                .finish;
        }
        finish.unwrap()
    });
    session.check_integrity().unwrap();
    Decoded {
        ids,
        finish,
        stats: session.sequence(sequence).stats().clone(),
    }
}
