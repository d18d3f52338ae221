//! What `--tree` and `--lookahead` understand.

use std::fmt;

use eaglet_core::Error;
use eaglet_core::draft::{Growth, LookaheadOptions};
use eaglet_core::tree::{Shape, published};

/// The trees that a head drafts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TreeArg {
    /// What its confidence and the measured costs make of it.
    Auto,
    /// The method's published tree, verified whole.
    Static,
    /// One of Medusa's trees, verified whole.
    Medusa(usize),
    /// Grown to fixed numbers, verified whole.
    Numbers(Growth),
}

/// Nodes, levels and children at most: more than anyone has found to pay.
const MOST: usize = 256;
/// Nodes that growth may choose from.
const MOST_DRAFTED: usize = 1 << 16;

impl TreeArg {
    /// Understands `auto`, `static`, the name of one of Medusa's trees, or three numbers.
    pub fn parse(text: &str) -> Result<Self, String> {
        match text {
            "auto" => return Ok(Self::Auto),
            "static" => return Ok(Self::Static),
            _ => {}
        }
        let named = published::MEDUSA.iter().position(|(name, _)| *name == text);
        if let Some(index) = named {
            return Ok(Self::Medusa(index));
        }
        match numbers(text) {
            Some([nodes, depth, top_k])
                if [nodes, depth, top_k].iter().all(|n| (1..=MOST).contains(n))
                    && top_k * top_k * depth <= MOST_DRAFTED =>
            {
                Ok(Self::Numbers(Growth {
                    top_k,
                    depth,
                    nodes,
                }))
            }
            _ => Err(format!(
                "auto, static, three numbers N,DEPTH,TOP_K from 1 to {MOST} (DEPTH times TOP_K \
                 squared, the nodes drafted, {MOST_DRAFTED} at most), or one of {} is needed",
                published::MEDUSA.map(|(name, _)| name).join(", ")
            )),
        }
    }

    /// The fixed shape that it names for Medusa heads or for others.
    pub fn shape(self, medusa: bool) -> Result<Shape, Error> {
        let text = match self {
            Self::Medusa(index) => published::MEDUSA[index].1,
            _ if medusa => published::MEDUSA[0].1,
            _ => published::EAGLE1,
        };
        text.parse()
    }
}

impl fmt::Display for TreeArg {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Auto => f.write_str("auto"),
            Self::Static => f.write_str("static"),
            Self::Medusa(index) => f.write_str(published::MEDUSA[*index].0),
            Self::Numbers(g) => write!(f, "{},{},{}", g.nodes, g.depth, g.top_k),
        }
    }
}

/// The numbers of `--lookahead`.
pub fn lookahead(text: &str) -> Result<LookaheadOptions, String> {
    let [ngram, window, guesses] =
        numbers(text).ok_or("three numbers N,W,G are needed, as in 5,7,7")?;
    let options = LookaheadOptions {
        ngram,
        window,
        guesses,
    };
    options.check().map_err(|e| e.to_string())?;
    Ok(options)
}

fn numbers(text: &str) -> Option<[usize; 3]> {
    let numbers: Option<Vec<usize>> = text.split(',').map(|n| n.trim().parse().ok()).collect();
    numbers?.try_into().ok()
}
