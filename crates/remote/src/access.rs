//! What stands between us and a target: every right, kernel feature and property of the process
//! that a verb needs, really tried, with the fix of what is missing.
//!
//! Invariant: each attempt is the harmless one of its kind: files of /proc are opened, at most the
//! first bytes of a table are read, and nothing of the target's memory. Nothing is written, stopped
//! or signalled.
//!
//! Judging what was found is pure ([`judge`]), so refusals that no single machine can produce are
//! tested too.
//!
//! Must never know: Python, malloc, the command line. What a check is needed for is a [`Purpose`].

mod attempt;
mod container;
mod facts;
mod gather;
mod image;
mod rights;
mod state;
mod surroundings;
mod sys;

use slackwater_base::Pid;
use slackwater_procfs::Root;

pub use attempt::{Attempt, Call};
pub use container::Container;
pub use facts::{Credentials, Facts, Namespaces, Relation, Target, Yama};
pub use image::{Image, Machine};

/// What a check is needed for.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Purpose {
    /// `diagnose`: RSS by page class, from /proc alone.
    Classes,
    /// `diagnose`: live, slack and overhead, from inside the heaps.
    Heaps,
    /// `diagnose`: pages shared after a fork counted exactly once.
    Sharing,
    /// `trim`: running one call in a thread of the target.
    Enter,
}

impl Purpose {
    /// Every purpose, from what needs least to what needs most.
    pub const ALL: &'static [Self] = &[Self::Classes, Self::Heaps, Self::Sharing, Self::Enter];

    /// The verb it belongs to.
    pub const fn verb(self) -> &'static str {
        match self {
            Self::Classes | Self::Heaps | Self::Sharing => "diagnose",
            Self::Enter => "trim",
        }
    }

    /// What it gives, in a few words.
    pub const fn title(self) -> &'static str {
        match self {
            Self::Classes => "page classes",
            Self::Heaps => "inside the heaps",
            Self::Sharing => "shared pages counted once",
            Self::Enter => "giving memory back",
        }
    }

    /// The name in JSON.
    pub const fn key(self) -> &'static str {
        match self {
            Self::Classes => "classes",
            Self::Heaps => "heaps",
            Self::Sharing => "sharing",
            Self::Enter => "enter",
        }
    }
}

/// How a check came out.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Outcome {
    /// As it should be.
    Pass {
        /// What was seen.
        detail: String,
    },
    /// In the way of what the check is needed for.
    Fail {
        /// What is wrong: the failing call and its errno, where it was a call.
        cause: String,
        /// What to do about it, exactly.
        fix: String,
    },
    /// In nobody's way, but worth knowing.
    Note {
        /// What was seen.
        detail: String,
    },
}

/// One check.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Check {
    /// What was checked, in two or three words.
    pub name: &'static str,
    /// How it came out.
    pub outcome: Outcome,
    /// What is not available when it failed.
    pub needed_for: &'static [Purpose],
}

impl Check {
    fn pass(name: &'static str, needed_for: &'static [Purpose], detail: impl Into<String>) -> Self {
        Self { name, outcome: Outcome::Pass { detail: detail.into() }, needed_for }
    }

    fn fail(
        name: &'static str,
        needed_for: &'static [Purpose],
        cause: impl Into<String>,
        fix: impl Into<String>,
    ) -> Self {
        Self { name, outcome: Outcome::Fail { cause: cause.into(), fix: fix.into() }, needed_for }
    }

    fn note(name: &'static str, detail: impl Into<String>) -> Self {
        Self { name, outcome: Outcome::Note { detail: detail.into() }, needed_for: &[] }
    }

    /// Whether it is in the way of something.
    pub const fn is_failed(&self) -> bool {
        matches!(self.outcome, Outcome::Fail { .. })
    }
}

/// Everything about `pid`, tried now: what it is, then what we may do with it. What is no
/// process of a program gives the one check that says so.
pub fn checks(root: &Root, pid: Pid) -> Vec<Check> {
    judge(&Facts::gather(root, pid))
}

/// What `facts` mean.
pub fn judge(facts: &Facts) -> Vec<Check> {
    let mut checks = state::judge(facts);
    if is_possible(&checks, Purpose::Classes) {
        checks.extend(image::judge(facts));
        checks.extend(rights::judge(facts));
        checks.extend(surroundings::judge(facts));
    }
    checks
}

/// Whether everything that `purpose` needs is there.
pub fn is_possible(checks: &[Check], purpose: Purpose) -> bool {
    !checks.iter().any(|check| check.is_failed() && check.needed_for.contains(&purpose))
}

#[cfg(test)]
mod tests;
