//! What is measured: a model, and what it is asked.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use eaglet_backends::Backend;
use eaglet_core::engine::{CostTable, Session, SessionOptions};
use eaglet_core::model::{LoadOptions, Transformer};
use eaglet_core::sample::uniform;
use eaglet_core::text::{Message, TextAssets};
use eaglet_core::weights::{Dtype, RandomWeights};
use serde::Serialize;

use super::shapes;
use crate::context::Context;
use crate::dialogue::{Questions, parse_questions, read_questions};
use crate::error::Failure;
use crate::progress::Progress;
use crate::runtime::{DecodeArgs, Drafting, ModelArgs, Runtime, memory};

/// Half of MT-bench's questions, every second one: Zheng et al., "Judging LLM-as-a-Judge
/// with MT-Bench and Chatbot Arena" (2023), Apache 2.0.
const BUILT_IN: &str = include_str!("../../../../tests/data/mt_bench_half.jsonl");

/// Prompts of a model that knows no text: how many, and how long.
const RANDOM_PROMPTS: usize = 8;
const RANDOM_IDS: usize = 128;

/// Rows of the passes that are measured; EAGLE-2's published tree for 7B models has 26 with
/// its root.
const WIDTHS: [usize; 8] = [1, 2, 4, 8, 16, 26, 32, 64];
/// Positions before them, where the context has room.
const POSITIONS: usize = 256;
/// Seconds that one run of them may take, were every row as dear as a plain step.
const PATIENCE: f64 = 10.0;

/// What verifying costs.
#[derive(Serialize)]
pub struct Passes {
    /// Committed positions that every row sees.
    pub positions: usize,
    /// Seconds by rows, the best of two.
    pub costs: CostTable,
}

/// The questions of a file, or the built-in ones. Of too many, `limit` are taken at even
/// distances, so that no category is left out for being last.
pub fn questions(file: Option<&Path>, limit: Option<usize>) -> Result<Vec<Questions>, Failure> {
    let all = match file {
        Some(file) => read_questions(file)?,
        None => parse_questions("the built-in questions", BUILT_IN)?,
    };
    let count = limit.unwrap_or(all.len()).min(all.len());
    let picked = (0..count).map(|i| all[i * all.len() / count].clone());
    Ok(picked.collect())
}

/// As many prompts as were asked for, for a model that knows no text.
pub fn wordless(limit: Option<usize>) -> Vec<Questions> {
    let question = |number: usize| Questions {
        id: number.to_string(),
        category: None,
        turns: vec![String::new()],
    };
    (1..=limit.unwrap_or(RANDOM_PROMPTS))
        .map(question)
        .collect()
}

/// A model.
pub enum Subject {
    /// One that talks.
    Chat(Box<Runtime>),
    /// One of random weights, which is given random ids.
    Random {
        name: String,
        backend: Backend,
        target: Arc<Transformer>,
    },
}

impl Subject {
    /// Finds (or fetches) the model and loads it.
    pub fn load(args: &ModelArgs, context: &Context) -> Result<Self, Failure> {
        let runtime = Runtime::load(args, context)?;
        runtime.template()?;
        Ok(Self::Chat(Box::new(runtime)))
    }

    /// Makes up a model of a shape.
    pub fn random(shape: &str, args: &ModelArgs, context: &Context) -> Result<Self, Failure> {
        // As published checkpoints have it.
        let dtype = args.dtype.unwrap_or(Dtype::F16);
        let made = RandomWeights::new(&PathBuf::from(shape), &shapes::config(shape)?, dtype)?;
        if let Some(free) = memory::available()
            && made.bytes() as u64 > free
        {
            let gib = |bytes: u64| bytes as f64 / (1u64 << 30) as f64;
            return Err(Failure::Input(format!(
                "{shape} in {dtype} takes {:.1} GiB and {:.1} are free: use a smaller --dtype",
                gib(made.bytes() as u64),
                gib(free)
            )));
        }
        let backend = context.open(args.device, args.threads)?;
        let options = LoadOptions {
            dtype: Some(dtype),
            context: args.ctx,
        };
        let bar = context.progress.spinner("making up weights");
        let target = Transformer::load(&made, backend.ops.clone(), options, |done, all| {
            bar.set_length(all as u64);
            bar.set_position(done as u64);
        });
        bar.finish_and_clear();
        Ok(Self::Random {
            name: shape.to_owned(),
            backend,
            target: Arc::new(target?),
        })
    }

    /// The name that was asked for.
    pub fn name(&self) -> &str {
        match self {
            Self::Chat(runtime) => &runtime.name,
            Self::Random { name, .. } => name,
        }
    }

    /// Where it runs.
    pub fn backend(&self) -> &Backend {
        match self {
            Self::Chat(runtime) => &runtime.backend,
            Self::Random { backend, .. } => backend,
        }
    }

    /// The model itself.
    pub fn target(&self) -> &Arc<Transformer> {
        match self {
            Self::Chat(runtime) => &runtime.target,
            Self::Random { target, .. } => target,
        }
    }

    /// The text side of a model that has one.
    pub fn text(&self) -> Option<&TextAssets> {
        match self {
            Self::Chat(runtime) => Some(&runtime.text),
            Self::Random { .. } => None,
        }
    }

    /// Tells a session of one sequence what passes cost.
    pub fn tell_costs(&self, session: &mut Session, nodes: usize) -> Result<(), Failure> {
        match self {
            Self::Chat(runtime) => runtime.costs.tell(session, 1, nodes),
            Self::Random { .. } => {
                let widths = Session::widths(1, nodes);
                let table = pollster::block_on(session.measure(&widths, 0))?;
                session.assume(table);
                Ok(())
            }
        }
    }

    /// Measures passes of [`WIDTHS`] rows in the middle of a text, as many as do not take
    /// long: a slow model has fewer.
    pub fn passes(&self, progress: Progress) -> Result<Passes, Failure> {
        let bar = progress.spinner("measuring passes");
        let most = WIDTHS[WIDTHS.len() - 1];
        let room = SessionOptions {
            sequences: 1,
            nodes: most,
        };
        let positions = POSITIONS.min(self.target().context().saturating_sub(most));
        let mut session = Session::new(self.target().clone(), room)?;
        let mut measure = |widths: &[usize]| pollster::block_on(session.measure(widths, positions));
        let mut costs = measure(&WIDTHS[..1])?;
        if let Some(&(_, plain)) = costs.widths().first() {
            let mut rows = 0.0;
            let quick = |&&width: &&usize| {
                rows += width as f64;
                rows * plain < PATIENCE
            };
            let widths: Vec<usize> = WIDTHS.iter().take_while(quick).copied().collect();
            if widths.len() > 1 {
                costs = measure(&widths)?;
            }
        }
        bar.finish_and_clear();
        Ok(Passes { positions, costs })
    }

    /// What drafts by these flags: with the head beside the model, if there is one.
    pub fn drafting(&self, decode: &DecodeArgs) -> Result<Drafting, Failure> {
        match self {
            Self::Chat(runtime) => decode.drafting(&runtime.path),
            Self::Random { name, .. } => decode.drafting(Path::new(name)),
        }
    }

    /// The ids of a conversation up to where the model speaks; `number` is that of its
    /// question.
    pub fn prompt(&self, number: usize, said: &[Message]) -> Result<Vec<u32>, Failure> {
        match self {
            Self::Chat(runtime) => runtime.encode_chat(said),
            Self::Random { target, .. } => {
                let vocab = target.config().vocab as f64;
                let id = |position| (uniform(number as u64, position) * vocab) as u32;
                let room = RANDOM_IDS.min(target.context() / 2).max(1);
                Ok((0..room as u64).map(id).collect())
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn the_built_in_questions_have_two_turns_and_eight_categories() {
        let all = questions(None, None).unwrap();
        assert_eq!(all.len(), 40);
        assert!(all.iter().all(|question| question.turns.len() == 2));
        let categories = |all: &[Questions]| {
            let named = all.iter().filter_map(|question| question.category.clone());
            named.collect::<BTreeSet<_>>().len()
        };
        assert_eq!(categories(&all), 8);
        let some = questions(None, Some(8)).unwrap();
        assert_eq!((some.len(), categories(&some)), (8, 8));
        assert_eq!(questions(None, Some(1000)).unwrap(), all);
    }
}
