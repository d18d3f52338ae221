//! The output file: a line a conversation, each written whole or not at all.

use std::collections::HashSet;
use std::fs::{File, OpenOptions};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

use crate::dialogue::Conversation;
use crate::error::Failure;

/// A file of conversations that is appended to.
pub struct Journal {
    path: PathBuf,
    file: File,
}

impl Journal {
    /// Opens or creates the file and returns what it holds. A last line without its end,
    /// as a killed run leaves it, is cut off.
    pub fn open(path: &Path) -> Result<(Self, Vec<Conversation>), Failure> {
        let told = |e: io::Error| Failure::Input(format!("{}: {e}", path.display()));
        let mut options = OpenOptions::new();
        let mut file = options
            .read(true)
            .append(true)
            .create(true)
            .open(path)
            .map_err(told)?;
        let mut text = String::new();
        file.read_to_string(&mut text).map_err(told)?;
        let whole = text.rfind('\n').map_or(0, |end| end + 1);
        file.set_len(whole as u64).map_err(told)?;
        let lines = (1..).zip(text[..whole].lines());
        let parse = |(number, line): (usize, &str)| {
            serde_json::from_str(line)
                .map_err(|e| Failure::Input(format!("{}: line {number}: {e}", path.display())))
        };
        let held: Vec<Conversation> = lines.map(parse).collect::<Result<_, _>>()?;
        let mut ids = HashSet::new();
        if let Some(twice) = held.iter().find(|c| !ids.insert(&c.id)) {
            let what = format!(
                "{}: two conversations are called {}",
                path.display(),
                twice.id
            );
            return Err(Failure::Input(what));
        }
        let path = path.into();
        Ok((Self { path, file }, held))
    }

    /// Appends a conversation.
    pub fn write(&mut self, conversation: &Conversation) -> Result<(), Failure> {
        let told = |e: String| Failure::Runtime(format!("{}: {e}", self.path.display()));
        let mut line = serde_json::to_vec(conversation).map_err(|e| told(e.to_string()))?;
        line.push(b'\n');
        self.file.write_all(&line).map_err(|e| told(e.to_string()))
    }
}
