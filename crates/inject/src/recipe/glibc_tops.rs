//! glibc: the ends of secondary arenas, which `malloc_trim` leaves.
//!
//! Two entries. The first maps one page at an address we chose; we write the code and its table
//! there; the second calls it, and unmaps it. If this program dies in between, that page stays: 4 or
//! more KiB that nothing ever runs or refers to.

use slackwater_base::{Addr, PAGE_SIZE, Range};
use slackwater_memory::Mapping;

use crate::error::InjectError;
use crate::frame::{Argument, Step};
use crate::{Options, Outcome, Target, stub, sys};

/// The end of one secondary arena, as a walk of the heap has found it. Everything is checked again
/// inside the target, under the lock.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Top {
    /// The arena's mutex: the first word of `struct malloc_state`.
    pub lock: Addr,
    /// Where the arena keeps its `top` pointer.
    pub top_field: Addr,
    /// The heap that top lies in: from its `heap_info` to the end of what it uses.
    pub heap: Range,
}

/// Gives back the whole pages of the given tops.
///
/// An arena whose lock stays taken, or whose top has moved to another heap, is left out: compare
/// residency before and after to see what came of it.
///
/// # Errors
/// In every case the allocator's state is as it was. After [`InjectError::LeftMapped`] a page of code
/// that nothing refers to is still mapped.
pub fn release_tops(target: &Target<'_>, tops: &[Top], options: &Options) -> Result<Outcome, InjectError> {
    let code = stub::code();
    let table_at = (code.len() as u64).next_multiple_of(16);
    let len = (table_at + (tops.len() * stub::ENTRY_LEN) as u64).next_multiple_of(PAGE_SIZE);
    let page = hole(&target.mappings()?, len)
        .ok_or(InjectError::Unsupported { pid: target.pid(), what: "it has no room for another mapping" })?;

    let words = |words: &[u64]| words.iter().copied().map(Argument::Word).collect();
    let protection = (libc::PROT_READ | libc::PROT_EXEC) as u64;
    let flags = (libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_FIXED_NOREPLACE) as u64;
    let map = Step::Syscall {
        number: libc::SYS_mmap,
        arguments: words(&[page.get(), len, protection, flags, u64::MAX, 0]),
    };
    let first = target.run(&[map], &[], &[], options)?;
    let is_mapped = || -> Result<bool, InjectError> {
        Ok(target.mappings()?.iter().any(|mapping| mapping.range == Range::sized(page, len)))
    };
    if !is_mapped()? {
        return Err(InjectError::Unsupported { pid: target.pid(), what: "it may not map executable memory" });
    }

    let left = || InjectError::LeftMapped { pid: target.pid(), at: page };
    let mut bytes = code.to_vec();
    bytes.resize(table_at as usize, 0);
    for top in tops {
        for word in [top.lock, top.top_field, top.heap.start, top.heap.end] {
            bytes.extend_from_slice(&word.get().to_le_bytes());
        }
    }
    // The page is not writable for the target; for us it is, as for a debugger.
    sys::write_memory(target.memory(), page, &bytes).map_err(|_| left())?;

    let release = Step::Function { at: page, arguments: words(&[page.get() + table_at, tops.len() as u64]) };
    let unmap = Step::Syscall { number: libc::SYS_munmap, arguments: words(&[page.get(), len]) };
    let outcome = match target.run(&[release, unmap.clone()], &[], &[], options) {
        Ok(outcome) => outcome,
        Err(error) => {
            // Once more, only to tidy up.
            target.run(&[unmap], &[], &[], options).map_err(|_| left())?;
            return Err(error);
        }
    };
    Ok(Outcome {
        stopped: first.stopped.max(outcome.stopped),
        ran: first.ran + outcome.ran,
        refusals: first.refusals + outcome.refusals,
        ..outcome
    })
}

/// A free stretch of `len` bytes with room on both sides, below another mapping: between the program
/// and its libraries, where neither the program break nor stacks grow.
fn hole(mappings: &[Mapping], len: u64) -> Option<Addr> {
    const ROOM: u64 = 1 << 30;
    let gap = |pair: &[Mapping]| Range::new(pair[0].range.end, pair[1].range.start);
    let holes = mappings.windows(2).map(gap);
    let widest = holes.filter(|hole| hole.end.get() < 1 << 47).max_by_key(|hole| hole.len())?;
    let middle = Addr(widest.start.get() / 2 + widest.end.get() / 2).align_down(PAGE_SIZE);
    (widest.len() > len.checked_add(2 * ROOM)?).then_some(middle)
}
