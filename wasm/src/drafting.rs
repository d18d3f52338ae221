//! What drafts: from a method's name and a head to a drafter.

use std::rc::Rc;

use eaglet_core::draft::{
    Budget, Drafter, Eagle, Growth, Head, HeadCheckpoint, HeadKind, Lookahead, LookaheadOptions,
    Ngram, NgramOptions, Plain, Shaping, Union,
};
use eaglet_core::engine::Sizing;
use eaglet_core::model::Transformer;
use eaglet_core::tree::{Shape, published};
use eaglet_core::weights::Dtype;
use serde::{Deserialize, Serialize};

use crate::Failure;

/// The methods of drafting.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Method {
    /// With the head that was loaded, and what the context repeats; without one, `ngram`.
    #[default]
    Auto,
    /// One token a round.
    Plain,
    /// Copies what followed the last words when they occurred before.
    Ngram,
    /// EAGLE-1's head with its static tree.
    Eagle1,
    /// EAGLE-1's head with EAGLE-2's trees.
    Eagle2,
    /// EAGLE-3's head with dynamic trees.
    Eagle3,
    /// The model guesses ahead of itself.
    Lookahead,
}

/// A head on the device.
pub struct TrainedHead {
    /// What sort of head.
    pub kind: HeadKind,
    /// Bytes of its tensors in the file.
    pub bytes: usize,
    network: Rc<dyn Head>,
}

/// How heads lie in memory: they change speed only, never text, and q8 reads half of what
/// f16 does.
const DTYPE: Dtype = Dtype::Q8;

impl TrainedHead {
    /// Loads a head for a model.
    ///
    /// # Errors
    /// The file holds no EAGLE head, or one that does not fit the model.
    pub fn load(file: HeadCheckpoint, target: &Transformer) -> Result<Self, Failure> {
        let kind = match file.kind() {
            Some(kind @ (HeadKind::Eagle1 | HeadKind::Eagle3)) => kind,
            Some(other) => {
                let message = format!("{other} heads do not run in browsers; EAGLE's do");
                return Err(Failure::new("unsupported", message));
            }
            None => return Err(Failure::new("file", "the head's files hold no head")),
        };
        Ok(Self {
            kind,
            bytes: file.tensors.tensors().map(|tensor| tensor.bytes).sum(),
            network: file.load(target, DTYPE)?.into(),
        })
    }

    /// The method that is best with it.
    pub fn method(&self) -> Method {
        match self.kind {
            HeadKind::Eagle3 => Method::Eagle3,
            _ => Method::Eagle2,
        }
    }
}

/// What drafts: never `auto`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Plan {
    /// The method.
    pub method: Method,
    /// Whether what the context repeats is grafted onto the head's trees.
    pub grafted: bool,
}

impl Plan {
    /// What a method comes to with a head, or without one.
    ///
    /// # Errors
    /// It needs a head that was not loaded.
    pub fn new(method: Method, head: Option<&TrainedHead>) -> Result<Self, Failure> {
        let kind = head.map(|head| head.kind);
        let needs = |wanted: HeadKind| match kind == Some(wanted) {
            true => Ok(method),
            false => Err(Failure::invalid(format!(
                "the method needs a head of {wanted}, and {}",
                match kind {
                    Some(kind) => format!("the one that was loaded is of {kind}"),
                    None => "none was loaded".into(),
                }
            ))),
        };
        let method = match (method, head) {
            (Method::Auto, Some(head)) => {
                return Ok(Self {
                    method: head.method(),
                    grafted: true,
                });
            }
            (Method::Auto, None) => Method::Ngram,
            (Method::Eagle1 | Method::Eagle2, _) => needs(HeadKind::Eagle1)?,
            (Method::Eagle3, _) => needs(HeadKind::Eagle3)?,
            (method, _) => method,
        };
        Ok(Self {
            method,
            grafted: false,
        })
    }

    /// What a round may draft, and how much of it is verified.
    pub fn budget(&self) -> Result<(Budget, Sizing), Failure> {
        let Growth { nodes, .. } = Growth::default();
        Ok(match self.method {
            Method::Lookahead => (LookaheadOptions::default().budget(), Sizing::Whole),
            Method::Eagle1 => {
                let shape = eagle1()?;
                let (nodes, depth) = (shape.len() - 1, shape.height());
                (Budget::new(nodes, depth), Sizing::Measured)
            }
            _ => (Budget::new(nodes, nodes), Sizing::Measured),
        })
    }

    /// Nodes of a round at most, whatever the method.
    pub fn most_nodes() -> Result<usize, Failure> {
        let methods = [Method::Lookahead, Method::Eagle1, Method::Eagle3];
        let mut most = 0;
        for method in methods {
            let grafted = false;
            most = most.max(Self { method, grafted }.budget()?.0.nodes);
        }
        Ok(most)
    }

    /// A new drafter for a model.
    ///
    /// # Errors
    /// There is no memory for its cache.
    pub fn drafter(
        &self,
        head: Option<&TrainedHead>,
        target: &Transformer,
    ) -> Result<Box<dyn Drafter>, Failure> {
        let eagle = |name, shaping: Shaping| -> Result<Box<dyn Drafter>, Failure> {
            match head {
                Some(head) => {
                    let network = head.network.clone();
                    Ok(Box::new(Eagle::new(name, network, target, shaping)?))
                }
                None => Ok(Box::new(Plain)),
            }
        };
        let drafter: Box<dyn Drafter> = match self.method {
            Method::Plain | Method::Auto => Box::new(Plain),
            Method::Ngram => Box::new(Ngram(NgramOptions {
                copied: Growth::default().nodes,
                ..Default::default()
            })),
            Method::Lookahead => Box::new(Lookahead::new(LookaheadOptions::default())?),
            Method::Eagle1 => eagle("eagle1", eagle1()?.into())?,
            Method::Eagle2 => eagle("eagle2", Growth::default().into())?,
            Method::Eagle3 => eagle("eagle3", Growth::default().into())?,
        };
        Ok(match self.grafted {
            true => Box::new(Union::new(drafter, NgramOptions::GRAFTED)),
            false => drafter,
        })
    }
}

/// EAGLE-1's tree.
fn eagle1() -> Result<Shape, Failure> {
    Ok(published::EAGLE1.parse()?)
}
