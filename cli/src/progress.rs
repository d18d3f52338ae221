//! Progress on standard error: bars on a terminal, plain lines elsewhere.

use std::borrow::Cow;
use std::io::{self, IsTerminal, Write};

use indicatif::{HumanBytes, ProgressBar, ProgressStyle};

const TEMPLATE: &str =
    "{msg} [{wide_bar:.cyan/blue}] {bytes}/{total_bytes} {bytes_per_sec} ({eta})";

/// Where news about a long task goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Progress {
    /// Nowhere (`--quiet`).
    Silent,
    /// One plain line a task: standard error is a file or a pipe.
    Lines,
    /// A live bar: standard error is a terminal.
    Bars,
}

impl Progress {
    /// What suits this process's standard error.
    pub fn new(quiet: bool) -> Self {
        match (quiet, io::stderr().is_terminal()) {
            (true, _) => Self::Silent,
            (false, false) => Self::Lines,
            (false, true) => Self::Bars,
        }
    }

    /// Tells the person one thing.
    pub fn note(self, text: impl AsRef<str>) {
        if self != Self::Silent {
            // A closed standard error must not stop the work.
            let _ = writeln!(io::stderr(), "{}", text.as_ref());
        }
    }

    /// Starts a task of a few steps; only a terminal sees it.
    pub fn spinner(self, task: &'static str) -> ProgressBar {
        match self {
            Self::Bars => {
                let style = ProgressStyle::with_template("{msg} [{bar:30.cyan/blue}] {pos}/{len}");
                let style = style.unwrap_or_else(|_| ProgressStyle::default_bar());
                ProgressBar::new(1).with_style(style).with_message(task)
            }
            Self::Lines | Self::Silent => ProgressBar::hidden(),
        }
    }

    /// Starts a task of `bytes` bytes. The bar may be updated freely in every mode:
    /// off a terminal it draws nothing after its first line.
    pub fn bar(self, task: impl Into<Cow<'static, str>>, bytes: u64) -> ProgressBar {
        let task = task.into();
        match self {
            Self::Bars => {
                let style = ProgressStyle::with_template(TEMPLATE)
                    .unwrap_or_else(|_| ProgressStyle::default_bar());
                ProgressBar::new(bytes).with_style(style).with_message(task)
            }
            Self::Lines | Self::Silent => {
                self.note(format!("{task} ({})", HumanBytes(bytes)));
                ProgressBar::hidden()
            }
        }
    }
}
