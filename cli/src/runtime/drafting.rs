//! From the flags of drafting to what drafts.

use std::path::{Path, PathBuf};

use clap::builder::RangedU64ValueParser;
use clap::{Args, ValueEnum};
use eaglet_core::draft::{Budget, Growth, LookaheadOptions, NgramOptions, Shaping};
use eaglet_core::engine::Sizing;

use super::heads::Source;
use super::tree_arg::{TreeArg, lookahead};
use super::{Method, heads};
use crate::error::Failure;

/// What drafts tokens, as typed.
#[derive(Clone, Debug, Args)]
#[command(next_help_heading = "Drafting options")]
pub struct DraftArgs {
    /// What drafts tokens; the text is the same with each, unless --verify says otherwise
    #[arg(long, value_enum, default_value = "auto")]
    pub method: Method,

    /// The head of eagle1, eagle2, eagle3 or medusa (a folder with config.json and a
    /// safetensors file, or a GGUF file), or the model of small-model (a GGUF file or a
    /// folder) [default: the head beside the model, in a folder called like the method, else
    /// the one that was shipped for it]
    #[arg(long, value_name = "PATH")]
    pub draft: Option<PathBuf>,

    /// Tokens drafted in a round, 64 at most; only those likely to pay are verified
    /// [default: 8; eagle1: all 25 of its tree]
    #[arg(
        long,
        value_name = "N",
        value_parser = RangedU64ValueParser::<usize>::new().range(..=64)
    )]
    pub draft_tokens: Option<usize>,

    /// The trees of eagle1, eagle2, eagle3 and medusa: `auto` verifies what is likely to
    /// pay by measured cost; `static` verifies EAGLE-1's tree (medusa: its own, also by
    /// name) whole; N,DEPTH,TOP_K verifies a dynamic tree of N nodes (the root not counted)
    /// on DEPTH levels (the first counted) whole: EAGLE-2's 60/5/10 is 59,6,10
    #[arg(
        long,
        value_name = "auto|static|N,DEPTH,TOP_K",
        default_value = "auto",
        value_parser = TreeArg::parse
    )]
    pub tree: TreeArg,

    /// Graft what the context repeats onto the trees of eagle1, eagle2, eagle3 and medusa
    /// [default: on with --method auto, else off]
    #[arg(long, value_enum, value_name = "on|off")]
    pub ngrams: Option<Switch>,

    /// Lookahead's tokens of an n-gram, columns of its window, and guesses of a round
    /// [default: 5,7,7]
    #[arg(long, value_name = "N,W,G", value_parser = lookahead)]
    pub lookahead: Option<LookaheadOptions>,
}

/// On or off.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Switch {
    /// Do it
    On,
    /// Do not
    Off,
}

/// What will draft: the method, which is never `auto`, and all it needs to know.
pub struct Drafting {
    /// The method.
    pub method: Method,
    /// What a round may draft.
    pub budget: Budget,
    /// How much of it is verified.
    pub sizing: Sizing,
    /// The head, or the model of `small-model`.
    pub(super) draft: Option<Source>,
    /// The trees of a head.
    pub(super) shaping: Shaping,
    pub(super) lookahead: LookaheadOptions,
    /// What is copied onto a head's trees, if anything is.
    pub(super) grafted: Option<NgramOptions>,
}

/// Tokens drafted in a round unless something says otherwise.
const TOKENS: usize = 8;

impl Drafting {
    /// Whether it depends on what passes cost how much is drafted.
    pub fn is_sized(&self) -> bool {
        self.sizing != Sizing::Fixed && self.method != Method::Plain
    }
}

impl DraftArgs {
    /// Refuses flags that say nothing to the method, or contradict one another.
    pub fn check(&self) -> Result<(), Failure> {
        let (method, tree) = (self.method, self.tree);
        let name = method.name();
        let refuse = |message: String| Err(Failure::Input(message));
        match (method, &self.draft) {
            (Method::Auto, Some(_)) => {
                return refuse("--draft PATH needs the --method that drafts with it".into());
            }
            (Method::Plain | Method::Ngram | Method::Lookahead, Some(_)) => {
                return refuse(format!(
                    "--draft is for the methods that need a file; {name} needs none"
                ));
            }
            (Method::SmallModel, None) => {
                return refuse(format!(
                    "--method {name} needs what it drafts with: --draft PATH"
                ));
            }
            _ => {}
        }
        if tree != TreeArg::Auto && !method.has_head() {
            return refuse(format!(
                "--tree {tree} is for eagle1, eagle2, eagle3 and medusa; {name} has no such trees"
            ));
        }
        match tree {
            TreeArg::Numbers(_) if method == Method::Eagle1 => {
                return refuse("eagle1 has one tree; the one that grows is eagle2's".into());
            }
            TreeArg::Medusa(_) if method != Method::Medusa => {
                return refuse(format!("--tree {tree} is medusa's, not {name}'s"));
            }
            _ => {}
        }
        if tree != TreeArg::Auto && self.draft_tokens.is_some() {
            return refuse(format!(
                "--tree {tree} says how many tokens a round drafts: drop --draft-tokens"
            ));
        }
        if self.ngrams == Some(Switch::On) && !method.has_head() && method != Method::Auto {
            return refuse(format!(
                "--ngrams adds to the trees of eagle1, eagle2, eagle3 and medusa; {name} has none"
            ));
        }
        if self.lookahead.is_some() && method != Method::Lookahead {
            return refuse(format!("--lookahead is for --method lookahead, not {name}"));
        }
        if method == Method::Lookahead && self.draft_tokens.is_some() {
            return refuse(
                "--method lookahead drafts what --lookahead N,W,G says: drop --draft-tokens".into(),
            );
        }
        Ok(())
    }

    /// What will run with the model at a path, whose folder may hold a head. `sparing` says
    /// that rounds in which drafting does not pay may go without: else `auto` takes no
    /// shipped head.
    pub fn resolve(&self, model: &Path, sparing: bool) -> Result<Drafting, Failure> {
        self.check()?;
        let (method, draft) = match (self.method, &self.draft) {
            (Method::Auto, _) => match heads::best(model, sparing) {
                Some((method, head)) => (method, Some(head)),
                None => (Method::Ngram, None),
            },
            (method, None) if method.has_head() => {
                let head = heads::of(method, model).ok_or_else(|| {
                    Failure::Input(format!(
                        "--method {0} needs a head, and no folder `{0}` lies beside {1}, nor was one \
                         shipped for it: name one with --draft PATH",
                        method.name(),
                        model.display()
                    ))
                })?;
                (method, Some(head))
            }
            (method, draft) => (method, draft.clone().map(Source::Path)),
        };
        let ngrams = match self.ngrams {
            Some(switch) => switch == Switch::On,
            // A lookup costs next to nothing, and what it finds is verified only as far
            // as its record says that it pays.
            None => self.method == Method::Auto,
        } && method.has_head();
        let lookahead = self.lookahead.unwrap_or_default();
        let shaping = self.shaping(method)?;
        let (mut budget, sizing) = match (method, self.tree) {
            (Method::Lookahead, _) => (lookahead.budget(), Sizing::Whole),
            (_, TreeArg::Auto) => (self.room(&shaping), Sizing::Measured),
            _ => (self.room(&shaping), Sizing::Fixed),
        };
        if ngrams && sizing == Sizing::Fixed {
            budget.nodes += NgramOptions::GRAFTED.copied;
            budget.depth = budget.depth.max(NgramOptions::GRAFTED.copied);
        }
        Ok(Drafting {
            method,
            budget,
            sizing,
            draft,
            shaping,
            lookahead,
            grafted: ngrams.then_some(NgramOptions {
                // What is verified of it is measured; else it is part of the room.
                copied: match sizing {
                    Sizing::Measured => budget.nodes,
                    _ => NgramOptions::GRAFTED.copied,
                },
                ..NgramOptions::GRAFTED
            }),
        })
    }

    fn shaping(&self, method: Method) -> Result<Shaping, Failure> {
        let nodes = self.draft_tokens.unwrap_or(TOKENS);
        let (top_k, depth) = match method {
            Method::Medusa => (10, nodes),
            _ => (4, 5),
        };
        Ok(match self.tree {
            TreeArg::Numbers(growth) => growth.into(),
            TreeArg::Auto if method != Method::Eagle1 => Shaping::Dynamic(Growth {
                top_k,
                depth,
                nodes,
            }),
            tree => tree.shape(method == Method::Medusa)?.into(),
        })
    }

    /// What a round may draft: as much as is asked for, else what a fixed tree takes.
    fn room(&self, shaping: &Shaping) -> Budget {
        let (nodes, depth) = match (shaping, self.tree) {
            (Shaping::Static(shape), _) => (shape.len() - 1, shape.height()),
            (Shaping::Dynamic(growth), TreeArg::Auto) => (growth.nodes, growth.nodes),
            (Shaping::Dynamic(growth), _) => (growth.nodes, growth.depth),
        };
        Budget::new(self.draft_tokens.unwrap_or(nodes), depth)
    }
}
