//! Stop strings: ending a text where a given string appears, whatever the tokens.

use crate::error::{Error, Result};

/// Watches a stream of text for stop strings.
///
/// The stop that completes first wins; of several that complete at the same character,
/// the longest. How the text is cut into pushes makes no difference.
#[derive(Clone, Debug)]
pub struct StopStrings {
    stops: Vec<String>,
    /// Text that may be the beginning of a stop string.
    held: String,
    /// Which stop has ended the text.
    stopped: Option<usize>,
}

/// What [`StopStrings::push`] has to say.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Released {
    /// Text that is certain to lie before any stop.
    pub text: String,
    /// The index of the stop string that ended the text, if one has.
    pub stop: Option<usize>,
}

impl StopStrings {
    /// Watches for any of these; none at all lets everything pass.
    pub fn new(stops: Vec<String>) -> Result<Self> {
        if stops.iter().any(String::is_empty) {
            return Err(Error::Invalid(
                "a stop string is empty; leave it out".into(),
            ));
        }
        Ok(Self {
            stops,
            held: String::new(),
            stopped: None,
        })
    }

    /// Takes more text. After a stop, all further text is dropped.
    pub fn push(&mut self, text: &str) -> Released {
        if self.stopped.is_some() {
            return Released {
                text: String::new(),
                stop: self.stopped,
            };
        }
        self.held.push_str(text);
        let found = self.stops.iter().enumerate().filter_map(|(index, stop)| {
            let start = self.held.find(stop)?;
            Some((start + stop.len(), start, index))
        });
        if let Some((_, start, index)) = found.min() {
            self.held.truncate(start);
            self.stopped = Some(index);
            return Released {
                text: std::mem::take(&mut self.held),
                stop: self.stopped,
            };
        }
        let kept = self.held.split_off(self.first_possible_stop());
        Released {
            text: std::mem::replace(&mut self.held, kept),
            stop: None,
        }
    }

    /// Ends the text: what was held back, which no stop has completed.
    pub fn finish(self) -> String {
        self.held
    }

    /// Where the longest end of `held` starts that also starts a stop string.
    fn first_possible_stop(&self) -> usize {
        let longest = self.stops.iter().map(String::len).max().unwrap_or(0);
        let starts = self.held.char_indices().map(|(at, _)| at);
        starts
            .skip_while(|at| self.held.len() - at >= longest)
            .find(|at| {
                self.stops
                    .iter()
                    .any(|stop| stop.starts_with(&self.held[*at..]))
            })
            .unwrap_or(self.held.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The definition: the first end of the whole text, character by character, that
    /// is a stop, the longest such.
    fn naive(stops: &[String], text: &str) -> Released {
        for end in text.char_indices().map(|(at, c)| at + c.len_utf8()) {
            let done = &text[..end];
            let ended = stops
                .iter()
                .enumerate()
                .filter(|(_, stop)| done.ends_with(*stop));
            if let Some((index, stop)) = ended.rev().max_by_key(|(_, stop)| stop.len()) {
                let text = done[..end - stop.len()].to_owned();
                return Released {
                    text,
                    stop: Some(index),
                };
            }
        }
        Released {
            text: text.to_owned(),
            stop: None,
        }
    }

    struct Random(u64);

    impl Random {
        fn below(&mut self, bound: usize) -> usize {
            self.0 = self
                .0
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1);
            (self.0 >> 33) as usize % bound
        }

        /// Few letters, one of them two bytes long, so that prefixes abound.
        fn text(&mut self, length: usize) -> String {
            (0..length)
                .map(|_| ['a', 'b', 'é'][self.below(3)])
                .collect()
        }
    }

    #[test]
    fn any_cut_of_any_text_agrees_with_the_definition() -> Result<()> {
        let mut random = Random(7);
        for _ in 0..20_000 {
            let stops: Vec<String> = (0..random.below(4))
                .map(|_| {
                    let length = 1 + random.below(4);
                    random.text(length)
                })
                .collect();
            let length = random.below(12);
            let text = random.text(length);

            let mut watch = StopStrings::new(stops.clone())?;
            let mut got = Released::default();
            let chars: Vec<char> = text.chars().collect();
            let mut rest = chars.as_slice();
            while !rest.is_empty() {
                let (chunk, tail) = rest.split_at(random.below(rest.len() + 1));
                let Released { text, stop } = watch.push(&chunk.iter().collect::<String>());
                got.text += &text;
                got.stop = stop;
                rest = tail;
            }
            got.text += &watch.finish();
            assert_eq!(got, naive(&stops, &text), "{stops:?} in {text:?}");
        }
        Ok(())
    }

    #[test]
    fn only_a_possible_stop_is_held_back() -> Result<()> {
        let mut watch = StopStrings::new(vec!["\nUser:".into()])?;
        assert_eq!(watch.push("Hi there").text, "Hi there");
        assert_eq!(watch.push("!\nUs").text, "!");
        assert_eq!(watch.push("ual").text, "\nUsual");
        let last = watch.push("\nUser: more");
        assert_eq!(
            last,
            Released {
                text: String::new(),
                stop: Some(0)
            }
        );
        assert_eq!(watch.push("more").text, "");
        assert_eq!(watch.finish(), "");
        Ok(())
    }

    #[test]
    fn an_empty_stop_is_refused() {
        assert!(StopStrings::new(vec!["a".into(), String::new()]).is_err());
    }
}
