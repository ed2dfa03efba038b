//! `docs/long-runs.toml`: of each test with a long form, how its last one ended.
//!
//! Invariant: one entry a test, in the order of the faults, so that a run changes few lines.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result};
use serde::Deserialize;

const PATH: &str = "docs/long-runs.toml";
const INTRODUCTION: &str =
    "# Written by `cargo xtask long-faults`, one entry a test: how its last long form ended.\n";

/// All of them.
#[derive(Clone, PartialEq, Eq, Default, Debug, Deserialize)]
pub(crate) struct Runs {
    /// In the order of the file.
    #[serde(default, rename = "run")]
    pub(crate) all: Vec<Run>,
}

/// One test.
#[derive(Clone, PartialEq, Eq, Debug, Deserialize)]
pub(crate) struct Run {
    /// The number of the fault.
    pub(crate) fault: u8,
    /// The package, and the test with its modules.
    pub(crate) package: String,
    pub(crate) test: String,
    /// How often it did what it repeats, and how often it would have.
    pub(crate) rounds: u64,
    pub(crate) of: u64,
    pub(crate) seconds: u64,
    /// Whether it ended well.
    pub(crate) passed: bool,
    /// The day, and the state of the repository.
    pub(crate) date: String,
    pub(crate) commit: String,
}

/// How far the loops of a test came.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub(super) struct Reached {
    rounds: u64,
    of: u64,
    seconds: u64,
}

impl Run {
    pub(super) fn new(
        package: &str,
        test: &str,
        reached: &Reached,
        passed: bool,
        date: &str,
        commit: &str,
    ) -> Result<Self> {
        let (fault, _) = named(test).with_context(|| format!("{test} is not called fault_NN_..."))?;
        Ok(Self {
            fault,
            package: package.to_owned(),
            test: test.to_owned(),
            rounds: reached.rounds,
            of: reached.of,
            seconds: reached.seconds,
            passed,
            date: date.to_owned(),
            commit: commit.to_owned(),
        })
    }

    /// What the test is about, in words.
    pub(crate) fn subject(&self) -> String {
        named(&self.test).map_or(self.test.as_str(), |(_, subject)| subject).replace('_', " ")
    }
}

/// The number of the fault that a test is about, and what it says of it.
fn named(test: &str) -> Option<(u8, &str)> {
    let name = test.rsplit("::").next()?;
    let (number, subject) = name.strip_prefix("fault_")?.split_once('_')?;
    Some((number.parse().ok()?, subject))
}

impl Runs {
    /// Those that are kept; none where nothing is.
    ///
    /// # Errors
    /// When the file is not what it should be.
    pub(crate) fn read(root: &Path) -> Result<Self> {
        match fs::read_to_string(root.join(PATH)) {
            Ok(text) => toml::from_str(&text).with_context(|| format!("cannot understand {PATH}")),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(Self::default()),
            Err(error) => Err(error).with_context(|| format!("cannot read {PATH}")),
        }
    }

    /// In place of what is known of the same test.
    pub(super) fn put(&mut self, run: Run) {
        self.all.retain(|one| (&one.package, &one.test) != (&run.package, &run.test));
        self.all.push(run);
        self.all.sort_by(|a, b| (a.fault, &a.package, &a.test).cmp(&(b.fault, &b.package, &b.test)));
    }

    pub(super) fn write(&self, root: &Path) -> Result<()> {
        fs::write(root.join(PATH), self.text()).with_context(|| format!("cannot write {PATH}"))
    }

    fn text(&self) -> String {
        let one = |run: &Run| {
            let Run { fault, package, test, rounds, of, seconds, passed, date, commit } = run;
            format!(
                "\n[[run]]\nfault = {fault}\npackage = \"{package}\"\ntest = \"{test}\"\nrounds = {rounds}\n\
                 of = {of}\nseconds = {seconds}\npassed = {passed}\ndate = \"{date}\"\ncommit = \"{commit}\"\n"
            )
        };
        INTRODUCTION.to_owned() + &self.all.iter().map(one).collect::<String>()
    }
}

/// What the loops of a test have left, all together; `None` when it has none.
///
/// # Errors
/// When they cannot be read.
pub(super) fn reached(folder: &Path, package: &str, test: &str) -> Result<Option<Reached>> {
    let mut all = None::<Reached>;
    for loop_idx in 0.. {
        let Ok(text) = fs::read_to_string(folder.join(format!("{package} {test} {loop_idx}"))) else { break };
        let mut numbers = text.split_whitespace().map(str::parse::<u64>);
        let mut number = || numbers.next().context("a number is missing")?.context("no number");
        let all = all.get_or_insert_default();
        all.rounds += number()?;
        all.of += number()?;
        all.seconds += number()?;
    }
    Ok(all)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(package: &str, test: &str, rounds: u64) -> Run {
        let reached = Reached { rounds, of: 9, seconds: 2 };
        Run::new(package, test, &reached, true, "2026-11-22", "abc").unwrap()
    }

    #[test]
    fn a_test_of_no_fault_is_refused() {
        for name in ["fault_of_mine", "x::fault_300_y", "fault_14", "default_14_y"] {
            assert!(Run::new("a", name, &Reached::default(), true, "", "").is_err(), "{name}");
        }
    }

    #[test]
    fn the_last_run_of_a_test_is_kept_in_the_order_of_faults() {
        let mut runs = Runs::default();
        for one in [("b", "x::fault_14_y", 1), ("a", "fault_03_z", 2), ("b", "x::fault_14_y", 3)] {
            runs.put(run(one.0, one.1, one.2));
        }
        let kept: Vec<_> = runs.all.iter().map(|one| (one.fault, one.rounds, one.subject())).collect();
        assert_eq!(kept, [(3, 2, "z".to_owned()), (14, 3, "y".to_owned())]);
        assert_eq!(toml::from_str::<Runs>(&runs.text()).unwrap(), runs);
    }

    #[test]
    fn loops_of_one_test_are_added_up() {
        let folder = std::env::temp_dir().join(format!("long-faults-{}", std::process::id()));
        fs::create_dir_all(&folder).unwrap();
        fs::write(folder.join("a t 0"), "3 9 1\n").unwrap();
        fs::write(folder.join("a t 1"), "4 9 2\n").unwrap();
        let found = (reached(&folder, "a", "t").unwrap(), reached(&folder, "a", "u").unwrap());
        fs::remove_dir_all(&folder).unwrap();
        assert_eq!(found, (Some(Reached { rounds: 7, of: 18, seconds: 3 }), None));
    }
}
