//! Which files of a repository make a model.

use std::collections::{BTreeSet, HashMap};

use serde::Deserialize;

use super::reference::{HubRef, is_gguf};

/// One file with all weights.
pub const WEIGHTS: &str = "model.safetensors";
/// The list of the files that share the weights.
pub const INDEX: &str = "model.safetensors.index.json";
/// Fetched when they exist.
const CONFIG: [&str; 5] = [
    "config.json",
    "generation_config.json",
    "tokenizer.json",
    "tokenizer_config.json",
    "chat_template.jinja",
];

/// The files to fetch, small ones first.
#[derive(Debug, PartialEq, Eq)]
pub enum Plan {
    /// One GGUF file.
    Gguf(String),
    /// A folder. The index, where there is one, comes last and names further files.
    Folder(Vec<String>),
}

impl Plan {
    /// Chooses among the `files` of the repository; an error names the reason and the
    /// way out.
    pub fn choose(want: &HubRef, files: &[String]) -> Result<Self, String> {
        let has = |name: &str| files.iter().any(|file| file == name);
        let ggufs: Vec<_> = files.iter().filter(|file| is_gguf(file)).collect();
        if let Some(file) = &want.file {
            return match has(file) {
                true => Ok(Self::Gguf(file.clone())),
                false => Err(format!("there is no file {file}{}", listing(want, &ggufs))),
            };
        }
        let weights = [WEIGHTS, INDEX].into_iter().find(|&name| has(name));
        if let Some(weights) = weights {
            if !has("config.json") {
                return Err(format!("it has {weights} but no config.json to read it by"));
            }
            let config = CONFIG.into_iter().filter(|&name| has(name));
            return Ok(Self::Folder(
                config.chain([weights]).map(Into::into).collect(),
            ));
        }
        match ggufs[..] {
            [] => Err(format!(
                "it has neither {WEIGHTS} (nor its index) nor a GGUF file, so there is nothing \
                 that eaglet can read"
            )),
            [only] if is_safe(only) => Ok(Self::Gguf(only.clone())),
            [only] => Err(format!("its file {only:?} has an unusual name")),
            _ => Err(format!("choose a file{}", listing(want, &ggufs))),
        }
    }
}

/// The files that the text of an index names, each once.
pub fn shards(index: &[u8]) -> Result<BTreeSet<String>, String> {
    #[derive(Deserialize)]
    struct Index {
        weight_map: HashMap<String, String>,
    }
    let index: Index = serde_json::from_slice(index).map_err(|e| format!("{INDEX}: {e}"))?;
    let files: BTreeSet<_> = index.weight_map.into_values().collect();
    match files.iter().find(|file| !is_safe(file)) {
        Some(file) => Err(format!("{INDEX} names an unusual file, {file:?}")),
        None => Ok(files),
    }
}

/// Whether `name` is a plain relative path that means the same in a URL and on every
/// file system: what the hub says must never lead out of our folder.
pub fn is_safe(name: &str) -> bool {
    let plain = |c: char| c.is_ascii_alphanumeric() || "._-+=".contains(c);
    name.split('/')
        .all(|part| !part.is_empty() && !part.starts_with('.') && part.chars().all(plain))
}

fn listing(want: &HubRef, ggufs: &[&String]) -> String {
    let lines = ggufs.iter().map(|file| {
        let file = HubRef {
            file: Some((*file).clone()),
            ..want.clone()
        };
        format!("\n  hf:{file}")
    });
    match ggufs {
        [] => "; it has no GGUF file".into(),
        _ => format!("; it has{}", lines.collect::<String>()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn choose(want: &str, files: &[&str]) -> Result<Plan, String> {
        let files: Vec<_> = files.iter().map(|&file| file.into()).collect();
        Plan::choose(&HubRef::parse(want).unwrap(), &files)
    }

    #[test]
    fn safetensors_win_and_only_what_is_read_is_fetched() {
        let files = ["README.md", "a.gguf", "config.json", WEIGHTS, "pytorch.bin"];
        assert_eq!(
            choose("o/n", &files),
            Ok(Plan::Folder(vec!["config.json".into(), WEIGHTS.into()]))
        );
        assert_eq!(
            choose("o/n/a.gguf", &files),
            Ok(Plan::Gguf("a.gguf".into()))
        );
    }

    #[test]
    fn a_choice_among_ggufs_is_left_to_the_person() {
        assert_eq!(
            choose("o/n", &["only.GGUF"]),
            Ok(Plan::Gguf("only.GGUF".into()))
        );
        for want in ["o/n@v1", "o/n/c.gguf@v1"] {
            let refused = choose(want, &["a.gguf", "q/b.gguf"]).unwrap_err();
            assert!(refused.contains("hf:o/n/a.gguf@v1"), "{refused}");
            assert!(refused.contains("hf:o/n/q/b.gguf@v1"), "{refused}");
        }
        assert!(choose("o/n", &["../up.gguf"]).is_err());
        assert!(choose("o/n", &["pytorch.bin"]).is_err());
        assert!(choose("o/n", &[WEIGHTS]).is_err());
    }

    #[test]
    fn an_index_cannot_lead_out_of_the_folder() {
        let index = |file: &str| format!(r#"{{"weight_map":{{"a":"{file}","b":"{file}"}}}}"#);
        let files = shards(index("model-1.safetensors").as_bytes()).unwrap();
        assert_eq!(files.len(), 1);
        for bad in ["../x", "/x", "a/../../x", "C:x", "a\\\\b", "", "a?b", ".x"] {
            assert!(shards(index(bad).as_bytes()).is_err(), "{bad}");
        }
        assert!(shards(b"{}").is_err());
        assert!(shards(b"[").is_err());
    }
}
