//! Progress on standard error: bars on a terminal, plain lines elsewhere.

use std::borrow::Cow;
use std::io::{self, IsTerminal, Write};
use std::time::{Duration, Instant};

use indicatif::{HumanBytes, HumanDuration, ProgressBar, ProgressStyle};

const TEMPLATE: &str =
    "{msg} [{wide_bar:.cyan/blue}] {bytes}/{total_bytes} {bytes_per_sec} ({eta})";

const STEPS: &str = "{prefix} [{wide_bar:.cyan/blue}] {pos}/{len} {msg} ({eta})";
/// Between two lines of a long task, off a terminal.
const EVERY: Duration = Duration::from_secs(30);

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

    /// Starts a long task of `count` steps, with an estimate of the time left.
    pub fn steps(self, task: &'static str, count: usize) -> Steps {
        let bar = match self {
            Self::Bars => {
                let style = ProgressStyle::with_template(STEPS)
                    .unwrap_or_else(|_| ProgressStyle::default_bar());
                ProgressBar::new(count as u64)
                    .with_style(style)
                    .with_prefix(task)
            }
            Self::Lines | Self::Silent => ProgressBar::hidden().with_prefix(task),
        };
        bar.set_length(count as u64);
        Steps {
            progress: self,
            bar,
            skipped: 0,
            start: Instant::now(),
            told: Instant::now(),
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

/// A long task: a live bar on a terminal, else a line every half minute.
#[derive(Debug)]
pub struct Steps {
    progress: Progress,
    bar: ProgressBar,
    skipped: u64,
    start: Instant,
    told: Instant,
}

impl Steps {
    /// One step is done.
    pub fn step(&self) {
        self.bar.inc(1);
    }

    /// One step was done by an earlier run: it tells nothing about the time left.
    pub fn skip(&mut self) {
        self.skipped += 1;
        self.bar.inc(1);
        self.bar.reset_eta();
    }

    /// Shows how it goes, where and when it is time to.
    pub fn tell(&mut self, news: impl FnOnce() -> String) {
        let due = match self.progress {
            Progress::Silent => false,
            Progress::Lines => self.told.elapsed() > EVERY,
            Progress::Bars => self.told.elapsed() > EVERY / 100,
        };
        if !due {
            return;
        }
        self.told = Instant::now();
        let news = news();
        if self.progress == Progress::Lines {
            let (done, all) = (self.bar.position(), self.bar.length().unwrap_or(0));
            let fresh = (done - self.skipped).max(1) as u32;
            let left = self.start.elapsed() / fresh * (all - done.min(all)) as u32;
            let left = HumanDuration(left);
            let task = self.bar.prefix();
            self.progress
                .note(format!("{task}: {done}/{all}, {news}, {left} left"));
        }
        self.bar.set_message(news);
    }

    /// Takes the bar away.
    pub fn finish(&self) {
        self.bar.finish_and_clear();
    }
}
