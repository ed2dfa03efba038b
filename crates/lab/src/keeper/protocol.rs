//! What runner and keeper say to each other: one line of JSON each.

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use serde::{Deserialize, Serialize};

/// What is to be started, how, and how it is stopped.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize, Debug)]
pub struct Order {
    /// Program and arguments.
    pub command: Vec<String>,
    /// Where it runs.
    pub directory: PathBuf,
    /// Variables beside those of the runner.
    pub environment: BTreeMap<String, String>,
    /// The processors that it may use; all when empty.
    pub cpus: Vec<usize>,
    /// The memory that it may use, all its processes together, in bytes.
    pub memory_limit_bytes: Option<u64>,
    /// How long it may take to end after SIGTERM.
    pub stop_within: Duration,
}

/// What a keeper's own helper, which becomes the program, has to do before.
#[derive(Serialize, Deserialize, Debug)]
pub(super) struct Beginning {
    pub(super) order: Order,
    /// The keeper: when it is no longer the parent, there is nothing to begin.
    pub(super) keeper: i32,
    /// The file that takes the pids of the control group, where there is one.
    pub(super) members: Option<PathBuf>,
}

/// What the keeper tells.
#[derive(Clone, PartialEq, Serialize, Deserialize, Debug)]
#[serde(rename_all = "snake_case")]
pub(super) enum Event {
    /// The program was started.
    Started {
        /// The directory of its control group.
        group: Option<PathBuf>,
    },
    /// It could not be started.
    Refused {
        /// Why.
        reason: String,
    },
    /// The program itself has ended; what it started may go on.
    Ended {
        /// How.
        end: End,
        /// Descendants that go on.
        n_left: usize,
    },
    /// Nothing is left.
    Gone(Gone),
}

/// How a program ended.
#[derive(Clone, Copy, PartialEq, Eq, Serialize, Deserialize, Debug)]
#[serde(rename_all = "snake_case")]
pub enum End {
    /// With this exit code.
    Exited(i32),
    /// By this signal.
    Killed(i32),
    /// Not known: its keeper was killed.
    Unknown,
}

impl fmt::Display for End {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Exited(code) => write!(f, "exit code {code}"),
            Self::Killed(signal) => write!(f, "killed by signal {signal}"),
            Self::Unknown => f.write_str("its keeper was killed"),
        }
    }
}

/// What was found when everything was over.
#[derive(Clone, PartialEq, Eq, Default, Serialize, Deserialize, Debug)]
pub struct Gone {
    /// Processes that did not end by themselves, and were killed.
    pub left: Vec<Left>,
    /// Processes that did not even end when they were killed.
    pub stuck: Vec<Left>,
    /// What the control group counted as its peak.
    pub group_peak_bytes: Option<u64>,
    /// Processes that the kernel killed for want of memory in the control group.
    pub oom_kills: Option<u64>,
    /// How often the service ran into its memory limit.
    pub n_limit_hits: Option<u64>,
    /// What could not be tidied up.
    pub leftovers: Vec<String>,
}

/// A process that outlived its program.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize, Debug)]
pub struct Left {
    /// Its pid.
    pub pid: i32,
    /// The kernel's name for it.
    pub name: String,
}

impl fmt::Display for Left {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({})", self.pid, self.name)
    }
}
