//! The text side of a model, wherever its file keeps it.

use std::sync::Arc;

use super::{ChatTemplate, GgufVocab, Tokenizer};
use crate::error::{Error, Result};
use crate::weights::{Checkpoint, Gguf, ModelFile, Value};

/// A model's tokenizer and, for a chat model, its template.
pub struct TextAssets {
    /// Text to ids and back.
    pub tokenizer: Arc<Tokenizer>,
    /// How a conversation becomes text; `None` for a base model.
    pub template: Option<ChatTemplate>,
}

impl TextAssets {
    /// Reads a GGUF file's own metadata, or the JSON files of a folder.
    ///
    /// # Errors
    /// There is no tokenizer, it is of a kind that is not supported, or it does not fit
    /// the model's vocabulary.
    pub fn open(file: &ModelFile) -> Result<Self> {
        let named = |cause| format!("{}: {cause}", file.path().display());
        Self::read(file).map_err(|error| match error {
            Error::Tokenizer(cause) => Error::Tokenizer(named(cause)),
            Error::Template(cause) => Error::Template(named(cause)),
            other => other,
        })
    }

    fn read(file: &ModelFile) -> Result<Self> {
        let (tokenizer, template) = match file {
            ModelFile::Gguf(gguf) => {
                let tokenizer = Tokenizer::from_gguf_vocab(vocabulary(gguf)?)?;
                let template = template(gguf, &tokenizer)?;
                (tokenizer, template)
            }
            ModelFile::Safetensors(folder) => (
                Tokenizer::from_folder(folder.folder())?,
                ChatTemplate::from_folder(folder.folder())?,
            ),
        };
        // A model may have more rows than tokens (padding), never fewer.
        let (ids, rows) = (tokenizer.vocab_size(), file.config()?.vocab);
        if ids > rows {
            return Err(Error::Tokenizer(format!(
                "the tokenizer has {ids} tokens and the model only {rows}: they belong to \
                 different models"
            )));
        }
        Ok(Self {
            tokenizer: Arc::new(tokenizer),
            template,
        })
    }
}

/// The `tokenizer.ggml.*` metadata.
fn vocabulary(gguf: &Gguf) -> Result<GgufVocab> {
    let value = |key: &str| gguf.metadata(&format!("tokenizer.ggml.{key}"));
    let text = |key| value(key).and_then(Value::as_str).map(str::to_owned);
    let id = |key| value(key).and_then(Value::as_u64).map(|id| id as u32);
    let strings = |key| value(key).and_then(Value::as_strings).map(<[_]>::to_vec);
    let missing = |key| Error::Tokenizer(format!("the file has no tokenizer.ggml.{key}"));
    let types = value("token_type").and_then(Value::as_u64s);
    Ok(GgufVocab {
        model: text("model").ok_or_else(|| missing("model"))?,
        pre: text("pre"),
        tokens: strings("tokens").ok_or_else(|| missing("tokens"))?,
        token_types: types
            .unwrap_or_default()
            .into_iter()
            .map(|t| t as i32)
            .collect(),
        merges: strings("merges").unwrap_or_default(),
        scores: value("scores").and_then(Value::as_f32s).unwrap_or_default(),
        bos: id("bos_token_id"),
        eos: id("eos_token_id"),
        eot: id("eot_token_id"),
        unknown: id("unknown_token_id"),
        add_bos: value("add_bos_token").and_then(Value::as_bool),
        add_space_prefix: value("add_space_prefix").and_then(Value::as_bool),
    })
}

fn template(gguf: &Gguf, tokenizer: &Tokenizer) -> Result<Option<ChatTemplate>> {
    let id = |key: &str| gguf.metadata(key).and_then(Value::as_u64);
    let token = |key| id(key).and_then(|id| tokenizer.token(id as u32));
    gguf.metadata("tokenizer.chat_template")
        .and_then(Value::as_str)
        .map(|source| {
            let bos = token("tokenizer.ggml.bos_token_id").unwrap_or_default();
            let eos = token("tokenizer.ggml.eos_token_id").unwrap_or_default();
            ChatTemplate::new(source, bos, eos)
        })
        .transpose()
}
