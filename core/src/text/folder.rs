//! The small files that lie beside a `tokenizer.json` in a Hugging Face folder.

use serde::Deserialize;
use serde::de::DeserializeOwned;

use crate::error::{Error, Result};
use crate::weights::Folder;

/// What is read of `tokenizer_config.json`; all of it may be missing.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct TokenizerConfig {
    bos_token: Option<TokenText>,
    eos_token: Option<TokenText>,
    add_bos_token: Option<bool>,
    chat_template: Option<Templates>,
}

/// A token is written as its text, or as an object with flags around it.
#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum TokenText {
    Text(String),
    Object { content: String },
}

#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum Templates {
    One(String),
    Named(Vec<NamedTemplate>),
}

#[derive(Debug, Deserialize)]
struct NamedTemplate {
    name: String,
    template: String,
}

/// What is read of `generation_config.json` and `config.json`.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct ModelConfig {
    eos_token_id: Option<OneOrMany>,
}

#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum OneOrMany {
    One(u32),
    Many(Vec<u32>),
}

/// The end-of-text ids that the model's own configuration files name.
pub(super) fn configured_ends(folder: &Folder) -> Result<Vec<u32>> {
    let mut ends = Vec::new();
    for file in ["generation_config.json", "config.json"] {
        let config: ModelConfig = parse_optional(folder, file)?;
        match config.eos_token_id {
            Some(OneOrMany::One(id)) => ends.push(id),
            Some(OneOrMany::Many(ids)) => ends.extend(ids),
            None => {}
        }
    }
    Ok(ends)
}

impl TokenizerConfig {
    /// Reads the file of a folder; one that is not there says nothing.
    pub fn read(folder: &Folder) -> Result<Self> {
        parse_optional(folder, "tokenizer_config.json")
    }

    /// The text of the token that starts a text.
    pub fn bos_token(&self) -> Option<&str> {
        self.bos_token.as_ref().map(TokenText::text)
    }

    /// The text of the token that ends one.
    pub fn eos_token(&self) -> Option<&str> {
        self.eos_token.as_ref().map(TokenText::text)
    }

    /// Whether to start every text with `bos_token`, if the file says.
    pub fn add_bos_token(&self) -> Option<bool> {
        self.add_bos_token
    }

    /// The only template, or of several the one named `default`.
    pub fn chat_template(&self) -> Option<&str> {
        match self.chat_template.as_ref()? {
            Templates::One(template) => Some(template),
            Templates::Named(list) => {
                let default = list.iter().find(|entry| entry.name == "default");
                default.map(|entry| entry.template.as_str())
            }
        }
    }
}

impl TokenText {
    fn text(&self) -> &str {
        match self {
            Self::Text(text) | Self::Object { content: text } => text,
        }
    }
}

/// A file's text, or `None` if there is no such file.
pub(super) fn read_optional(folder: &Folder, name: &str) -> Result<Option<String>> {
    let Some(bytes) = folder.read_optional(name)? else {
        return Ok(None);
    };
    String::from_utf8(bytes)
        .map(Some)
        .map_err(|error| Error::Format {
            path: folder.path().join(name),
            format: "UTF-8",
            rule: error.to_string(),
        })
}

fn parse_optional<T: DeserializeOwned + Default>(folder: &Folder, name: &str) -> Result<T> {
    let Some(bytes) = folder.read_optional(name)? else {
        return Ok(T::default());
    };
    serde_json::from_slice(&bytes).map_err(|error| Error::Format {
        path: folder.path().join(name),
        format: "JSON",
        rule: error.to_string(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(json: &str) -> Result<TokenizerConfig, serde_json::Error> {
        serde_json::from_str(json)
    }

    #[test]
    fn tokens_come_as_text_or_object() -> Result<(), serde_json::Error> {
        let json = r#"{"bos_token": {"content": "<s>", "lstrip": false}, "eos_token": "</s>"}"#;
        let config = config(json)?;
        assert_eq!(
            (config.bos_token(), config.eos_token()),
            (Some("<s>"), Some("</s>"))
        );
        Ok(())
    }

    #[test]
    fn of_several_templates_the_default_counts() -> Result<(), serde_json::Error> {
        let json = r#"{"bos_token": null, "chat_template": [
            {"name": "tool_use", "template": "a"}, {"name": "default", "template": "b"}]}"#;
        assert_eq!(config(json)?.chat_template(), Some("b"));
        assert_eq!(
            config(r#"{"chat_template": "c"}"#)?.chat_template(),
            Some("c")
        );
        assert_eq!(config("{}")?.chat_template(), None);
        Ok(())
    }
}
