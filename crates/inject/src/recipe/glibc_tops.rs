//! glibc: the ends of secondary arenas, which `malloc_trim` leaves.
//!
//! Two entries. The first maps a page at an address we chose; we write the code and its table there;
//! the second calls it, and unmaps it. If this program dies in between, that page stays: 4 KiB (more
//! for over a hundred arenas) that nothing runs or refers to.

use std::fs::File;

use slackwater_base::{Addr, PAGE_SIZE, Range};
use slackwater_memory::Mapping;

use crate::error::InjectError;
use crate::frame::{Argument, Step};
use crate::{Options, Outcome, Target, stub, sys};

/// Sizes of a heap of a secondary arena, and its alignment: `HEAP_MAX_SIZE` of malloc/arena.c, and
/// four huge pages of either size under the tunable `glibc.malloc.hugetlb` (2.35 to 2.41).
const HEAP_SIZES: [u64; 3] = [64 << 20, 8 << 20, 4 << 30];

/// The end of one secondary arena, as a walk of the heap has found it. Everything is checked again
/// inside the target, under the lock.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Top {
    /// The arena's mutex: the first word of its `struct malloc_state`.
    pub lock: Addr,
    /// Where the arena keeps the address of its top chunk.
    pub field: Addr,
    /// The top chunk, header included.
    pub range: Range,
}

/// What came of releasing tops. How much memory that was shows in the residency before and after.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Released {
    /// The entries, taken together.
    pub outcome: Outcome,
    /// Tops that were asked for and looked right from outside. Of these, one whose lock stays taken or
    /// that has moved to another heap meanwhile is left out inside the target.
    pub asked: usize,
}

/// Gives back the whole pages of the given tops. `None` when none of them looks right: nothing was
/// entered then.
///
/// # Errors
/// The allocator's state is as it was. After [`InjectError::LeftMapped`] a page of code that nothing
/// refers to is still mapped.
pub fn release_tops(
    target: &Target<'_>,
    tops: &[Top],
    options: &Options,
) -> Result<Option<Released>, InjectError> {
    let rows: Vec<_> = tops.iter().filter_map(|top| row(target.memory(), top)).collect();
    if rows.is_empty() {
        return Ok(None);
    }
    let table_at = (stub::code().len() as u64).next_multiple_of(16);
    let mut page = stub::code().to_vec();
    page.resize(table_at as usize, 0);
    page.extend(rows.iter().flatten().flat_map(|word| word.to_le_bytes()));

    let len = (page.len() as u64).next_multiple_of(PAGE_SIZE);
    let no_room = || target.lacking("it has no room for another mapping");
    let at = hole(&target.mappings()?, len).ok_or_else(no_room)?;
    let first = map(target, Range::sized(at, len), options)?;

    let left = || InjectError::LeftMapped { pid: target.pid(), at };
    // The page is not writable for the target; for us it is, as for a debugger.
    sys::write_memory(target.memory(), at, &page).map_err(|_| left())?;
    let arguments = words(&[at.get() + table_at, rows.len() as u64]);
    let release = Step::Function { at, arguments };
    let unmap = Step::Syscall { number: libc::SYS_munmap, arguments: words(&[at.get(), len]) };
    let second = match target.run(&[release, unmap.clone()], &[], &[], options) {
        Ok(outcome) => outcome,
        Err(error) => {
            // Once more, only to tidy up.
            target.run(&[unmap], &[], &[], options).map_err(|_| left())?;
            return Err(error);
        }
    };
    let outcome = Outcome {
        stopped: first.stopped.max(second.stopped),
        ran: first.ran + second.ran,
        refusals: first.refusals + second.refusals,
        ..second
    };
    Ok(Some(Released { outcome, asked: rows.len() }))
}

/// Maps fresh memory that can be run, exactly at `range`, where nothing is.
fn map(target: &Target<'_>, range: Range, options: &Options) -> Result<Outcome, InjectError> {
    let protection = (libc::PROT_READ | libc::PROT_EXEC) as u64;
    let flags = (libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_FIXED_NOREPLACE) as u64;
    let arguments = words(&[range.start.get(), range.len(), protection, flags, u64::MAX, 0]);
    let outcome = target.run(&[Step::Syscall { number: libc::SYS_mmap, arguments }], &[], &[], options)?;
    if target.mappings()?.iter().any(|mapping| mapping.range == range) {
        Ok(outcome)
    } else {
        Err(target.lacking("it may not map executable memory"))
    }
}

fn words(words: &[u64]) -> Vec<Argument> {
    words.iter().copied().map(Argument::Word).collect()
}

/// The row of the code's table for one top: lock, field, and the heap that the top lies in. `None`
/// unless that heap's header names the arena, whose first field is its lock: the code reads the
/// header, so it must be one.
fn row(memory: &File, top: &Top) -> Option<[u64; 4]> {
    let word = |at: Addr| {
        let mut bytes = [0; 8];
        sys::read_memory(memory, at, &mut bytes).ok().map(|()| u64::from_le_bytes(bytes))
    };
    HEAP_SIZES.into_iter().find_map(|size| {
        let heap = Range::sized(top.range.start.align_down(size), size);
        let is_its_heap = word(heap.start) == Some(top.lock.get()) && heap.covers(top.range);
        is_its_heap.then(|| [top.lock, top.field, heap.start, heap.end].map(Addr::get))
    })
}

/// A free stretch of `len` bytes with room on both sides: in the widest gap between mappings, far from
/// where the program break, stacks and libraries grow.
fn hole(mappings: &[Mapping], len: u64) -> Option<Addr> {
    const ROOM: u64 = 1 << 30;
    let gap = |pair: &[Mapping]| Range::new(pair[0].range.end, pair[1].range.start);
    let gaps = mappings.windows(2).map(gap).filter(|gap| gap.end.get() < 1 << 47);
    let widest = gaps.max_by_key(|gap| gap.len())?;
    let middle = Addr(widest.start.get() / 2 + widest.end.get() / 2).align_down(PAGE_SIZE);
    (widest.len() > len.checked_add(2 * ROOM)?).then_some(middle)
}
