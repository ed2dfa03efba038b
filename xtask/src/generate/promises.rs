//! docs/promises.md: which faults are handled, by the tests that prove it.
//!
//! Invariant: a fault without a test is shown as not promised. A test belongs to fault NN when its
//! name begins with `fault_NN_`; a test that names no known fault is an error.

mod faults;

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};

use super::{Page, entries};
use crate::long_faults::results::{Run, Runs};
use faults::{FAULTS, Fault};

const INTRODUCTION: &str = "\
<!-- Made by `cargo xtask generate`. -->
# Promises

A tool that looks into production processes is judged by its worst minute. Below is every way we
know in which such a tool can hurt or mislead. What the tests of a row show is what is promised:
each is run by `make test`, which fails when one of them does. A fault without a test is
**not promised**, whatever the code intends.

";

const LONG_FORM: &str = "
## In the long form

What these tests repeat is repeated a few times by `make test`. `make long-faults` goes on up to the rounds that
are wanted, for ten minutes each at the most; this is how each ended last.

| # | test | rounds | wanted | lasted | on | commit | ended |
|--:|---|--:|--:|--:|---|---|---|
";

/// A test that belongs to a fault.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
struct Proof {
    /// The crate's folder name.
    owner: String,
    /// The test's name after `fault_NN_`.
    subject: String,
}

/// The page.
///
/// # Errors
/// Names a test whose number stands for no fault.
pub(super) fn page(root: &Path) -> Result<Page> {
    let mut proofs = BTreeMap::new();
    for folder in sources(root)? {
        let owner = folder.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        for part in ["src", "tests"] {
            collect(&folder.join(part), &owner, &mut proofs)?;
        }
    }
    for (number, found) in &proofs {
        if !FAULTS.iter().any(|fault| fault.number == *number) {
            bail!("test fault_{number:02}_{} names a fault that is not in the table", found[0].subject);
        }
    }
    let text = text(&proofs) + &long_form(&Runs::read(root)?.all);
    Ok(Page { path: "docs/promises.md".to_owned(), text })
}

fn sources(root: &Path) -> Result<Vec<PathBuf>> {
    let mut folders = entries(&root.join("crates"))?;
    folders.retain(|folder| folder.join("Cargo.toml").is_file());
    Ok(folders)
}

fn collect(folder: &Path, owner: &str, proofs: &mut BTreeMap<u8, Vec<Proof>>) -> Result<()> {
    for path in entries(folder)? {
        if path.is_dir() {
            collect(&path, owner, proofs)?;
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            let text =
                fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))?;
            for (number, subject) in tests_in(&text) {
                let found = proofs.entry(number).or_default();
                found.push(Proof { owner: owner.to_owned(), subject: subject.to_owned() });
                found.sort();
            }
        }
    }
    Ok(())
}

/// The fault tests that a source file declares: number, and name after it. A test is a function
/// under `#[test]`, other attributes in between allowed; a helper of that name is none.
fn tests_in(text: &str) -> Vec<(u8, &str)> {
    let mut tests = Vec::new();
    let mut marked = false;
    for line in text.lines().map(str::trim) {
        if line.starts_with("#[") {
            marked |= line.starts_with("#[test]");
        } else if !line.is_empty() && !line.starts_with("//") {
            let name = line.strip_prefix("fn fault_").filter(|_| marked);
            tests.extend(name.and_then(|rest| split(rest.split('(').next().unwrap_or(rest))));
            marked = false;
        }
    }
    tests
}

fn split(name: &str) -> Option<(u8, &str)> {
    let (number, subject) = name.split_once('_')?;
    Some((number.parse().ok()?, subject))
}

fn text(proofs: &BTreeMap<u8, Vec<Proof>>) -> String {
    let mut text = String::from(INTRODUCTION);
    let held = FAULTS.iter().filter(|fault| proofs.contains_key(&fault.number)).count();
    let _ = writeln!(text, "{held} of {} promises are held by tests.", FAULTS.len());
    let mut section = "";
    for fault in FAULTS {
        if fault.section != section {
            section = fault.section;
            let _ =
                write!(text, "\n## {section}\n\n| # | fault | promise | proved by |\n|--:|---|---|---|\n");
        }
        let _ = writeln!(text, "{}", row(fault, proofs.get(&fault.number).map_or(&[], Vec::as_slice)));
    }
    text
}

fn row(fault: &Fault, proofs: &[Proof]) -> String {
    let shown: Vec<String> =
        proofs.iter().map(|proof| format!("{} ({})", proof.subject.replace('_', " "), proof.owner)).collect();
    let shown = if shown.is_empty() { "**not promised**".to_owned() } else { shown.join("; ") };
    format!("| {} | {} | {} | {shown} |", fault.number, fault.fault, fault.promise)
}

/// How the long form of each test ended last.
fn long_form(runs: &[Run]) -> String {
    if runs.is_empty() {
        return String::new();
    }
    let row = |run: &Run| {
        let owner = run.package.strip_prefix("slackwater-").unwrap_or("cli");
        let ended = if run.passed { "well" } else { "**failed**" };
        format!(
            "| {} | {} ({owner}) | {} | {} | {} s | {} | {} | {ended} |\n",
            run.fault,
            run.subject(),
            run.rounds,
            run.of,
            run.seconds,
            run.date,
            run.commit
        )
    };
    LONG_FORM.to_owned() + &runs.iter().map(row).collect::<String>()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_functions_marked_as_tests_count() {
        let check = |text: &str, expected: &[(u8, &str)]| assert_eq!(tests_in(text), expected, "{text}");
        check("#[test]\nfn fault_02_stays_stopped() {", &[(2, "stays_stopped")]);
        check("    #[test]\n    // why\n    #[cfg(x)]\n    fn fault_13_init() {", &[(13, "init")]);
        check("fn fault_02_helper() {", &[]);
        check("#[test]\nfn other() {}\nfn fault_02_helper() {", &[]);
        check("#[test]\nfn fault_xx_odd() {", &[]);
        check("#[test]\nfn fault_300_odd() {", &[]);
    }

    #[test]
    fn a_fault_without_a_test_is_not_promised() {
        let proof = Proof { owner: "inject".to_owned(), subject: "stays_stopped".to_owned() };
        let text = text(&BTreeMap::from([(2, vec![proof])]));
        assert!(text.contains("| 2 | "));
        assert!(text.contains("stays stopped (inject)"));
        assert_eq!(text.matches("**not promised** |").count(), FAULTS.len() - 1);
    }

    #[test]
    fn a_long_form_that_failed_is_published_as_such() {
        let text = "[[run]]\nfault = 14\npackage = \"slackwater-collect\"\ntest = \"a::fault_14_b_c\"\nrounds = 7\n\
                    of = 9\nseconds = 60\npassed = false\ndate = \"2026-11-22\"\ncommit = \"abc\"\n";
        let runs: Runs = toml::from_str(text).unwrap();
        let row = "| 14 | b c (collect) | 7 | 9 | 60 s | 2026-11-22 | abc | **failed** |\n";
        assert!(long_form(&runs.all).ends_with(row));
        assert_eq!(long_form(&[]), "");
    }

    #[test]
    fn faults_are_numbered_without_a_hole() {
        for (index, fault) in FAULTS.iter().enumerate() {
            assert_eq!(usize::from(fault.number), index + 1);
            assert!(!fault.fault.contains('|') && !fault.promise.contains('|'));
        }
    }
}
