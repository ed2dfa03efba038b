//! Our own library in a process: its block, and the walk over its jemalloc.
//!
//! Invariant: reads only; what the block says of another process, as that of a child does until the
//! library has written it anew, is not taken for this one's.

use slackwater_base::{Gap, Tid};
use slackwater_heap::Heap;
use slackwater_heap::jemalloc::{JemallocError, Snapshot, disagreement, find_block, read_block, walk};
use slackwater_memory::{Memory, MemoryError, Symbols};
use slackwater_procfs::Process;

use super::heaps::with_source;

/// The name that the library gives its thread.
const GOVERNOR: &str = "slackwater";

/// Reads the block and walks the heap. The heap is `None` when it could not be walked; a gap says why.
///
/// # Errors
/// When memory cannot be read at all.
pub(crate) fn look(
    memory: &dyn Memory,
    symbols: &dyn Symbols,
    gaps: &mut Vec<Gap>,
) -> Result<(Option<Snapshot>, Option<Heap>), MemoryError> {
    let Some(addr) = find_block(memory, symbols) else {
        gaps.push(Gap::new("slackwater's heap", "its library exports no block"));
        return Ok((None, None));
    };
    let block = match read_block(memory, addr) {
        Ok(block) => block,
        Err(error) => return missing(&error, gaps).map(|()| (None, None)),
    };
    let walked = match walk(memory, &block) {
        Ok(walked) => walked.unpack(gaps),
        Err(error) => return missing(&error, gaps).map(|()| (Some(block), None)),
    };
    if let Ok(after) = read_block(memory, addr) {
        gaps.extend(disagreement(&walked.totals, &block.statistics, &after.statistics));
    }
    Ok((Some(block), Some(walked.heap)))
}

/// Notes why there is no heap, unless nothing of the process can be read.
fn missing(error: &JemallocError, gaps: &mut Vec<Gap>) -> Result<(), MemoryError> {
    match error.memory() {
        Some(error @ (MemoryError::Denied | MemoryError::Gone)) => Err(error.clone()),
        _ => {
            gaps.push(Gap::new("slackwater's heap", with_source(error)));
            Ok(())
        }
    }
}

/// The block, if this process has written it and not the one that it was forked from.
pub(crate) fn of_its_own(process: &Process, block: Option<Snapshot>) -> Option<Box<Snapshot>> {
    let own = process.status().ok()?.innermost_pid();
    block.filter(|block| own.is_none_or(|own| i64::from(own) == i64::from(block.pid))).map(Box::new)
}

/// The library's own threads.
pub(crate) fn threads(process: &Process, tids: &[Tid]) -> Vec<Tid> {
    let is_own = |tid: &&Tid| process.task_status(**tid).is_ok_and(|status| status.name == GOVERNOR);
    tids.iter().filter(is_own).copied().collect()
}
