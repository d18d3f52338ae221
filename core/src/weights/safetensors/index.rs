//! `model.safetensors.index.json`: which shard holds which tensor.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Component, Path};

use serde::Deserialize;

use crate::error::{Error, Result};

/// The index's name in its folder.
pub(super) const FILE: &str = "model.safetensors.index.json";

#[derive(Deserialize)]
struct Index {
    weight_map: BTreeMap<String, String>,
}

/// Tensor names to shard names. A shard must lie in the folder itself: an index that
/// names anything else could make us read any file of the machine.
pub(super) fn parse(path: &Path, json: &[u8]) -> Result<BTreeMap<String, String>> {
    let invalid = |rule| Error::Format {
        path: path.into(),
        format: "safetensors index",
        rule,
    };
    let Index { weight_map } =
        serde_json::from_slice(json).map_err(|error| invalid(error.to_string()))?;
    for shard in weight_map.values() {
        let mut parts = Path::new(shard).components();
        let is_plain = matches!(
            (parts.next(), parts.next()),
            (Some(Component::Normal(_)), None)
        );
        if !is_plain || shard.contains(['/', '\\']) {
            return Err(invalid(format!(
                "a shard must be a file in the folder, found `{shard}`"
            )));
        }
    }
    Ok(weight_map)
}

/// The shards, each once, in the order of their names.
pub(super) fn shards(weight_map: &BTreeMap<String, String>) -> BTreeSet<&String> {
    weight_map.values().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shards_outside_the_folder_are_refused() {
        for shard in [
            "../other",
            "/etc/passwd",
            "a/b",
            "..",
            ".",
            "",
            "a\\\\b",
            "./a",
            "a/",
        ] {
            let json = format!(r#"{{"weight_map": {{"w": "{shard}"}}}}"#);
            let message = parse(Path::new(FILE), json.as_bytes())
                .unwrap_err()
                .to_string();
            assert!(
                message.contains("a shard must be a file in the folder"),
                "{shard}: {message}"
            );
        }
    }

    #[test]
    fn each_shard_is_opened_once() {
        let json = br#"{"metadata": {}, "weight_map": {"a": "2", "b": "1", "c": "2"}}"#;
        let map = parse(Path::new(FILE), json).unwrap();
        assert_eq!(Vec::from_iter(shards(&map)), ["1", "2"]);
        assert!(
            parse(Path::new(FILE), b"{}")
                .unwrap_err()
                .to_string()
                .contains("weight_map")
        );
    }
}
