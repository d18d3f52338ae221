//! A scratch folder and the real binary, with asserts that say what was run.

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Stdio};

use eaglet_tests::tiny::Tiny;
use serde_json::Value;
use tempfile::TempDir;

/// The name of the model that [`World::with_model`] makes.
pub const MODEL: &str = "tiny.gguf";

/// A folder to work in, and in it a home that does not exist until something is kept.
pub struct World(TempDir);

impl World {
    pub fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    /// With a model that talks.
    pub fn with_model() -> Self {
        let world = Self::new();
        world.write(MODEL, Tiny::talking(1).gguf_with_text());
        world
    }

    /// With a model that never ends by itself and has a context that takes minutes to
    /// fill: for what must happen during an answer.
    pub fn with_endless_model() -> Self {
        let world = Self::new();
        let mut tiny = Tiny::talking(1);
        tiny.context = 1 << 17;
        world.write(MODEL, tiny.gguf_with_text());
        world
    }

    pub fn path(&self) -> &Path {
        self.0.path()
    }

    pub fn home(&self) -> PathBuf {
        self.path().join("home")
    }

    pub fn write(&self, name: &str, content: impl AsRef<[u8]>) {
        let path = self.path().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, content).unwrap();
    }

    /// The bare command, in the scratch folder and away from the network.
    pub fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_eaglet"));
        command
            .args(args)
            .current_dir(self.path())
            .env("EAGLET_HOME", self.home())
            .env("EAGLET_OFFLINE", "1")
            .env_remove("HF_ENDPOINT")
            // A dumb terminal has prompts written to it even through a pipe.
            .env("TERM", "xterm");
        command
    }

    pub fn run(&self, args: &[&str]) -> Run {
        self.run_with(args, "")
    }

    /// Runs with `input` on standard input.
    pub fn run_with(&self, args: &[&str], input: impl AsRef<[u8]>) -> Run {
        let mut command = self.command(args);
        command.stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.stderr(Stdio::piped()).spawn().unwrap();
        // A command that refuses its options closes the pipe unread.
        let _ = child.stdin.take().unwrap().write_all(input.as_ref());
        let output = child.wait_with_output().unwrap();
        Run {
            what: args.join(" "),
            status: output.status,
            out: String::from_utf8(output.stdout).unwrap(),
            err: String::from_utf8(output.stderr).unwrap(),
        }
    }

    /// `eaglet generate` with [`MODEL`].
    pub fn generate(&self, args: &[&str]) -> Run {
        self.run(&[&["generate", "--model", MODEL], args].concat())
    }

    /// The object that `eaglet generate --json` prints.
    pub fn report(&self, args: &[&str]) -> Value {
        self.generate(&[&["--json"], args].concat()).ok().json()
    }

    /// The same where verifying costs nothing, so that a round verifies what it drafts,
    /// however busy the machine is: with costs made up after a first run that measures.
    pub fn report_free(&self, args: &[&str]) -> Value {
        self.report(args);
        for file in fs::read_dir(self.home().join("costs"))
            .into_iter()
            .flatten()
        {
            let free = r#"{"starts": 9, "seconds": [[1, 1.0], [64, 1.0]]}"#;
            fs::write(file.unwrap().path(), free).unwrap();
        }
        self.report(args)
    }

    /// Asserts that nothing is in the home but what passes cost, if anything is.
    pub fn assert_untouched(&self) {
        let entries = fs::read_dir(self.home()).into_iter().flatten();
        for entry in entries.flatten() {
            assert_eq!(entry.file_name(), "costs", "was written");
        }
    }
}

/// What a finished command said.
#[derive(Debug)]
pub struct Run {
    what: String,
    status: ExitStatus,
    pub out: String,
    pub err: String,
}

impl Run {
    pub fn code(&self) -> Option<i32> {
        self.status.code()
    }

    /// Asserts success.
    #[track_caller]
    pub fn ok(self) -> Self {
        assert_eq!(self.code(), Some(0), "eaglet {}: {self:?}", self.what);
        self
    }

    /// Asserts that the input was refused: exit code 2, nothing on standard output, and
    /// one message that holds all of `wanted`.
    #[track_caller]
    pub fn refused(self, wanted: &[&str]) {
        assert_eq!(self.code(), Some(2), "{self:?}");
        assert_eq!(self.out, "", "{self:?}");
        assert!(self.err.starts_with("error:"), "{self:?}");
        assert!(!self.err.contains("panicked"), "{self:?}");
        assert!(!self.err.contains('\x1b'), "colours off a terminal");
        for wanted in wanted {
            assert!(self.err.contains(wanted), "no {wanted:?} in {self:?}");
        }
    }

    /// Standard output as JSON.
    #[track_caller]
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.out).unwrap_or_else(|e| panic!("{e}: {self:?}"))
    }
}
