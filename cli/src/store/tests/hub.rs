//! The hub's way: repositories, shards, interruptions, and hubs that misbehave.

use std::fs;
use std::path::PathBuf;

use tempfile::TempDir;

use super::super::Error;
use super::super::hub::Hub;
use super::stub::Stub;
use super::{Fetch, ModelRef, Result, SILENT, Store, assert_untouched, store};

const GGUF: &[u8] = b"0123456789 a small model";
const INDEX: &[u8] = br#"{"weight_map":{"a":"w-1.safetensors","b":"w-2.safetensors"}}"#;

struct World {
    root: TempDir,
    hub: Stub,
}

impl World {
    fn new(files: &[(&str, &[u8])]) -> Self {
        Self {
            root: tempfile::tempdir().unwrap(),
            hub: Stub::new(files),
        }
    }

    fn store(&self) -> Store {
        Store {
            hub: Hub {
                endpoint: Some(self.hub.url.clone()),
                token: None,
            },
            ..store(self.root.path())
        }
    }

    fn fetch(&self, model: &str) -> Result<PathBuf> {
        let model = ModelRef::parse(model)?;
        self.store().fetch(&model, Fetch::Missing, SILENT)
    }

    fn refusal(&self, model: &str) -> Error {
        let error = self.fetch(model).unwrap_err();
        assert_untouched(&self.store());
        error
    }
}

fn sharded() -> World {
    World::new(&[
        ("README.md", b"not fetched"),
        ("config.json", b"{}"),
        ("tokenizer.json", b"{}"),
        ("model.safetensors.index.json", INDEX),
        ("w-1.safetensors", b"the first shard"),
        ("w-2.safetensors", b"the second shard"),
    ])
}

#[test]
fn a_sharded_repository_becomes_one_folder() {
    let world = sharded();
    let path = world.fetch("hf:o/n").unwrap();
    let mut names: Vec<_> = fs::read_dir(&path)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    let wanted = [
        "config.json",
        "eaglet.json",
        "model.safetensors.index.json",
        "tokenizer.json",
        "w-1.safetensors",
        "w-2.safetensors",
    ];
    assert_eq!(names, wanted);
    assert_eq!(
        fs::read(path.join("w-2.safetensors")).unwrap(),
        b"the second shard"
    );

    // No second copy stays behind, and nothing more is asked of the hub.
    let hub = fs::read_dir(world.root.path().join("hub")).unwrap();
    assert_eq!(hub.count(), 0);
    let asked = world.hub.state.lock().unwrap().requests.len();
    let store = world.store();
    let model = ModelRef::parse("hf:o/n").unwrap();
    assert_eq!(store.fetch(&model, Fetch::Never, SILENT).unwrap(), path);
    assert_eq!(world.hub.state.lock().unwrap().requests.len(), asked);
    assert_eq!(store.models().unwrap()[0].name, "hf:o/n");
}

#[test]
fn one_file_and_its_revision_are_a_model_of_their_own() {
    let world = World::new(&[("q/a.gguf", GGUF), ("b.gguf", b"other")]);
    let error = world.refusal("hf:o/n").to_string();
    assert!(error.contains("hf:o/n/q/a.gguf"), "{error}");

    for model in ["hf:o/n/q/a.gguf", "hf:o/n/q/a.gguf@v1"] {
        let path = world.fetch(model).unwrap();
        assert!(path.ends_with("q/a.gguf"), "{path:?}");
        assert_eq!(fs::read(path).unwrap(), GGUF);
    }
    let names: Vec<_> = world.store().models().unwrap();
    let names: Vec<_> = names.into_iter().map(|model| model.name).collect();
    assert_eq!(names, ["hf:o/n/q/a.gguf", "hf:o/n/q/a.gguf@v1"]);
}

#[test]
fn an_interrupted_download_goes_on() {
    let world = World::new(&[("a.gguf", GGUF)]);
    world.hub.state.lock().unwrap().cut = Some(("a.gguf".into(), 10));
    let error = world.refusal("hf:o/n");
    assert!(error.may_pass(), "{error}");
    assert!(error.to_string().contains("a.gguf"), "{error}");

    let path = world.fetch("hf:o/n").unwrap();
    assert_eq!(fs::read(path).unwrap(), GGUF);
    let ranges = world.hub.ranges("a.gguf");
    assert_eq!(ranges.last().unwrap(), "10-", "{ranges:?}");
}

#[test]
fn shards_that_are_whole_are_not_fetched_again() {
    let world = sharded();
    world.hub.state.lock().unwrap().cut = Some(("w-2.safetensors".into(), 3));
    world.refusal("hf:o/n");
    world.fetch("hf:o/n").unwrap();
    let whole = |range: &String| range == "0-";
    let ranges = world.hub.ranges("w-1.safetensors");
    assert_eq!(ranges.iter().filter(|range| whole(range)).count(), 1);
}

#[test]
fn a_push_between_two_halves_does_not_mix_models() {
    let world = sharded();
    world.hub.state.lock().unwrap().cut = Some(("w-2.safetensors".into(), 3));
    world.refusal("hf:o/n");
    {
        let mut state = world.hub.state.lock().unwrap();
        state.commit = "beef".into();
        for file in state.files.values_mut() {
            if file.starts_with(b"the") {
                file.make_ascii_uppercase();
            }
        }
    }
    let path = world.fetch("hf:o/n").unwrap();
    for (file, content) in [("w-1", "THE FIRST SHARD"), ("w-2", "THE SECOND SHARD")] {
        let file = path.join(file).with_extension("safetensors");
        assert_eq!(fs::read_to_string(file).unwrap(), content);
    }
}

#[test]
fn a_hub_that_cannot_resume_costs_a_restart_and_no_more() {
    let world = World::new(&[("a.gguf", GGUF)]);
    {
        let mut state = world.hub.state.lock().unwrap();
        state.cut = Some(("a.gguf".into(), 10));
        state.ignore_range = true;
    }
    world.refusal("hf:o/n");
    let error = world.refusal("hf:o/n");
    assert!(matches!(error, Error::Damaged { .. }), "{error}");
    assert_eq!(fs::read(world.fetch("hf:o/n").unwrap()).unwrap(), GGUF);
}

#[test]
fn other_bytes_than_announced_are_thrown_away() {
    let world = World::new(&[("a.gguf", GGUF)]);
    world.hub.state.lock().unwrap().etag = Some("0".repeat(64));
    let error = world.refusal("hf:o/n");
    assert!(matches!(error, Error::Damaged { .. }), "{error}");
    world.hub.state.lock().unwrap().etag = None;
    world.fetch("hf:o/n").unwrap();
}

#[test]
fn what_does_not_exist_is_named() {
    let world = World::new(&[("a.gguf", GGUF)]);
    let error = world.refusal("hf:o/missing");
    assert!(matches!(error, Error::HubRefused { .. }), "{error}");
    assert!(error.to_string().contains("HF_TOKEN"), "{error}");
    let error = world.refusal("hf:o/n/b.gguf");
    assert!(error.to_string().contains("hf:o/n/a.gguf"), "{error}");
}

#[test]
fn names_from_the_hub_stay_inside() {
    let world = World::new(&[("../a.gguf", GGUF)]);
    assert!(matches!(world.refusal("hf:o/n"), Error::HubRefused { .. }));

    let world = World::new(&[("a.gguf", GGUF)]);
    for etag in ["../../../x", "/x", "", "."] {
        world.hub.state.lock().unwrap().etag = Some(etag.into());
        let error = world.refusal("hf:o/n");
        assert!(matches!(error, Error::HubRefused { .. }), "{error}");
    }
    world.hub.state.lock().unwrap().commit = "../x".into();
    assert!(matches!(world.refusal("hf:o/n"), Error::HubRefused { .. }));
}

#[test]
fn no_network_may_pass() {
    let root = tempfile::tempdir().unwrap();
    let model = ModelRef::parse("hf:o/n").unwrap();
    let error = store(root.path()).fetch(&model, Fetch::Missing, SILENT);
    assert!(error.unwrap_err().may_pass());
}
