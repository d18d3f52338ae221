//! The commands that only show something: `inspect`, `list`, `devices`, `pull` of what
//! is here.

use eaglet_tests::tiny::{HEADS, HIDDEN, INNER, KV_HEADS, LAYERS, Tiny};
use serde_json::json;

use crate::support::{MODEL, World};

#[test]
fn inspect_shows_the_model_and_every_tensor() {
    let world = World::with_model();
    let tiny = Tiny::talking(1);
    let object = world.run(&["inspect", "--json", MODEL]).ok().json();
    for (name, value) in [
        ("architecture", json!("llama")),
        ("layers", json!(LAYERS)),
        ("hidden", json!(HIDDEN)),
        ("intermediate", json!(INNER)),
        ("heads", json!(HEADS)),
        ("kv_heads", json!(KV_HEADS)),
        ("head_dim", json!(tiny.head_dim)),
        ("vocab", json!(tiny.vocab)),
        ("context", json!(tiny.context)),
        ("rope_theta", json!(10_000.0)),
    ] {
        assert_eq!(object[name], value, "{name}");
    }
    let tensors = object["tensors"].as_array().unwrap();
    assert_eq!(tensors.len(), tiny.tensors.len());
    let head = tensors.iter().find(|t| t["name"] == "output.weight");
    let (shape, bytes) = ([tiny.vocab, HIDDEN], tiny.vocab * HIDDEN * 4);
    let wanted =
        json!({ "name": "output.weight", "format": "F32", "shape": shape, "bytes": bytes });
    assert_eq!(head, Some(&wanted));

    let table = world.run(&["inspect", MODEL]).ok();
    assert!(
        table.out.starts_with("llama: 2 layers, hidden 64,"),
        "{table:?}"
    );
    for tensor in tensors {
        assert!(
            table.out.contains(tensor["name"].as_str().unwrap()),
            "{tensor}"
        );
    }
    assert_eq!(table.err, "");
    world.assert_untouched();
}

#[test]
fn inspect_reads_a_folder_as_it_reads_a_file() {
    let world = World::with_model();
    let (config, tensors) = Tiny::talking(1).folder();
    world.write("folder/config.json", config);
    world.write("folder/model.safetensors", tensors);
    let file = world.run(&["inspect", "--json", MODEL]).ok().json();
    let folder = world.run(&["inspect", "--json", "folder"]).ok().json();
    for name in ["layers", "hidden", "heads", "head_dim", "vocab", "context"] {
        assert_eq!(folder[name], file[name], "{name}");
    }
    assert_eq!(
        folder["tensors"].as_array().unwrap().len(),
        file["tensors"].as_array().unwrap().len()
    );
}

#[test]
fn list_shows_what_the_home_holds() {
    let world = World::new();
    let empty = world.run(&["list"]).ok();
    assert_eq!(empty.out, "");
    assert!(empty.err.contains("eaglet pull"), "{empty:?}");
    assert_eq!(world.run(&["list", "--json"]).ok().json(), json!([]));
    assert_eq!(world.run(&["list", "--quiet"]).ok().err, "");
    world.assert_untouched();

    let name = "smollm2-135m-instruct";
    let manifest = json!({ "name": name, "source": "test", "file": "a.gguf" });
    let folder = format!("home/models/{name}");
    world.write(&format!("{folder}/eaglet.json"), manifest.to_string());
    world.write(
        &format!("{folder}/a.gguf"),
        Tiny::talking(1).gguf_with_text(),
    );
    let path = world.path().join(&folder).join("a.gguf");
    let models = world.run(&["list", "--json"]).ok().json();
    assert_eq!(models[0]["name"], name);
    assert_eq!(models[0]["path"], path.to_str().unwrap());
    assert!(models[0]["bytes"].as_u64() > Some(path.metadata().unwrap().len()));
    let table = world.run(&["list"]).ok();
    assert!(table.out.contains(name) && table.out.contains(path.to_str().unwrap()));

    // What is listed is found by its name, and is the default of every command.
    let pulled = world.run(&["pull"]).ok();
    assert_eq!(pulled.out.trim_end(), path.to_str().unwrap());
    assert!(pulled.err.contains("already here"), "{pulled:?}");
    let object = world.run(&["inspect", "--json"]).ok().json();
    assert_eq!(object["layers"], LAYERS);
    let report = world
        .run(&["generate", "--json", "-n", "3", "Hi"])
        .ok()
        .json();
    assert_eq!(report["model"], name);
}

#[test]
fn devices_shows_each_kind_and_whether_it_works() {
    let run = World::new().run(&["devices"]).ok();
    let line = |name: &str| {
        let at = run.out.lines().position(|line| line.starts_with(name));
        at.unwrap_or_else(|| panic!("no line for {name}: {run:?}"))
    };
    let lines: Vec<&str> = run.out.lines().collect();
    // Best first; a kind that has no device here says why.
    assert!(line("cuda:0 ") < line("wgpu:0 ") && line("wgpu:0 ") < line("cpu "));
    assert!(lines[line("cpu ")].contains("threads"), "{run:?}");
    assert!(lines[line("cpu ") + 1].contains("GB/s"), "{run:?}");
    assert_eq!(run.out.matches("--device auto").count(), 1, "{run:?}");
    for line in lines.iter().filter(|line| line.contains("self-test")) {
        assert!(line.contains("passed"), "{run:?}");
    }
}

#[test]
fn help_and_version_go_to_standard_output() {
    let world = World::new();
    for command in ["generate", "chat", "pull", "list", "inspect", "devices"] {
        let help = world.run(&[command, "--help"]).ok();
        assert!(help.out.contains("Usage: eaglet"), "{help:?}");
        assert_eq!(help.err, "");
        assert!(world.run(&["--help"]).ok().out.contains(command));
    }
    let version = world.run(&["--version"]).ok().out;
    assert_eq!(version, format!("eaglet {}\n", env!("CARGO_PKG_VERSION")));
}
