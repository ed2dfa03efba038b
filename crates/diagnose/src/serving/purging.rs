//! Who gives unused memory back in a process, by the threads that it has.
//!
//! Invariant: a thread that does not run is not counted, whatever the settings say.

use slackwater_base::Tid;
use slackwater_procfs::Process;

use super::{Purger, Purging};
use crate::MallocKind;

/// The name that jemalloc gives its background threads.
pub(crate) const BACKGROUND_THREAD: &str = "jemalloc_bg_thd";
/// The name of our governor's thread.
pub(crate) const GOVERNOR_THREAD: &str = "slackwater";

/// Who gives memory back in a process that `kind` serves.
pub(crate) fn find(process: &Process, kind: MallocKind, tids: &[Tid]) -> Purging {
    let named = |wanted: &str| {
        let is_named = |tid: &&Tid| process.task_status(**tid).is_ok_and(|status| status.name == wanted);
        tids.iter().filter(is_named).copied().collect::<Vec<_>>()
    };
    let purging = |by, evidence: String| Purging { by, evidence };
    match kind {
        MallocKind::Slackwater => match named(GOVERNOR_THREAD)[..] {
            [governor, ..] => purging(Purger::Governor, format!("thread {governor} is the governor")),
            [] => background(&named(BACKGROUND_THREAD)),
        },
        MallocKind::Jemalloc => background(&named(BACKGROUND_THREAD)),
        MallocKind::Mimalloc | MallocKind::Tcmalloc => purging(
            Purger::Allocations,
            format!("{kind} has no thread of its own; it gives back while the program allocates or frees"),
        ),
        MallocKind::Glibc | MallocKind::Musl => purging(
            Purger::Frees,
            format!("{kind} has no thread of its own; it gives back while the program frees"),
        ),
        MallocKind::Unknown => purging(Purger::Unknown, "what serves malloc is not known".to_owned()),
    }
}

fn background(threads: &[Tid]) -> Purging {
    match threads {
        [] => {
            Purging { by: Purger::Allocations, evidence: format!("no thread {BACKGROUND_THREAD} runs here") }
        }
        [first, rest @ ..] => Purging {
            by: Purger::BackgroundThreads,
            evidence: match rest.len() {
                0 => format!("thread {first} is {BACKGROUND_THREAD}"),
                more => format!("thread {first} and {more} more are {BACKGROUND_THREAD}"),
            },
        },
    }
}
