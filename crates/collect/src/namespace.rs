//! Pids as recorded processes know them, and as we do: the two differ where a process lives in a pid
//! namespace of its own, as in a container.
//!
//! Invariant: a pid that no process has in its namespace is nobody's: it is never taken for a stranger's.

use slackwater_base::Pid;
use slackwater_procfs::{Process, Root};

/// The pid namespace of a session's processes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Namespace {
    /// Ours.
    Same,
    /// Another one.
    Other(slackwater_procfs::Namespace),
}

impl Namespace {
    /// Where a process that was attached to lives; programs that we start live where we do.
    pub(crate) fn of(process: Option<&Process>) -> Self {
        let own_pid = Pid(rustix::process::getpid().as_raw_nonzero().get());
        let own = Root::host().process(own_pid).and_then(|own| own.namespace("pid"));
        match (own, process.map(|process| process.namespace("pid"))) {
            (Ok(own), Some(Ok(theirs))) if own != theirs => Self::Other(theirs),
            _ => Self::Same,
        }
    }

    /// The process that calls itself `pid`; `None` when it is gone.
    pub(crate) fn process(self, pid: u32) -> Option<Process> {
        let root = Root::host();
        let pid = i32::try_from(pid).ok()?;
        let Self::Other(namespace) = self else { return root.process(Pid(pid)).ok() };
        let is_it = |process: &Process| {
            process.status().is_ok_and(|status| status.innermost_pid() == Some(pid))
                && process.namespace("pid").is_ok_and(|own| own == namespace)
        };
        root.pids().ok()?.into_iter().filter_map(|pid| root.process(pid).ok()).find(is_it)
    }
}
