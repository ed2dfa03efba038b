//! `cargo xtask long-faults`: the tests of faults with their loops as long as is promised, or as there is time for.
//!
//! What came of each is kept in `docs/long-runs.toml`, from which the page of promises is made. It is written
//! after each test, so that a run that is given up leaves what it has.
//!
//! Invariant: a test that did not end well is kept as such, with how far it came.

mod outcome;
pub(crate) mod results;

use std::fs;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};

use crate::workspace;
use outcome::{Outcome, outcome};
use results::{Run, Runs};

/// Seconds that each loop may take, unless said.
const SECONDS: &str = "600";

/// Runs them; `words` are `--seconds N` and anything for `cargo nextest run`, such as `-p CRATE` or names.
///
/// # Errors
/// When a test failed, or the tests cannot be run.
pub(crate) fn run(words: &[&str]) -> Result<String> {
    let (seconds, words) = match words {
        ["--seconds", seconds, rest @ ..] => (*seconds, rest),
        rest => (SECONDS, rest),
    };
    seconds.parse::<u64>().with_context(|| format!("{seconds} are no seconds"))?;
    let root = workspace::root();
    let folder = root.join("target/long-faults");
    let _ = fs::remove_dir_all(&folder);
    fs::create_dir_all(&folder).with_context(|| format!("cannot make {}", folder.display()))?;
    let date = told_by(Command::new("date").args(["-u", "+%F"]))?;
    let commit = told_by(Command::new("git").args(["describe", "--always", "--dirty"]).current_dir(&root))?;

    let mut command = Command::new(workspace::cargo());
    command.args(["nextest", "run", "--profile", "long", "--status-level", "all", "--color", "never"]);
    if !words.contains(&"-p") {
        command.arg("--workspace");
    }
    command.args(["-E", "test(/fault_/)"]).args(words).current_dir(&root);
    command.env("SLACKWATER_LONG", seconds).env("SLACKWATER_LONG_INTO", &folder).stderr(Stdio::piped());
    let mut tests = command.spawn().context("cannot start cargo nextest")?;
    let told = tests.stderr.take().context("cargo nextest has no standard error")?;
    let (mut n_ended, mut n_failed) = (0, 0);
    for line in BufReader::new(told).lines() {
        let line = line.context("cannot read what cargo nextest says")?;
        workspace::progress(&line);
        let Some(Outcome { package, test, passed }) = outcome(&line) else { continue };
        if let Some(reached) = results::reached(&folder, package, test)? {
            n_ended += 1;
            n_failed += usize::from(!passed);
            keep(&root, Run::new(package, test, &reached, passed, &date, &commit)?)?;
        }
    }
    let status = tests.wait().context("cannot wait for cargo nextest")?;
    if n_failed > 0 || !status.success() {
        bail!("{n_failed} of {n_ended} tests with long loops failed; see docs/long-runs.toml ({status})");
    }
    Ok(format!("{n_ended} tests with long loops passed; `cargo xtask generate` publishes them\n"))
}

fn keep(root: &Path, run: Run) -> Result<()> {
    let mut runs = Runs::read(root)?;
    runs.put(run);
    runs.write(root)
}

fn told_by(command: &mut Command) -> Result<String> {
    let output = command.output().with_context(|| format!("cannot run {command:?}"))?;
    Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
}
