//! The flags of everything that runs a model, checked.

use std::path::Path;

use clap::Args;
use eaglet_backends::DeviceSpec;
use eaglet_core::engine::{Limits, SequenceOptions};
use eaglet_core::sample::{Penalties, Sampling};
use eaglet_core::text::{StopStrings, TextAssets};
use eaglet_core::weights::Dtype;

use super::verify::Verify;
use super::{DraftArgs, Drafters, Drafting};
use crate::error::Failure;
use crate::store::{DEFAULT_MODEL, ModelRef};

/// Which model runs where.
#[derive(Clone, Debug, Args)]
#[command(next_help_heading = "Model options")]
pub struct ModelArgs {
    /// A name from the catalogue, a GGUF file, a model folder, or hf:OWNER/NAME
    #[arg(short, long, default_value = DEFAULT_MODEL, value_parser = ModelRef::parse)]
    pub model: ModelRef,

    /// auto, cpu, cuda[:N] or wgpu[:N]
    #[arg(long, default_value = "auto")]
    pub device: DeviceSpec,

    /// Storage of the weights: f32, f16, q8 or q4 [default: as in the file]
    #[arg(long)]
    pub dtype: Option<Dtype>,

    /// Threads on the CPU [default: all cores]
    #[arg(long, value_name = "N", value_parser = positive)]
    pub threads: Option<usize>,

    /// Positions of context [default: as the model was trained, 32768 at most]
    #[arg(long, value_name = "N", value_parser = positive)]
    pub ctx: Option<usize>,
}

/// How the answer is decoded.
#[derive(Clone, Debug, Args)]
#[command(next_help_heading = "Decoding options")]
pub struct DecodeArgs {
    /// Which drafted tokens stand, above temperature 0 (at 0 all rules are one); with
    /// another rule than exact every drafted token is verified, whether it pays or not
    #[arg(long, value_enum, value_name = "RULE", default_value = "exact")]
    pub verify: Verify,

    /// Randomness; 0 takes the most likely token
    #[arg(
        short,
        long,
        value_name = "T",
        default_value_t = 0.0,
        allow_negative_numbers = true
    )]
    pub temperature: f32,

    /// Keep the K most likely tokens; 0 keeps all
    #[arg(long, value_name = "K", default_value_t = 0)]
    pub top_k: usize,

    /// Keep the fewest tokens whose probabilities reach P
    #[arg(
        long,
        value_name = "P",
        default_value_t = 1.0,
        allow_negative_numbers = true
    )]
    pub top_p: f32,

    /// Drop tokens less likely than P times the most likely one
    #[arg(
        long,
        value_name = "P",
        default_value_t = 0.0,
        allow_negative_numbers = true
    )]
    pub min_p: f32,

    /// Divide the logits of tokens seen before by this
    #[arg(
        long,
        value_name = "X",
        default_value_t = 1.0,
        allow_negative_numbers = true
    )]
    pub repetition_penalty: f32,

    /// Subtract this from the logits of tokens seen before
    #[arg(
        long,
        value_name = "X",
        default_value_t = 0.0,
        allow_negative_numbers = true
    )]
    pub presence_penalty: f32,

    /// Subtract this for every time that a token was seen
    #[arg(
        long,
        value_name = "X",
        default_value_t = 0.0,
        allow_negative_numbers = true
    )]
    pub frequency_penalty: f32,

    /// Add to the logit of a token id: ID=BIAS, repeatable
    #[arg(long, value_name = "ID=BIAS", value_parser = bias)]
    pub logit_bias: Vec<(u32, f32)>,

    /// Same seed, same text
    #[arg(long, default_value_t = 0)]
    pub seed: u64,

    /// Tokens of an answer at most [default: to the end of the context]
    #[arg(short = 'n', long, value_name = "N", value_parser = positive)]
    pub max_tokens: Option<usize>,

    /// End the answer before this text; repeatable
    #[arg(long, value_name = "TEXT")]
    pub stop: Vec<String>,

    /// What drafts.
    #[command(flatten)]
    pub draft: DraftArgs,
}

impl DecodeArgs {
    /// Refuses values that make no sense.
    pub fn check(&self) -> Result<(), Failure> {
        self.sampling().check()?;
        StopStrings::new(self.stop.clone())?;
        self.draft.check()
    }

    /// How one sequence is decoded. `text` is its model's text side, if it has one.
    pub fn sequence(
        &self,
        drafters: &Drafters<'_>,
        text: Option<&TextAssets>,
    ) -> Result<SequenceOptions, Failure> {
        let drafting = drafters.drafting;
        let eos = text.map(|text| text.tokenizer.eos_ids().to_vec());
        Ok(SequenceOptions {
            sampling: self.sampling(),
            limits: Limits {
                eos: eos.unwrap_or_default(),
                max_tokens: self.max_tokens,
            },
            drafter: drafters.drafter()?,
            budget: drafting.budget,
            sizing: drafting.sizing,
            verification: self.verify.into(),
        })
    }

    /// What will draft for the model at a path: see [`DraftArgs::resolve`].
    pub fn drafting(&self, model: &Path) -> Result<Drafting, Failure> {
        self.draft.resolve(model, self.is_exact())
    }

    /// Whether it depends on what passes cost how much is drafted: where the rule lets it.
    pub fn is_sized(&self, drafting: &Drafting) -> bool {
        drafting.is_sized() && self.is_exact()
    }

    /// Whether the text depends on nothing that was drafted.
    fn is_exact(&self) -> bool {
        self.verify == Verify::Exact || self.temperature == 0.0
    }

    /// What shapes the draws; the engine checks it.
    pub fn sampling(&self) -> Sampling {
        Sampling {
            temperature: self.temperature,
            top_k: self.top_k,
            top_p: self.top_p,
            min_p: self.min_p,
            penalties: Penalties {
                repetition: self.repetition_penalty,
                presence: self.presence_penalty,
                frequency: self.frequency_penalty,
            },
            logit_bias: self.logit_bias.clone(),
            seed: self.seed,
        }
    }
}

fn positive(text: &str) -> Result<usize, String> {
    match text.parse() {
        Ok(0) | Err(_) => Err("a whole number from 1 on is needed".into()),
        Ok(number) => Ok(number),
    }
}

fn bias(text: &str) -> Result<(u32, f32), String> {
    let parts = text.split_once('=');
    let parsed = parts.and_then(|(id, bias)| Some((id.parse().ok()?, bias.parse().ok()?)));
    parsed.ok_or_else(|| "ID=BIAS is needed, as in 42=-1.5".into())
}
