//! Chat templates: messages to the text that a model was trained on.

use minijinja::syntax::SyntaxConfig;
use minijinja::value::Serde;
use minijinja::{Environment, context};
use serde::{Deserialize, Serialize};

use super::folder::{TokenizerConfig, read_optional};
use super::python::{self, Raised};
use crate::error::{Error, Result};
use crate::weights::Folder;

/// The name that error messages give the template.
const NAME: &str = "chat_template";
/// Far more work than any real template does, and a second at most for a hostile one.
const FUEL: u64 = 10_000_000;

/// Who speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// The frame of the conversation.
    System,
    /// The same, as some newer models call it.
    Developer,
    /// The person.
    User,
    /// The model.
    Assistant,
    /// The result of a tool that the model called.
    Tool,
}

/// One turn of a conversation.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Message {
    /// Who speaks.
    pub role: Role,
    /// What is said.
    pub content: String,
}

impl Message {
    /// Somebody says something.
    pub fn new(role: Role, content: impl Into<String>) -> Self {
        Self {
            role,
            content: content.into(),
        }
    }
}

/// A Jinja template, with the behaviour that Hugging Face's chat templates rely on.
#[derive(Debug)]
pub struct ChatTemplate {
    env: Environment<'static>,
    bos_token: String,
    eos_token: String,
}

impl ChatTemplate {
    /// Compiles a template, which may write the two tokens into its text; models
    /// without one of them give `""`.
    pub fn new(
        source: impl Into<String>,
        bos_token: impl Into<String>,
        eos_token: impl Into<String>,
    ) -> Result<Self> {
        let mut env = Environment::new();
        let syntax = SyntaxConfig::builder()
            .trim_blocks(true)
            .lstrip_blocks(true)
            .build();
        env.set_syntax(syntax.map_err(template_error)?);
        env.set_fuel(Some(FUEL));
        python::install(&mut env);
        env.add_template_owned(NAME, source.into())
            .map_err(template_error)?;
        Ok(Self {
            env,
            bos_token: bos_token.into(),
            eos_token: eos_token.into(),
        })
    }

    /// Reads the template of a Hugging Face folder: `chat_template.jinja`, else
    /// `chat_template` in `tokenizer_config.json` (of several the one named `default`).
    /// `None` for a model without one.
    pub fn from_folder(folder: &Folder) -> Result<Option<Self>> {
        let config = TokenizerConfig::read(folder)?;
        let file = read_optional(folder, "chat_template.jinja")?;
        let text = |token: Option<&str>| token.unwrap_or_default().to_owned();
        file.as_deref()
            .or(config.chat_template())
            .map(|source| Self::new(source, text(config.bos_token()), text(config.eos_token())))
            .transpose()
    }

    /// The text of a conversation, with the head of the model's turn at its end if
    /// `add_generation_prompt`. A message that the template refuses is an
    /// [`Error::Template`] in the template's own words.
    pub fn render(&self, messages: &[Message], add_generation_prompt: bool) -> Result<String> {
        let template = self.env.get_template(NAME).map_err(template_error)?;
        let context = context! {
            messages => Serde(messages),
            add_generation_prompt,
            bos_token => &self.bos_token,
            eos_token => &self.eos_token,
            // Templates ask whether these are none, not whether they are defined.
            tools => (),
            documents => (),
        };
        template.render(context).map_err(template_error)
    }
}

/// The template's own message if it raised one, else what is wrong with the template.
fn template_error(error: minijinja::Error) -> Error {
    let mut cause: Option<&(dyn std::error::Error + 'static)> = Some(&error);
    while let Some(current) = cause {
        if let Some(Raised(message)) = current.downcast_ref() {
            return Error::Template(message.clone());
        }
        cause = current.source();
    }
    Error::Template(error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn render(source: &str, contents: &[&str]) -> Result<String> {
        let roles = [Role::User, Role::Assistant].into_iter().cycle();
        let messages: Vec<Message> = roles
            .zip(contents)
            .map(|(role, content)| Message {
                role,
                content: (*content).into(),
            })
            .collect();
        ChatTemplate::new(source, "<s>", "</s>")?.render(&messages, true)
    }

    #[test]
    fn blocks_take_their_line_with_them() -> Result<()> {
        let source = "{{ bos_token }}\n  {% for m in messages %}\n[{{ m.role }}] {{ m['content'] }}\n  {% endfor %}\n{% if add_generation_prompt %}\n[assistant]\n{% endif %}\n";
        assert_eq!(
            render(source, &["a", "b"])?,
            "<s>\n[user] a\n[assistant] b\n[assistant]\n"
        );
        Ok(())
    }

    #[test]
    fn python_habits_work() -> Result<()> {
        let one = |source: &str| render(source, &["  <b>'é'</b>  "]);
        assert_eq!(
            one("{{ messages[0].content.strip().split('é')[0].upper() }}")?,
            "<B>'"
        );
        assert_eq!(one("{{ messages[0]['content'] | trim }}")?, "<b>'é'</b>");
        assert_eq!(one("{{ tools is none }} {{ x is defined }}")?, "True False");
        assert_eq!(
            one(
                "{% for i in [1, 2, 3] %}{% if i == 2 %}{% continue %}{% endif %}{{ i }}{% endfor %}"
            )?,
            "13"
        );
        assert_eq!(
            one(
                "{% set n = namespace(i=0) %}{% for m in messages %}{% set n.i = n.i + 1 %}{% endfor %}{{ n.i }}"
            )?,
            "1"
        );
        assert_eq!(one("{{ strftime_now('%Y') | length }}")?, "4");
        Ok(())
    }

    #[test]
    fn json_reads_as_python_writes_it() -> Result<()> {
        let json = |options: &str| {
            render(
                &format!("{{{{ {{'z': [1, 2.0, none], 'a': \"<é'>\"}} | tojson{options} }}}}"),
                &[],
            )
        };
        assert_eq!(json("")?, r#"{"z": [1, 2.0, null], "a": "<é'>"}"#);
        assert_eq!(json("(ensure_ascii=False)")?, json("")?);
        assert_eq!(
            json("(indent=1)")?,
            "{\n \"z\": [\n  1,\n  2.0,\n  null\n ],\n \"a\": \"<é'>\"\n}"
        );
        assert!(json("(sort_keys=True)").is_err());
        Ok(())
    }

    #[test]
    fn errors_name_their_cause() {
        let message = |source: &str| match render(source, &["hi"]) {
            Ok(text) => text,
            Err(error) => error.to_string(),
        };
        let raised = "{% macro m() %}{{ raise_exception('roles must alternate') }}{% endmacro %}{% for x in messages %}{{ m() }}{% endfor %}";
        assert_eq!(message(raised), "chat template: roles must alternate");
        assert!(message("\n{{ nothing.at.all }}").contains("chat_template:2"));
        assert!(message("{% if %}").contains("syntax error"));
        let endless =
            "{% for i in range(9999) %}{% for j in range(9999) %}{{ i }}{% endfor %}{% endfor %}";
        assert!(message(endless).contains("fuel"), "{}", message(endless));
    }
}
