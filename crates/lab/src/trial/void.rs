//! Why a trial says nothing.

use std::error::Error;
use std::io;

use crate::keeper::{End, Gone, KeeperError, Left};
use crate::load::LoadError;
use crate::service::{NotReady, background};

/// Why a trial says nothing.
#[derive(Debug, thiserror::Error)]
pub(super) enum Reason {
    #[error("no free port was found on this machine")]
    Port(#[source] io::Error),
    #[error(transparent)]
    Start(#[from] KeeperError),
    #[error(transparent)]
    NotReady(NotReady),
    #[error(
        "the service ended {at_seconds:.1} s after its start, while it was measured: {end}{}",
        background(*n_left)
    )]
    Died { end: End, n_left: usize, at_seconds: f64 },
    #[error("the service did not do its work: {end}")]
    Failed { end: End },
    #[error(
        "the memory limit killed {n_killed} processes of the service; raise memory_limit, or load it less"
    )]
    OutOfMemory { n_killed: u64 },
    #[error("the load could not be offered")]
    Load(#[source] LoadError),
    #[error("the load command failed: {end}; it wrote: {last_line}")]
    LoadCommand { end: End, last_line: String },
    #[error("{n_wrong} of {n_due} answers were wrong: {example}")]
    Wrong { n_wrong: u64, n_due: u64, example: String },
    #[error(
        "of {n_due} requests {n_timeouts} were not answered in time and {n_failed} failed: the service \
         cannot bear this load; lower the rate, or raise timeout and connections"
    )]
    Unanswered { n_timeouts: u64, n_failed: u64, n_due: u64 },
    #[error(
        "the generator itself fell behind: one request in a hundred was sent {:.0} ms late or more; \
         lower the rate, or keep a processor for it (cpus, load_cpus)",
        late_p99_seconds * 1e3
    )]
    Late { late_p99_seconds: f64 },
    #[error(
        "something still listens on port {port} after the service was stopped, and it is none of its processes"
    )]
    PortLeaked { port: u16 },
    #[error("processes of the service could not be killed: {}", named(left))]
    Stuck { left: Vec<Left> },
    #[error("the machine was suspended for {seconds:.1} s")]
    Suspended { seconds: f64 },
    #[error("the service ended before its memory was seen once; let it work longer, or sample more often")]
    Unseen,
    #[error("stopped")]
    Cancelled,
}

impl From<NotReady> for Reason {
    fn from(error: NotReady) -> Self {
        match error {
            NotReady::Cancelled => Self::Cancelled,
            error => Self::NotReady(error),
        }
    }
}

impl Reason {
    /// The reason behind it, where what was found at the end tells.
    pub(super) fn explained_by(self, gone: &Gone) -> Self {
        match gone.oom_kills {
            Some(n_killed) if n_killed > 0 && !matches!(self, Self::Cancelled) => {
                Self::OutOfMemory { n_killed }
            }
            _ => self,
        }
    }
}

/// With its causes, in one line.
pub(super) fn in_words(reason: &Reason) -> String {
    let mut words = reason.to_string();
    let mut source = reason.source();
    while let Some(error) = source {
        words = format!("{words}: {error}");
        source = error.source();
    }
    words
}

fn named(left: &[Left]) -> String {
    left.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
}
