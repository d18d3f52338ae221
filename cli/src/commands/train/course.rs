//! How a run went, kept beside its state.

use serde::{Deserialize, Serialize};

/// The course of a run.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Course {
    /// Conversations learnt from, and their tokens.
    pub documents: usize,
    pub tokens: usize,
    /// Tokens of the draft vocabulary.
    #[serde(default)]
    pub drafted: usize,
    /// Conversations that were held out.
    pub held_out: usize,
    pub lines: Vec<Line>,
    pub measured: Vec<Point>,
}

/// Losses at one update.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Line {
    pub step: usize,
    pub rate: f64,
    /// Nats, by token ahead.
    pub loss: Vec<f64>,
    /// Share of first choices that were the target's, by token ahead.
    pub accuracy: Vec<f64>,
}

/// Accepted drafts after some updates.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Point {
    pub step: usize,
    pub tau: f64,
    pub by_depth: Vec<f64>,
}

impl Course {
    /// Where most drafts were accepted; the earliest of equals, whose head was kept.
    pub fn best(&self) -> Option<&Point> {
        let points = self.measured.iter().rev();
        points.max_by(|a, b| a.tau.total_cmp(&b.tau))
    }
}
