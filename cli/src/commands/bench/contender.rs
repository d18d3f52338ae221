//! Who takes part.

use std::path::PathBuf;

use clap::ValueEnum;

use crate::error::Failure;
use crate::runtime::{DecodeArgs, Method, TreeArg};

/// A method as typed: `METHOD` or `METHOD=PATH`.
#[derive(Clone, Debug, PartialEq)]
pub struct Candidate {
    pub method: Method,
    /// What it drafts with.
    pub draft: Option<PathBuf>,
}

impl Candidate {
    /// Reads what was typed.
    pub fn parse(text: &str) -> Result<Self, String> {
        let (name, path) = match text.split_once('=') {
            Some((_, "")) => return Err("a path is needed after `=`".into()),
            Some((name, path)) => (name, Some(path)),
            None => (text, None),
        };
        Ok(Self {
            method: Method::from_str(name, false).map_err(|_| {
                let known = Method::value_variants().iter().map(|method| method.name());
                let known: Vec<_> = known.collect();
                format!("`{name}` is no method; there are {}", known.join(", "))
            })?,
            draft: path.map(PathBuf::from),
        })
    }
}

/// What proposes a contender's tokens.
#[derive(Clone, Debug, PartialEq)]
pub enum Source {
    /// A method, as `generate` has it.
    Method(Candidate),
    /// One that knows the answer, and proposes each token of it with this probability.
    Synthetic(f64),
}

/// One of those that answer in turn.
#[derive(Clone, Debug, PartialEq)]
pub struct Contender {
    /// As reports call it, unlike all others.
    pub name: String,
    pub source: Source,
}

impl Contender {
    /// How it decodes: as was asked for, by its own method.
    pub fn decode(&self, asked: &DecodeArgs, temperature: f32) -> DecodeArgs {
        let (method, draft) = match &self.source {
            Source::Method(candidate) => (candidate.method, candidate.draft.clone()),
            Source::Synthetic(_) => (Method::Plain, None),
        };
        // Flags of one method say nothing to the others.
        let mut flags = asked.draft.clone();
        flags.method = method;
        flags.draft = draft;
        if !method.has_head() {
            flags.tree = TreeArg::Auto;
            flags.ngrams = None;
        }
        if method != Method::Lookahead {
            flags.lookahead = None;
        } else {
            flags.draft_tokens = None;
        }
        DecodeArgs {
            draft: flags,
            temperature,
            ..asked.clone()
        }
    }

    /// Whether it knows the answer.
    pub fn is_synthetic(&self) -> bool {
        matches!(self.source, Source::Synthetic(_))
    }
}

/// All contenders: plain decoding first, which the others are compared with.
pub fn line_up(methods: &[Candidate], synthetic: &[f64]) -> Result<Vec<Contender>, Failure> {
    let plain = Candidate {
        method: Method::Plain,
        draft: None,
    };
    let others = methods.iter().filter(|&candidate| *candidate != plain);
    let methods: Vec<Candidate> = [&plain].into_iter().chain(others).cloned().collect();
    let name = |candidate: &Candidate| {
        let alike = methods.iter().filter(|c| c.method == candidate.method);
        match &candidate.draft {
            // Two heads of one method are told apart by where they lie.
            Some(path) if alike.count() > 1 => {
                format!("{}={}", candidate.method.name(), path.display())
            }
            _ => candidate.method.name().to_owned(),
        }
    };
    let known = methods.iter().map(|candidate| Contender {
        name: name(candidate),
        source: Source::Method(candidate.clone()),
    });
    let made_up = synthetic.iter().map(|&acceptance| Contender {
        name: format!("synthetic-{acceptance}"),
        source: Source::Synthetic(acceptance),
    });
    let all: Vec<Contender> = known.chain(made_up).collect();
    for (i, contender) in all.iter().enumerate() {
        if all[..i].iter().any(|other| other.name == contender.name) {
            return Err(Failure::Input(format!(
                "{} takes part twice: once is enough",
                contender.name
            )));
        }
    }
    Ok(all)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(methods: &[&str], synthetic: &[f64]) -> Result<Vec<String>, String> {
        let parsed: Result<Vec<_>, _> = methods.iter().map(|m| Candidate::parse(m)).collect();
        let all = line_up(&parsed?, synthetic).map_err(|e| e.to_string())?;
        Ok(all.into_iter().map(|contender| contender.name).collect())
    }

    #[test]
    fn plain_is_first_and_names_differ() {
        let all = names(&["ngram", "eagle3=a/b", "plain"], &[0.5]).unwrap();
        assert_eq!(all, ["plain", "ngram", "eagle3", "synthetic-0.5"]);
        let all = names(&["eagle3=a", "eagle3=b"], &[]).unwrap();
        assert_eq!(all, ["plain", "eagle3=a", "eagle3=b"]);
    }

    #[test]
    fn what_is_wrong_is_named() {
        let told = |methods: &[&str]| names(methods, &[]).unwrap_err();
        assert!(told(&["eagle9"]).contains("`eagle9` is no method"));
        assert!(told(&["eagle9"]).contains("ngram"));
        assert!(told(&["eagle3="]).contains("a path is needed"));
        assert!(told(&["ngram", "ngram"]).contains("ngram takes part twice"));
    }
}
