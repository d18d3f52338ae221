//! What counts: how many drafts the target accepts, measured by decoding.

use std::sync::Arc;

use crate::draft::{Budget, Drafter};
use crate::engine::{Limits, SequenceOptions, Session, SessionOptions, Sizing};
use crate::error::Result;
use crate::model::Transformer;
use crate::sample::Sampling;
use crate::verify::Verification;

/// Drafting over some prompts.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Acceptance {
    /// Tokens emitted a round, the target's own included.
    pub tau: f64,
    /// The share of rounds whose draft was accepted at each depth and above.
    pub by_depth: Vec<f64>,
}

/// Decodes greedily after each prompt, `tokens` tokens, with chains of `depth` drafted
/// tokens.
///
/// # Errors
/// The device failed, or a prompt is longer than the context.
pub async fn acceptance(
    target: &Arc<Transformer>,
    drafter: Box<dyn Drafter>,
    prompts: &[Vec<u32>],
    eos: &[u32],
    tokens: usize,
    depth: usize,
) -> Result<Acceptance> {
    let options = SessionOptions {
        sequences: 1,
        nodes: depth,
    };
    let mut session = Session::new(target.clone(), options)?;
    let sequence = session.open(SequenceOptions {
        sampling: Sampling::default(),
        limits: Limits {
            eos: eos.to_vec(),
            max_tokens: Some(tokens),
        },
        drafter,
        budget: Budget::new(depth, depth),
        sizing: Sizing::Fixed,
        verification: Verification::Exact,
    })?;
    let (mut emitted, mut rounds, mut accepted) = (0, 0, vec![0; depth]);
    let mut nobody = |_: usize, _: u32| false;
    for prompt in prompts {
        let mut finish = session.prompt(sequence, prompt, &mut nobody).await?.finish;
        while finish.is_none() {
            let news = session.round(&mut nobody).await?;
            finish = news.last().and_then(|emission| emission.finish);
        }
        let stats = session.sequence(sequence).stats();
        emitted += stats.generated_tokens.saturating_sub(1);
        rounds += stats.rounds;
        for (sum, count) in accepted.iter_mut().zip(&stats.accepted_by_depth) {
            *sum += count;
        }
    }
    let share = |count: usize| count as f64 / rounds.max(1) as f64;
    Ok(Acceptance {
        tau: share(emitted),
        by_depth: accepted.into_iter().map(share).collect(),
    })
}
