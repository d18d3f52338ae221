//! What is worth learning from.

use std::collections::HashSet;

/// Why a conversation was not kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Dropped {
    /// The model had no question, or did not come to its end.
    Question,
    /// The first question was asked before.
    Duplicate,
    /// The answer has next to no tokens.
    Short,
    /// The answer turns in circles.
    Repetitive,
}

impl Dropped {
    /// As the summary tells it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Question => "without a question",
            Self::Duplicate => "asked before",
            Self::Short => "too short",
            Self::Repetitive => "turning in circles",
        }
    }
}

/// Tokens that an answer has at least.
const SHORTEST: usize = 4;
/// Of an answer's runs of four tokens, the share that are new at least. Greedy answers of
/// small models often fall into loops; some of that has to be learnt too.
const FRESH: f64 = 0.35;

/// Judges an answer.
pub fn answer(ids: &[u32]) -> Result<(), Dropped> {
    if ids.len() < SHORTEST {
        return Err(Dropped::Short);
    }
    let runs: HashSet<&[u32]> = ids.windows(4).collect();
    let all = ids.len() - 3;
    match (runs.len() as f64) < FRESH * all as f64 {
        true => Err(Dropped::Repetitive),
        false => Ok(()),
    }
}

/// The questions so far, up to case and punctuation.
#[derive(Default)]
pub struct Asked(HashSet<String>);

impl Asked {
    /// Takes note of a question; one that was asked before is refused.
    pub fn ask(&mut self, question: &str) -> Result<(), Dropped> {
        let letters = question.chars().filter(|c| c.is_alphanumeric());
        let key: String = letters.flat_map(char::to_lowercase).collect();
        match self.0.insert(key) {
            true => Ok(()),
            false => Err(Dropped::Duplicate),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn loops_and_stubs_are_dropped() {
        let fresh: Vec<u32> = (0..40).collect();
        let circle: Vec<u32> = (0..200).map(|i| i % 7).collect();
        assert_eq!(answer(&fresh), Ok(()));
        assert_eq!(answer(&fresh[..3]), Err(Dropped::Short));
        assert_eq!(answer(&circle), Err(Dropped::Repetitive));
    }

    #[test]
    fn the_same_question_is_known_in_other_clothes() {
        let mut asked = Asked::default();
        assert_eq!(asked.ask("Why is the sky blue?"), Ok(()));
        assert_eq!(asked.ask("why is  the sky BLUE"), Err(Dropped::Duplicate));
        assert_eq!(asked.ask("Why is the sea blue?"), Ok(()));
    }
}
