//! Runs commands one after the other, with their times and a closing summary.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::LazyLock;
use std::time::{Duration, Instant};

use crate::requirements::{Requirement, provide};

/// One command of a chore.
#[derive(Debug)]
pub struct Step {
    /// What the summary calls it.
    pub name: &'static str,
    /// Arguments of cargo.
    pub cargo: &'static str,
    /// What it cannot do without.
    pub needs: &'static [&'static Requirement],
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Outcome {
    Passed(Duration),
    Failed(Duration),
    /// What was missing.
    Skipped(&'static str),
    NotReached,
}

/// Runs `steps` up to the first that fails. A step whose needs are missing is skipped,
/// or, with `strict`, is a failure before anything runs.
pub fn run<'a>(steps: impl IntoIterator<Item = &'a Step>, strict: bool) -> Result<(), String> {
    let steps: Vec<_> = steps.into_iter().collect();
    run_while(&steps, strict, |before| {
        !matches!(before, Outcome::Failed(_) | Outcome::NotReached)
    })
}

/// The same, but a step that fails does not keep the others from being run: for figures,
/// each of which stands by itself.
pub fn run_all(steps: &[&Step], strict: bool) -> Result<(), String> {
    run_while(steps, strict, |_| true)
}

/// Goes on as long as `goes_on` says so of the last step's outcome.
fn run_while(
    steps: &[&Step],
    strict: bool,
    goes_on: impl Fn(&Outcome) -> bool,
) -> Result<(), String> {
    let mut needs: Vec<&Requirement> = Vec::new();
    for &need in steps.iter().flat_map(|step| step.needs) {
        if !needs.iter().any(|known| known.name == need.name) {
            needs.push(need);
        }
    }
    let missing = provide(&needs);
    if strict && !missing.is_empty() {
        let names: Vec<_> = missing.iter().map(|need| need.name).collect();
        return Err(format!("this machine lacks: {}", names.join(", ")));
    }
    let lacks = |need: &Requirement| missing.iter().any(|lost| lost.name == need.name);
    let mut outcomes = Vec::new();
    for step in steps {
        outcomes.push(if !outcomes.last().is_none_or(&goes_on) {
            Outcome::NotReached
        } else if let Some(need) = step.needs.iter().find(|need| lacks(need)) {
            Outcome::Skipped(need.name)
        } else {
            cargo(step)
        });
    }
    summarise(steps, &outcomes)
}

fn cargo(step: &Step) -> Outcome {
    println!("\n=== {}: cargo {}", step.name, step.cargo);
    let start = Instant::now();
    let program = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let status = Command::new(program)
        .args(step.cargo.split(' '))
        .current_dir(root())
        .envs(runtime_dir())
        .status();
    match status {
        Ok(status) if status.success() => Outcome::Passed(start.elapsed()),
        Ok(_) => Outcome::Failed(start.elapsed()),
        Err(error) => {
            eprintln!("cannot run cargo: {error}");
            Outcome::Failed(start.elapsed())
        }
    }
}

/// A folder of this user's own, which graphics drivers complain about the lack of.
fn runtime_dir() -> Option<(&'static str, PathBuf)> {
    const NAME: &str = "XDG_RUNTIME_DIR";
    if std::env::var_os(NAME).is_some() || !cfg!(unix) {
        return None;
    }
    let folder = std::env::temp_dir().join("eaglet-xtask-runtime");
    let made = Command::new("mkdir")
        .args(["-p", "-m", "700"])
        .arg(&folder)
        .status();
    made.is_ok_and(|made| made.success())
        .then_some((NAME, folder))
}

/// The workspace, wherever the chore was called from.
pub fn root() -> &'static Path {
    // As cargo says when it runs this: what it was built in may be another checkout, with which
    // this one shares a build folder.
    static HERE: LazyLock<PathBuf> = LazyLock::new(|| {
        let here = std::env::var_os("CARGO_MANIFEST_DIR");
        here.map_or_else(|| env!("CARGO_MANIFEST_DIR").into(), PathBuf::from)
    });
    HERE.parent().unwrap_or(&HERE)
}

/// Where cargo builds.
pub fn target_dir() -> PathBuf {
    std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| root().join("target"), PathBuf::from)
}

fn summarise(steps: &[&Step], outcomes: &[Outcome]) -> Result<(), String> {
    println!("\n=== summary");
    let mut failed = None;
    for (step, outcome) in steps.iter().zip(outcomes) {
        let name = step.name;
        match outcome {
            Outcome::Passed(time) => println!("ok       {name:16} {:7.1} s", time.as_secs_f64()),
            Outcome::Failed(time) => {
                failed = Some(name);
                println!("FAILED   {name:16} {:7.1} s", time.as_secs_f64());
            }
            Outcome::Skipped(need) => println!("skipped  {name:16} {need} is missing"),
            Outcome::NotReached => println!("-        {name:16} not reached"),
        }
    }
    failed.map_or(Ok(()), |name| Err(format!("{name} failed")))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn step(cargo: &'static str) -> Step {
        Step {
            name: cargo,
            cargo,
            needs: &[],
        }
    }

    #[test]
    fn the_first_failure_stops_the_chore_and_names_itself() {
        assert_eq!(run(&[step("--version")], true), Ok(()));
        let steps = [step("--version"), step("--no-such-flag"), step("--list")];
        let error = run(&steps, true).unwrap_err();
        assert_eq!(error, "--no-such-flag failed");
        let outcome = run_all(&steps.iter().collect::<Vec<_>>(), true);
        assert_eq!(outcome, Err("--no-such-flag failed".into()));
    }
}
