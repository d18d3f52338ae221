//! What is to be said: conversation i is a pure function of the options and i, so that a
//! run can be resumed, and gives the same text in batches of any size.

use eaglet_core::sample::{Sampling, uniform};

use crate::dialogue::Questions;

/// All conversations of a run.
pub struct Plan {
    /// What is asked; `None` lets the model invent it.
    pub questions: Option<Vec<Questions>>,
    /// Of the answers, one for each conversation.
    pub temperatures: Vec<f32>,
    /// User turns at most.
    pub turns: usize,
    pub seed: u64,
}

/// One conversation to be held.
#[derive(Clone, Debug, PartialEq)]
pub struct Job {
    pub id: String,
    /// What is asked; invented where there is nothing left.
    pub questions: Vec<String>,
    /// User turns.
    pub turns: usize,
    pub temperature: f32,
    pub seed: u64,
}

impl Plan {
    /// Conversation `index`. Prompts of a file are taken in turn, again where there are
    /// more conversations than prompts: then at another temperature.
    pub fn job(&self, index: usize) -> Job {
        let seed = hash(self.seed, index as u64);
        let lap = match &self.questions {
            Some(all) => index / all.len() + index,
            None => index,
        };
        let (questions, turns) = match &self.questions {
            Some(all) => {
                let asked = &all[index % all.len()].turns;
                let turns = asked.len().min(self.turns);
                (asked[..turns].to_vec(), turns)
            }
            None => {
                let extra = uniform(seed, 0) * self.turns as f64;
                (Vec::new(), 1 + (extra as usize).min(self.turns - 1))
            }
        };
        Job {
            id: format!("{}-{index}", self.seed),
            questions,
            turns,
            temperature: self.temperatures[lap % self.temperatures.len()],
            seed,
        }
    }
}

impl Job {
    /// How the user's turn number `turn` is invented.
    pub fn inventing(&self, turn: usize) -> Sampling {
        // With some freedom, or all of them would be alike.
        Sampling {
            temperature: 1.0,
            top_p: 0.95,
            seed: hash(self.seed, 2 * turn as u64),
            ..Sampling::default()
        }
    }

    /// How it is answered.
    pub fn answering(&self, turn: usize) -> Sampling {
        Sampling {
            temperature: self.temperature,
            seed: hash(self.seed, 2 * turn as u64 + 1),
            ..Sampling::default()
        }
    }
}

/// A seed of its own for each use of one (the finaliser of SplitMix64).
fn hash(seed: u64, index: u64) -> u64 {
    let step = index.wrapping_add(1).wrapping_mul(0x9E37_79B9_7F4A_7C15);
    let mut z = seed.wrapping_add(step);
    z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    z ^ (z >> 31)
}
