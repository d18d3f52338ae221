//! What passes cost is measured once and kept.

use std::fs;
use std::path::PathBuf;

use serde_json::json;

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
    let table: Vec<(usize, f64)> = serde_json::from_slice(&fs::read(file).unwrap()).unwrap();
    assert_eq!(table.first().unwrap().0, 1);
    assert!(table.last().unwrap().0 >= 8);

    // A table that is there is believed, as it stands.
    let known = json!([[1, 0.5], [16, 0.5]]).to_string();
    fs::write(file, &known).unwrap();
    assert_eq!(ids(&[]), plain);
    assert_eq!(fs::read_to_string(file).unwrap(), known);

    // Other weights and other threads have costs of their own.
    ids(&["--dtype", "f16"]);
    ids(&["--threads", "1"]);
    assert_eq!(files(&world).len(), 3);
}

#[test]
fn damaged_and_narrow_tables_are_measured_anew() {
    let world = World::with_model();
    let plain = world.report(&["Hi", "-n", "12", "--method", "plain"])["ids"].clone();
    world.report(&["Hi", "-n", "12"]);
    let file = files(&world).remove(0);
    for broken in [
        "",
        "{",
        "[[1, -3.0]]",
        "[[4, 1.0]]",
        "[]",
        "[[1, 1.0], [2, 1.1]]",
    ] {
        fs::write(&file, broken).unwrap();
        assert_eq!(world.report(&["Hi", "-n", "12"])["ids"], plain);
        assert_ne!(fs::read_to_string(&file).unwrap(), broken);
    }
    // Where nothing can be kept, decoding goes on without.
    fs::remove_dir_all(world.home().join("costs")).unwrap();
    world.write("home/costs", "in the way");
    assert_eq!(world.report(&["Hi", "-n", "12"])["ids"], plain);
}
