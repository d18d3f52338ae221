//! Conversations in files: what is asked in benchmarks and training, and what was said.

use std::io::BufRead;
use std::path::Path;

use eaglet_core::text::{Message, Role};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::error::Failure;

/// A conversation in ShareGPT's form: one JSON line of a training file.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Conversation {
    /// Unique in its file.
    pub id: String,
    /// Turns in order.
    pub conversations: Vec<Turn>,
}

/// Something said.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Turn {
    /// `human`, `gpt` or `system`.
    pub from: String,
    /// What.
    pub value: String,
}

impl Turn {
    /// As a message of a chat template.
    ///
    /// # Errors
    /// Nobody of that name speaks in conversations.
    pub fn message(&self) -> Result<Message, String> {
        let role = match self.from.as_str() {
            "human" | "user" => Role::User,
            "gpt" | "assistant" => Role::Assistant,
            "system" => Role::System,
            other => return Err(format!("nobody is called {other:?}: human, gpt or system")),
        };
        Ok(Message::new(role, &self.value))
    }
}

/// What a user asks, turn by turn, with the id that its file gave it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Questions {
    /// From the file, or the line's number.
    pub id: String,
    /// `writing`, `math`, ..: of benchmark files.
    pub category: Option<String>,
    /// The user's turns.
    pub turns: Vec<String>,
}

/// Reads the user's side of a file of prompts, whose lines may each be: an object with
/// `turns` (MT-bench, Spec-Bench), one with `conversations` (ShareGPT), or plain text.
/// A file that is one JSON array holds such objects as its elements.
///
/// # Errors
/// The file cannot be read, or a line is none of these: the message names it.
pub fn read_questions(path: &Path) -> Result<Vec<Questions>, Failure> {
    let name = path.display().to_string();
    let text = std::fs::read_to_string(path)
        .map_err(|e| Failure::Input(format!("{name}: cannot read: {e}")))?;
    parse_questions(&name, &text)
}

/// The same from the text of a file called `name`.
///
/// # Errors
/// As [`read_questions`].
pub fn parse_questions(name: &str, text: &str) -> Result<Vec<Questions>, Failure> {
    let broken = |what: String| Failure::Input(format!("{name}: {what}"));
    if text.trim_start().starts_with('[') {
        let all: Vec<Value> = serde_json::from_str(text).map_err(|e| broken(e.to_string()))?;
        let items = all.iter().enumerate();
        let parsed = items.map(|(i, value)| {
            questions(value, i + 1).map_err(|what| broken(format!("element {}: {what}", i + 1)))
        });
        return parsed.collect();
    }
    let mut all = Vec::new();
    for (number, line) in (1..).zip(text.as_bytes().lines()) {
        let line = line.map_err(|e| broken(e.to_string()))?;
        let at = |what: String| broken(format!("line {number}: {what}"));
        match line.trim() {
            "" => {}
            object if object.starts_with('{') => {
                let value = serde_json::from_str(object).map_err(|e| at(e.to_string()))?;
                all.push(questions(&value, number).map_err(at)?);
            }
            plain => all.push(Questions {
                id: number.to_string(),
                category: None,
                turns: vec![plain.to_owned()],
            }),
        }
    }
    if all.is_empty() {
        return Err(broken("holds no prompt".into()));
    }
    Ok(all)
}

fn questions(value: &Value, number: usize) -> Result<Questions, String> {
    let text = |value: &Value| match value {
        Value::String(text) => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        _ => None,
    };
    let id = ["question_id", "id"]
        .iter()
        .find_map(|key| text(&value[*key]));
    let turns: Vec<String> = if value["turns"].is_array() {
        serde_json::from_value(value["turns"].clone()).map_err(|e| format!("turns: {e}"))?
    } else if value["conversations"].is_array() {
        let all: Vec<Turn> = serde_json::from_value(value["conversations"].clone())
            .map_err(|e| format!("conversations: {e}"))?;
        let mut asked = Vec::new();
        for turn in &all {
            if turn.message()?.role == Role::User {
                asked.push(turn.value.clone());
            }
        }
        asked
    } else {
        return Err("neither \"turns\" nor \"conversations\"".into());
    };
    if turns.is_empty() || turns.iter().any(|turn| turn.trim().is_empty()) {
        return Err("a user turn is empty, or there is none".into());
    }
    Ok(Questions {
        id: id.unwrap_or_else(|| number.to_string()),
        category: text(&value["category"]),
        turns,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Vec<Questions>, String> {
        let file = tempfile::NamedTempFile::new().map_err(|e| e.to_string())?;
        std::fs::write(file.path(), text).map_err(|e| e.to_string())?;
        read_questions(file.path()).map_err(|e| e.to_string())
    }

    #[test]
    fn each_form_gives_the_user_side() -> Result<(), String> {
        let all = read(
            "{\"question_id\": 81, \"category\": \"writing\", \"turns\": [\"a\", \"b\"]}\n\n\
             {\"id\": \"x\", \"conversations\": [{\"from\": \"human\", \"value\": \"c\"}, \
             {\"from\": \"gpt\", \"value\": \"d\"}]}\n plain text \n",
        )?;
        let seen: Vec<_> = all
            .iter()
            .map(|q| (q.id.as_str(), q.turns.join("|")))
            .collect();
        let want = [("81", "a|b"), ("x", "c"), ("4", "plain text")];
        assert_eq!(seen, want.map(|(id, turns)| (id, turns.to_owned())));
        assert_eq!(all[0].category.as_deref(), Some("writing"));
        assert_eq!(read("[{\"turns\": [\"a\"]}]")?.len(), 1);
        Ok(())
    }

    #[test]
    fn what_is_wrong_is_named_with_its_line() {
        for (text, named) in [
            ("plain\n{\"turns\": [\"a\"]", "line 2"),
            ("{\"turns\": [\"\"]}", "line 1: a user turn is empty"),
            ("{\"turns\": []}", "line 1"),
            ("{\"text\": \"a\"}", "line 1: neither"),
            (
                "{\"conversations\": [{\"from\": \"cat\", \"value\": \"a\"}]}",
                "\"cat\"",
            ),
            (" \n", "holds no prompt"),
        ] {
            let told = read(text).expect_err(text);
            assert!(told.contains(named), "{told}");
        }
    }
}
