//! One process, looked through: what every resident page of it is.
//!
//! Invariant: reads only. The kernel's figures are taken first, then residency, then bytes; where a
//! right is missing, the classes that are left are given with a gap, and nothing is guessed.

mod figures;
mod heaps;
mod ledger;
mod malloc;
mod slackwater;
mod stacks;
mod survey;

use std::os::unix::ffi::OsStrExt;

use slackwater_base::{Gap, Ledger, PinnedBy, Tid};
use slackwater_heap::jemalloc::Snapshot;
use slackwater_memory::{Memory, MemoryError, Symbols};
use slackwater_procfs::{ProcError, Process};

use crate::service::Member;
use crate::{HeapReport, Jemalloc, Malloc, MallocKind, ProcessReport, PythonReport, Scope, Sharing};
use figures::Figures;
pub(crate) use heaps::objects;
pub(crate) use malloc::{identify, kind_of_file};
pub use survey::survey;

/// Looks through the process `member` of a service. Where its memory turns out not to be readable,
/// this is [`survey()`].
///
/// # Errors
/// When the process is gone or has no memory.
pub fn xray(
    process: &Process,
    member: &Member,
    memory: &dyn Memory,
    symbols: &dyn Symbols,
    sharing: Sharing,
) -> Result<ProcessReport, ProcError> {
    let mut gaps = Vec::new();
    let figures = Figures::read(process, &mut gaps)?;
    let tids = process.tasks()?;
    let executable = process.executable().ok();
    let malloc = malloc::identify(memory, symbols, executable.as_deref());
    let seen = match look(process, memory, symbols, &tids, malloc, &figures, sharing, &mut gaps) {
        Ok(seen) => seen,
        Err(MemoryError::Gone) => return Err(ProcError::Gone { pid: process.pid() }),
        Err(error) => return survey(process, member, &error.to_string()),
    };
    let mut pinned_by = PinnedBy::default();
    for heap in &seen.heaps {
        pinned_by += &heap.heap.pinned_by;
    }
    let mut report = begin(process, member, &figures, &tids);
    report.jemalloc = jemalloc(process, &seen.malloc, &tids);
    report.slackwater = slackwater::of_its_own(process, seen.block);
    report.python = seen.python;
    report.malloc = seen.malloc;
    report.rss_bytes = seen.ledger.total().process;
    report.ledger = seen.ledger;
    report.pinned_by = pinned_by;
    report.heaps = seen.heaps;
    report.scope = Scope::Heaps;
    report.gaps = gaps;
    Ok(report)
}

/// What reading a process's memory gives.
struct Seen {
    python: Option<PythonReport>,
    malloc: Malloc,
    heaps: Vec<HeapReport>,
    block: Option<Snapshot>,
    ledger: Ledger,
}

#[allow(
    clippy::too_many_arguments,
    reason = "each is one of the few facts that are known before memory is read"
)]
fn look(
    process: &Process,
    memory: &dyn Memory,
    symbols: &dyn Symbols,
    tids: &[Tid],
    mut malloc: Malloc,
    figures: &Figures,
    sharing: Sharing,
    gaps: &mut Vec<Gap>,
) -> Result<Seen, MemoryError> {
    let found = heaps::walk(memory, symbols, tids, &mut malloc, gaps)?;
    let heaps = ledger::drop_overlapping(found.heaps, gaps);
    let own = match malloc.kind {
        MallocKind::Slackwater => slackwater::threads(process, tids),
        _ => Vec::new(),
    };
    let stacks = stacks::find(process, memory, tids, &own);
    let parts =
        ledger::Parts { figures, heaps: &heaps, stacks: &stacks, unclaimed: found.unclaimed, sharing };
    let ledger = parts.ledger(memory)?;
    let heaps = heaps.into_iter().map(|heap| HeapReport { heap }).collect();
    Ok(Seen { python: found.python, malloc, heaps, block: found.block, ledger })
}

/// A report with what the kernel says, and nothing of what memory holds.
fn begin(process: &Process, member: &Member, figures: &Figures, tids: &[Tid]) -> ProcessReport {
    ProcessReport {
        pid: process.pid(),
        parent: member.parent,
        start_ticks: process.start_ticks(),
        role: member.role,
        command: member.command.to_string(),
        python: None,
        malloc: Malloc { kind: MallocKind::Unknown, version: None, library: None, others: Vec::new() },
        jemalloc: None,
        slackwater: None,
        n_threads: tids.len() as u64,
        rss_bytes: figures.rss_bytes,
        pss_bytes: figures.pss_bytes,
        uss_bytes: figures.uss_bytes,
        swap_bytes: figures.swap_bytes,
        huge_bytes: figures.huge_bytes,
        lazy_free_bytes: figures.lazy_free_bytes,
        ledger: Ledger::default(),
        pinned_by: PinnedBy::default(),
        heaps: Vec::new(),
        scope: Scope::Totals,
        gaps: Vec::new(),
    }
}

/// The name that jemalloc gives its background threads.
const BACKGROUND_THREAD: &str = "jemalloc_bg_thd";

fn jemalloc(process: &Process, malloc: &Malloc, tids: &[Tid]) -> Option<Jemalloc> {
    if malloc.kind != MallocKind::Jemalloc {
        return None;
    }
    let names = tids.iter().filter_map(|&tid| Some(process.task_status(tid).ok()?.name));
    let background_threads = names.filter(|name| name == BACKGROUND_THREAD).count() as u64;
    // The setting is looked for in the value; the value itself goes nowhere.
    let asks = |name| {
        process.environment_variable(name).ok().flatten().is_some_and(|value| {
            value.as_bytes().split(|&byte| byte == b',').any(|option| option == b"background_thread:true")
        })
    };
    let background_asked = asks("MALLOC_CONF") || asks("_RJEM_MALLOC_CONF");
    Some(Jemalloc { background_asked, background_threads, statistics: None })
}
