//! What passes cost is measured once and kept.

use std::fs;
use std::path::PathBuf;

use serde_json::{Value, json};

use crate::support::World;

/// The files of measured costs.
fn files(world: &World) -> Vec<PathBuf> {
    let entries = fs::read_dir(world.home().join("costs")).into_iter();
    let mut files: Vec<_> = entries.flatten().map(|e| e.unwrap().path()).collect();
    files.sort();
    files
}

#[test]
fn costs_are_measured_once_for_a_model_a_dtype_and_a_device() {
    let world = World::with_model();
    let ids = |args: &[&str]| world.report(&[&["Hi", "-n", "12"], args].concat())["ids"].clone();
    let plain = ids(&["--method", "plain"]);
    assert_eq!(
        files(&world).len(),
        0,
        "plain decoding has nothing to weigh"
    );

    assert_eq!(ids(&[]), plain);
    let [file] = &files(&world)[..] else {
        panic!("{:?}", files(&world));
    };
    let record = |file| -> Value { serde_json::from_slice(&fs::read(file).unwrap()).unwrap() };
    let widths = record(file)["seconds"].as_array().unwrap().clone();
    assert_eq!(widths[0][0], 1);
    assert!(widths.last().unwrap()[0].as_u64().unwrap() >= 8);

    // The next starts measure too, and the lowest times are kept; then they are believed.
    let busy = json!({"starts": 3, "seconds": [[1, 50.0], [16, 1e-9]]});
    fs::write(file, busy.to_string()).unwrap();
    assert_eq!(ids(&[]), plain);
    let known = record(file);
    assert_eq!(known["starts"], 4);
    assert!(known["seconds"][0][1].as_f64().unwrap() < 50.0);
    let widest = known["seconds"].as_array().unwrap().last().unwrap();
    assert_eq!(*widest, json!([16, 1e-9]));
    assert_eq!(ids(&[]), plain);
    assert_eq!(record(file), known);

    // Other weights, other threads and wider rounds have costs of their own.
    ids(&["--dtype", "f16"]);
    ids(&["--threads", "3"]);
    ids(&["--draft-tokens", "20"]);
    assert_eq!(files(&world).len(), 4);
    // With another rule every drafted token is verified, whatever it costs.
    let other = [
        "--temperature",
        "1",
        "--verify",
        "typical",
        "--draft-tokens",
        "64",
    ];
    ids(&other);
    assert_eq!(files(&world).len(), 4);
}

#[test]
fn damaged_tables_are_measured_anew() {
    let world = World::with_model();
    let plain = world.report(&["Hi", "-n", "12", "--method", "plain"])["ids"].clone();
    world.report(&["Hi", "-n", "12"]);
    let file = files(&world).remove(0);
    let table = |widths: &str| format!(r#"{{"starts": 9, "seconds": {widths}}}"#);
    for broken in [
        String::new(),
        "{".into(),
        table("[[1, -3.0]]"),
        table("[[4, 1.0]]"),
        table("[]"),
    ] {
        fs::write(&file, &broken).unwrap();
        assert_eq!(world.report(&["Hi", "-n", "12"])["ids"], plain);
        assert_ne!(fs::read_to_string(&file).unwrap(), broken);
    }
    // Where nothing can be kept, decoding goes on without.
    fs::remove_dir_all(world.home().join("costs")).unwrap();
    world.write("home/costs", "in the way");
    assert_eq!(world.report(&["Hi", "-n", "12"])["ids"], plain);
}
