//! The project's own chores: each is one file, each fails with the one line that must be changed.
//!
//! Invariant: a chore with `--check` writes nothing.
//!
//! Must never know: how a target is read; what it needs from Slackwater it asks the binary for.

mod corpus;
mod deps;
mod generate;
mod long_faults;
mod workspace;

use std::process::ExitCode;

use anyhow::{Result, bail};

const USAGE: &str = "\
usage: cargo xtask CHORE

chores:
  deps                  check that the crates depend on each other only as the floors allow
  generate [--check]    write the pages that are made from the code, or check that they are current
  corpus [--publish] [--python PATH] [--binary PATH] [NAME...]
                        score the verdicts on tests/corpus, or on the named services of it;
                        --publish writes docs/corpus.md
  long-faults [--seconds N] [WORD...]
                        the tests of faults with their loops in full, or as long as N seconds each;
                        WORDs are for cargo nextest run, such as -p CRATE and parts of names
";

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match run(&arguments) {
        Ok(report) => {
            workspace::print(&report);
            ExitCode::SUCCESS
        }
        Err(error) => {
            workspace::complain(&error);
            ExitCode::FAILURE
        }
    }
}

fn run(arguments: &[String]) -> Result<String> {
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match words[..] {
        [] | ["-h" | "--help" | "help"] => Ok(USAGE.to_owned()),
        ["deps"] => deps::check(),
        ["generate"] => generate::run(generate::Mode::Write),
        ["generate", "--check"] => generate::run(generate::Mode::Check),
        ["long-faults", ref rest @ ..] => long_faults::run(rest),
        ["corpus", ref rest @ ..] => corpus::run(&corpus::Request::parse(rest)?),
        _ => bail!("no such chore: {}\n\n{USAGE}", words.join(" ")),
    }
}
