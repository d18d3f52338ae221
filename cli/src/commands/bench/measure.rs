//! The order of things: question by question, all contenders in turn, so that what
//! disturbs the machine disturbs them alike.

use super::contender::Contender;
use super::player::{Answer, Player};
use super::subject::Subject;
use super::tally::Tally;
use crate::dialogue::Questions;
use crate::error::Failure;
use crate::progress::Progress;
use crate::runtime::DecodeArgs;

/// Everything that is to be measured.
pub struct Plan<'a> {
    pub subject: &'a Subject,
    pub questions: &'a [Questions],
    /// Plain decoding first.
    pub contenders: &'a [Contender],
    pub temperatures: &'a [f32],
    pub repeats: usize,
    pub decode: &'a DecodeArgs,
}

/// One contender's answer to one question. Numbers count within the [`Plan`].
#[derive(Clone, Debug)]
pub struct Record {
    pub question: usize,
    pub contender: usize,
    pub temperature: usize,
    pub repeat: usize,
    pub tally: Tally,
    /// Where the answer is not that of plain decoding, if it is not.
    pub difference: Option<Difference>,
}

/// The first token that differs. Both count from 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Difference {
    pub turn: usize,
    pub token: usize,
}

/// Tokens of an answer that warms up caches and measures first costs.
const WARM_UP: usize = 32;

impl Plan<'_> {
    /// Answers everything.
    pub fn run(&self, progress: Progress) -> Result<Vec<Record>, Failure> {
        let mut players = Vec::new();
        for &temperature in self.temperatures {
            let player = |contender| Player::new(self.subject, contender, self.decode, temperature);
            let row: Result<Vec<_>, _> = self.contenders.iter().map(player).collect();
            players.push(row?);
        }
        let rounds = self.repeats * self.questions.len() * self.temperatures.len();
        let mut steps = progress.steps("measuring", rounds * self.contenders.len());
        let mut records = Vec::new();
        for repeat in 0..self.repeats {
            warm_up(&mut players)?;
            for number in 0..self.questions.len() {
                for (temperature, row) in players.iter_mut().enumerate() {
                    let order = self.order(repeat + number + temperature);
                    let mut answers: Vec<Option<Answer>> = row.iter().map(|_| None).collect();
                    for contender in order {
                        let (question, known) = (&self.questions[number], answers[0].as_ref());
                        let player = &mut row[contender];
                        let answer = player.answer(number, question, known, usize::MAX)?;
                        answers[contender] = Some(answer);
                        steps.step();
                        steps.tell(|| self.contenders[contender].name.clone());
                    }
                    let answers: Vec<Answer> = answers.into_iter().flatten().collect();
                    for (contender, answer) in answers.iter().enumerate() {
                        records.push(Record {
                            question: number,
                            contender,
                            temperature,
                            repeat,
                            tally: answer.tally.clone(),
                            difference: difference(&answers[0].turns, &answer.turns),
                        });
                    }
                }
            }
        }
        steps.finish();
        Ok(records)
    }

    /// Who comes when: everybody first in turn. Where someone has to know the answer,
    /// plain decoding is always the first.
    fn order(&self, turn: usize) -> Vec<usize> {
        let count = self.contenders.len();
        let fixed = usize::from(self.contenders.iter().any(Contender::is_synthetic));
        let mut order: Vec<usize> = (0..count).collect();
        if let Some(rotating) = order.get_mut(fixed..)
            && !rotating.is_empty()
        {
            let by = turn % rotating.len();
            rotating.rotate_left(by);
        }
        order
    }
}

/// Everybody answers something short, uncounted: caches are warm, first costs known, and
/// no prompt that follows is in a cache already because it came last in an earlier round.
fn warm_up(players: &mut [Vec<Player<'_>>]) -> Result<(), Failure> {
    let question = Questions {
        id: String::new(),
        category: None,
        turns: vec!["Tell me a story.".into()],
    };
    for row in players {
        let mut known = None;
        for player in row {
            let answer = player.answer(usize::MAX, &question, known.as_ref(), WARM_UP)?;
            known.get_or_insert(answer);
        }
    }
    Ok(())
}

/// Where `other` first differs from what plain decoding said.
fn difference(plain: &[Vec<u32>], other: &[Vec<u32>]) -> Option<Difference> {
    let mut turns = plain.iter().zip(other).enumerate();
    let (turn, (plain, other)) = turns.find(|(_, (plain, other))| plain != other)?;
    let same = plain.iter().zip(other).take_while(|(a, b)| a == b).count();
    Some(Difference { turn, token: same })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_difference_is_found_where_it_begins() {
        let plain = [vec![1, 2, 3], vec![4, 5]];
        let at = |other: &[Vec<u32>]| difference(&plain, other).map(|d| (d.turn, d.token));
        assert_eq!(at(&plain), None);
        assert_eq!(at(&[vec![1, 9, 3], vec![4, 5]]), Some((0, 1)));
        assert_eq!(at(&[vec![1, 2, 3], vec![4]]), Some((1, 1)));
        assert_eq!(at(&[vec![1, 2, 3, 7], vec![4, 5]]), Some((0, 3)));
    }
}
