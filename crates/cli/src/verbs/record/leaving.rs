//! Processes whose recording has ended are asked to call their own functions again.
//!
//! Invariant: nobody records any more by then, which the shared memory says and needs nobody's help. So this may
//! be given up at any time, and takes some seconds at the most.

use std::collections::BTreeSet;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use slackwater_base::Pid;
use slackwater_collect::{Agent, AttachError};
use slackwater_inject::Options;
use slackwater_procfs::Root;

use super::arrivals::at_once;
use crate::printer::Printer;

/// How long a safe moment is looked for in all processes when they are left.
const LEAVING: Duration = Duration::from_secs(3);
/// And in each of them, however long the others took.
const LEAVING_ONE: Duration = Duration::from_millis(200);

/// Asks every process to call its own functions again, and says of which it cannot be told. `present` are those
/// that may have been forked meanwhile: one that is born before its parent is left has the parent's slots.
pub(super) fn leave(root: &Root, agent: &Agent, present: impl Fn() -> BTreeSet<Pid>, printer: &Printer) {
    let deadline = Instant::now() + LEAVING;
    let mut asked = BTreeSet::new();
    loop {
        let pids: Vec<Pid> = present().difference(&asked).copied().collect();
        if pids.is_empty() || !asked.is_empty() && Instant::now() >= deadline {
            return;
        }
        for (pid, error) in ask(root, agent, &pids, deadline) {
            printer.warn(&format!(
                "process {pid} could not be left: {error}; its calls still pass through the agent, which does \
                 nothing any more"
            ));
        }
        asked.extend(pids);
    }
}

/// Asks them; those that could not be asked in time.
fn ask(root: &Root, agent: &Agent, pids: &[Pid], deadline: Instant) -> Vec<(Pid, AttachError)> {
    let waiting = Mutex::new(pids.iter());
    let next = || waiting.lock().unwrap_or_else(PoisonError::into_inner).next();
    let ask = |&pid: &Pid| {
        let process = root.process(pid).ok()?;
        let time = deadline.saturating_duration_since(Instant::now()).max(LEAVING_ONE);
        let options = Options { search: time, patience: time, ..Options::default() };
        let asked = agent.detach(&process, &options);
        // One that has ended needs nothing.
        asked.err().filter(|_| process.is_same()).map(|error| (pid, error))
    };
    std::thread::scope(|scope| {
        let ask_some = || std::iter::from_fn(next).filter_map(ask).collect::<Vec<_>>();
        let asking: Vec<_> = (0..at_once()).map(|_| scope.spawn(ask_some)).collect();
        asking.into_iter().flat_map(|one| one.join().unwrap_or_default()).collect()
    })
}
