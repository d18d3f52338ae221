//! What is asked of a model, as JSON says it.

use std::collections::BTreeMap;

use eaglet_core::engine::Limits;
use eaglet_core::sample::{Penalties, Sampling};
use eaglet_core::text::{Message, Special, TextAssets, encode_chat};
use serde::Deserialize;

use crate::{Failure, Method};

/// A request. What is not said is greedy, without penalties, to the end of the context.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Request {
    /// A conversation: this or `prompt`.
    messages: Option<Vec<Message>>,
    /// Text to go on with; special tokens in it count.
    prompt: Option<String>,
    /// What drafts.
    #[serde(default)]
    pub method: Method,
    /// Tokens of the answer at most.
    pub max_tokens: Option<usize>,
    /// The answer ends before any of these.
    #[serde(default)]
    pub stop: Vec<String>,
    /// Log-probabilities are wanted: of the chosen token, and of so many of the likeliest.
    pub logprobs: Option<usize>,
    #[serde(default)]
    temperature: f32,
    #[serde(default)]
    top_k: usize,
    top_p: Option<f32>,
    #[serde(default)]
    min_p: f32,
    #[serde(default)]
    seed: u64,
    #[serde(default)]
    presence_penalty: f32,
    #[serde(default)]
    frequency_penalty: f32,
    repetition_penalty: Option<f32>,
    #[serde(default)]
    logit_bias: BTreeMap<u32, f32>,
}

impl Request {
    /// Reads the JSON object.
    ///
    /// # Errors
    /// It is none, names an option that there is not, or lacks what is asked.
    pub fn parse(json: &str) -> Result<Self, Failure> {
        let request: Self =
            serde_json::from_str(json).map_err(|e| Failure::invalid(format!("request: {e}")))?;
        if request.max_tokens == Some(0) {
            return Err(Failure::invalid("max_tokens must be 1 or more"));
        }
        Ok(request)
    }

    /// The whole text so far as ids, up to where the model goes on.
    ///
    /// # Errors
    /// There is not one prompt, the model knows no conversations, or its template refuses
    /// this one.
    pub fn encode(&self, text: &TextAssets) -> Result<Vec<u32>, Failure> {
        let tokenizer = &text.tokenizer;
        match (&self.messages, &self.prompt) {
            (Some(messages), None) => {
                let template = text.template.as_ref().ok_or_else(|| {
                    Failure::invalid("the model has no chat template: it completes a prompt")
                })?;
                Ok(encode_chat(tokenizer, template, messages, true)?)
            }
            (None, Some(prompt)) => {
                let bos = tokenizer.bos().filter(|_| tokenizer.add_bos());
                let mut ids: Vec<u32> = bos.into_iter().collect();
                ids.extend(tokenizer.encode(prompt, Special::Parse)?);
                Ok(ids)
            }
            _ => Err(Failure::invalid(
                "a request has either messages or a prompt",
            )),
        }
    }

    /// What shapes the draws; the engine checks it.
    pub fn sampling(&self) -> Sampling {
        Sampling {
            temperature: self.temperature,
            top_k: self.top_k,
            top_p: self.top_p.unwrap_or(1.0),
            min_p: self.min_p,
            penalties: Penalties {
                repetition: self.repetition_penalty.unwrap_or(1.0),
                presence: self.presence_penalty,
                frequency: self.frequency_penalty,
            },
            logit_bias: self.logit_bias.iter().map(|(&id, &b)| (id, b)).collect(),
            seed: self.seed,
        }
    }

    /// Where the answer ends.
    pub fn limits(&self, text: &TextAssets) -> Limits {
        Limits {
            eos: text.tokenizer.eos_ids().to_vec(),
            max_tokens: self.max_tokens,
        }
    }
}
