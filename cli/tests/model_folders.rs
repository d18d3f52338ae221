//! Safetensors folders, and paths that are no model.

use std::fs;

use eaglet_tests::tiny::Tiny;
use serde_json::{Value, json};

use crate::support::{MODEL, World};

/// A world with the folder `m`: a configuration and weights, and no tokenizer.
fn folder(change: impl FnOnce(&mut Value)) -> World {
    let world = World::new();
    let (config, tensors) = Tiny::talking(1).folder();
    let mut config = serde_json::from_slice(&config).unwrap();
    change(&mut config);
    world.write("m/config.json", config.to_string());
    world.write("m/model.safetensors", tensors);
    world
}

#[track_caller]
fn refused(world: &World, model: &str, wanted: &[&str]) {
    world
        .run(&["generate", "--model", model, "Hi"])
        .refused(wanted);
    world.assert_untouched();
}

#[test]
fn what_a_folder_lacks_is_named() {
    let world = folder(|_| ());
    refused(&world, "m", &["m/tokenizer.json"]);
    fs::remove_file(world.path().join("m/model.safetensors")).unwrap();
    refused(&world, "m", &["m/model.safetensors", "No such file"]);
    fs::remove_file(world.path().join("m/config.json")).unwrap();
    refused(&world, "m", &["m/config.json", "No such file"]);
}

#[test]
fn the_configuration_is_checked() {
    let world = folder(|config| config["model_type"] = json!("bert"));
    refused(
        &world,
        "m",
        &["m/config.json", "architecture `bert` is not supported"],
    );
    let world = folder(|config| config["num_hidden_layers"] = json!(3));
    refused(&world, "m", &["model.layers.2.", "is missing"]);
    let world = folder(|config| config["vocab_size"] = json!(1000));
    refused(
        &world,
        "m",
        &["model.embed_tokens.weight", "[1000, 64]", "[259, 64]"],
    );
    let world = folder(|config| config["hidden_size"] = json!(-1));
    refused(&world, "m", &["m/config.json"]);
    world.write("m/config.json", "{");
    refused(&world, "m", &["m/config.json", "EOF"]);
}

#[test]
fn the_weights_are_checked() {
    let world = folder(|_| ());
    let path = world.path().join("m/model.safetensors");
    let good = fs::read(&path).unwrap();
    let huge = [&u64::MAX.to_le_bytes(), &good[8..]].concat();
    for (bytes, cause) in [
        (&good[..0], "safetensors"),
        (&good[..5], "safetensors"),
        (&good[..100], "safetensors"),
        (&good[..good.len() - 1], "safetensors"),
        (&huge, "safetensors"),
        (b"GGUF\x03\0\0\0\0\0\0\0\0\0\0\0", "safetensors"),
    ] {
        fs::write(&path, bytes).unwrap();
        refused(&world, "m", &["m/model.safetensors", cause]);
    }
}

#[test]
fn paths_that_are_no_model() {
    let world = folder(|_| ());
    world.write("empty/readme.txt", "");
    refused(&world, "empty", &["empty/config.json"]);
    let lone = "m/model.safetensors";
    refused(
        &world,
        lone,
        &[lone, "the folder that holds it and its config.json"],
    );
    refused(
        &world,
        "m/none.gguf",
        &["m/none.gguf", "no such file or folder"],
    );
    refused(&world, "nonesuch", &["`nonesuch`", "smollm2-135m-instruct"]);
    refused(
        &world,
        "hf:owner/name",
        &["hf:owner/name", "eaglet pull hf:owner/name"],
    );
    refused(
        &world,
        "",
        &["offline", "eaglet pull smollm2-135m-instruct"],
    );
}

#[cfg(unix)]
#[test]
fn a_file_that_may_not_be_read() {
    use std::os::unix::fs::PermissionsExt;
    let world = World::with_model();
    let path = world.path().join(MODEL);
    fs::set_permissions(&path, fs::Permissions::from_mode(0o000)).unwrap();
    if fs::File::open(&path).is_ok() {
        eprintln!("skipped: this user may read everything");
        return;
    }
    refused(&world, MODEL, &["cannot read", MODEL, "denied"]);
}
