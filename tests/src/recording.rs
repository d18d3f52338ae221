//! What heads propose, written down.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::future::Future;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;

use eaglet_core::Result;
use eaglet_core::draft::{Budget, Drafter, Eagle, Growth, Observation, Shaping};
use eaglet_core::model::Transformer;
use eaglet_core::sample::Sampling;
use eaglet_core::tree::{Shape, Tree, published};
use eaglet_core::weights::Dtype;

use crate::decode::{decode, options};
use crate::heads::{Kind, TinyHead};

/// What a drafter proposed: each context with its tree.
pub type Log = Rc<RefCell<Vec<(Vec<u32>, Tree)>>>;

/// Writes down what a drafter proposes.
pub struct Recording {
    /// The drafter that is listened to.
    pub inner: Box<Eagle>,
    /// Texts shorter than this are not worth a pass.
    pub dear: usize,
    /// What passes cost after longer ones.
    pub price: f32,
    /// Where it is written.
    pub log: Log,
}

impl Drafter for Recording {
    fn name(&self) -> &'static str {
        self.inner.name()
    }
    fn taps(&self) -> &[usize] {
        self.inner.taps()
    }
    fn propose<'a>(
        &'a mut self,
        context: &'a [u32],
        budget: Budget,
    ) -> Pin<Box<dyn Future<Output = Result<Tree>> + 'a>> {
        let log = self.log.clone();
        let price = match context.len() < self.dear {
            true => 1.5,
            false => self.price,
        };
        Box::pin(async move {
            let budget = Budget { price, ..budget };
            let tree = self.inner.propose(context, budget).await?;
            log.borrow_mut().push((context.to_vec(), tree.clone()));
            Ok(tree)
        })
    }
    fn observe(&mut self, observation: Observation<'_>) -> Result<()> {
        self.inner.observe(observation)
    }
    fn truncate(&mut self, len: usize) -> usize {
        self.inner.truncate(len)
    }
}

/// Decodes `max` tokens, and what was proposed on the way. Contexts shorter than `dear` are
/// not drafted for; what passes cost after others, and nodes that there is room for.
pub fn recorded(
    target: &Arc<Transformer>,
    inner: Box<Eagle>,
    prompt: &[u32],
    max: usize,
    dear: usize,
    (price, nodes): (f32, usize),
) -> Log {
    let log = Log::default();
    let recording = Recording {
        inner,
        dear,
        price,
        log: log.clone(),
    };
    let mut options = options(&Sampling::default(), max, Box::new(recording));
    options.budget.nodes = nodes;
    decode(target, prompt, options);
    log
}

/// A chain, a published tree, a tree that grows, and one as wide as a level may be.
pub fn shapings() -> Vec<Shaping> {
    let growth = |(top_k, depth, nodes)| {
        Shaping::from(Growth {
            top_k,
            depth,
            nodes,
        })
    };
    let shape: Shape = published::EAGLE1.parse().unwrap();
    let mut all: Vec<_> = [(1, 3, 9), (4, 4, 14), (32, 3, 30)].map(growth).into();
    all.push(shape.into());
    all
}

/// Asserts that a head's trees are the same whether the host looks at each level, as it is told
/// to where passes have a price, or the device goes down by itself.
pub fn look_at_each_level_or_not(
    target: &Arc<Transformer>,
    kind: Kind,
    shaping: &Shaping,
    name: &str,
) {
    let trees = |price, nodes| {
        let head = TinyHead::random(kind, 5).load(target, Dtype::F32);
        let drafter = Eagle::new("eagle", head, target, shaping.clone()).unwrap();
        let drafter = drafter.looking(true);
        let budget = (price, nodes);
        recorded(target, Box::new(drafter), &[1, 2, 3, 4], 40, 0, budget).take()
    };
    let found = trees(0.0, 30);
    assert!(found.iter().any(|(_, tree)| tree.height() >= 3), "{name}");
    for nodes in [30, 9] {
        let (queued, looked) = (trees(0.0, nodes), trees(1e-30, nodes));
        assert_eq!(queued.len(), looked.len(), "{name}");
        for ((context, queued), (same, looked)) in queued.iter().zip(&looked) {
            assert_eq!((context, paths(queued)), (same, paths(looked)), "{name}");
        }
    }
}

/// The tokens of the path to each node, and its chance: whatever the order of nodes.
fn paths(tree: &Tree) -> BTreeMap<Vec<u32>, u32> {
    let path = |node| tree.path(node).into_iter().map(|node| tree.token(node));
    let nodes = (0..tree.len()).map(|node| (path(node).collect(), tree.chance(node).to_bits()));
    nodes.collect()
}
