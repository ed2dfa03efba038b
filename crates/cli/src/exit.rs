//! How the program ends: exit codes, and the three lines that explain a failure.

use std::fmt;
use std::process::ExitCode;

/// Exit codes, as `--help` documents them. Never renumbered.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) enum Exit {
    /// Done.
    Done = 0,
    /// A threshold that the user set was crossed.
    Threshold = 1,
    /// The command line does not make sense.
    Usage = 2,
    /// The kernel does not permit it.
    Denied = 3,
    /// The target is gone, or of a kind that is not supported.
    Target = 4,
    /// The capture cannot be read.
    Damaged = 5,
    /// A bug of ours.
    Bug = 6,
    /// Ctrl-C, before everything was done.
    Interrupted = 130,
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit as u8)
    }
}

/// A failure as the user sees it: what failed, why, and what to try.
#[derive(Debug)]
pub(crate) struct Failure {
    pub(crate) exit: Exit,
    pub(crate) error: String,
    pub(crate) causes: Vec<String>,
    pub(crate) hint: Option<String>,
}

impl Failure {
    /// A failure with neither cause nor hint yet.
    pub(crate) fn new(exit: Exit, error: impl fmt::Display) -> Self {
        Self { exit, error: error.to_string(), causes: Vec::new(), hint: None }
    }

    /// A failure that a library's `error` describes, with what caused it and what it hints at.
    pub(crate) fn of(exit: Exit, error: &dyn std::error::Error, hint: Option<&'static str>) -> Self {
        let mut failure = Self::new(exit, error);
        if let Some(source) = error.source() {
            failure = failure.caused_by(source);
        }
        match hint {
            Some(hint) => failure.hint(hint),
            None => failure,
        }
    }

    /// A failure caused by `source` and by what caused that.
    pub(crate) fn caused_by(mut self, source: &dyn std::error::Error) -> Self {
        let mut cause = Some(source);
        while let Some(error) = cause {
            self.causes.push(error.to_string());
            cause = error.source();
        }
        self
    }

    /// What to try.
    pub(crate) fn hint(mut self, hint: impl fmt::Display) -> Self {
        self.hint = Some(hint.to_string());
        self
    }
}
