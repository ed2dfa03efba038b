//! The books of one pass over an arena: what each chunk adds to them.
//!
//! A chunk owns the bytes from its size word up to the next one's: a block in use reaches 8 bytes
//! into the next header. Slack is split by what `malloc_trim(0)` would do: it first merges fast
//! chunks with their free neighbours and the top, then gives back whole pages inside each free
//! chunk, and the end of the main arena's top.

use slackwater_base::{Addr, Class, Ledger, PAGE_SIZE, PinReason, PinnedBy, Range, Resident};
use slackwater_layout::glibc::chunk;

use super::broken::Broken;
use super::links::Links;
use super::view::View;
use crate::{Blocks, Top};

/// What a chunk is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Use {
    /// The program holds it.
    Live,
    /// malloc's own: a thread's cache, a fencepost.
    Own,
    /// In a thread's cache.
    Cached,
    /// In a fast bin.
    Fast,
    /// In a bin, with its links.
    Free {
        /// Next in the bin.
        next: Addr,
        /// Previous in the bin.
        previous: Addr,
    },
}

/// What happens to a top chunk when the arena is trimmed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum TopRule {
    /// The break is lowered, in steps of so many bytes.
    Lowered(u64),
    /// Nothing: the arena is a secondary one, or the break is not where malloc left it.
    Kept,
}

/// Free chunks that a trim would merge into one.
#[derive(Clone, Copy, Debug)]
struct Run {
    start: Addr,
    last_is_binned: bool,
}

/// The books of one pass over an arena.
#[derive(Clone, Copy, Default, Debug)]
pub(super) struct Tally {
    pub(super) ledger: Ledger,
    pub(super) pinned_by: PinnedBy,
    pub(super) live: Blocks,
    pub(super) free: Blocks,
    pub(super) fast: Blocks,
    pub(super) cached: Blocks,
    pub(super) largest_free_bytes: u64,
    pub(super) links: Links,
    run: Option<Run>,
}

impl Tally {
    /// Enters the chunk of `bytes` at `at`.
    pub(super) fn chunk(&mut self, view: &View, at: Addr, bytes: u64, usage: Use) -> Result<(), Broken> {
        let owned = Range::sized(chunk::SIZE.of(at), bytes);
        match usage {
            Use::Live | Use::Own | Use::Cached => {
                self.close_run(view, at)?;
                if usage == Use::Own {
                    return self.overhead(view, owned);
                }
                let block = Range::new(at + chunk::HEADER_BYTES, owned.end);
                self.overhead(view, Range::new(owned.start, block.start))?;
                let resident = view.resident(block)?;
                if usage == Use::Live {
                    self.live.count += 1;
                    self.live.bytes += block.len();
                    self.ledger[Class::LiveUnsplit] += resident;
                } else {
                    self.cached.count += 1;
                    self.cached.bytes += bytes;
                    self.pin(PinReason::Caches, resident);
                }
                Ok(())
            }
            Use::Fast => {
                self.fast.count += 1;
                self.fast.bytes += bytes;
                self.extend_run(at, false)
            }
            Use::Free { next, previous } => {
                self.free.count += 1;
                self.free.bytes += bytes;
                self.largest_free_bytes = self.largest_free_bytes.max(bytes);
                self.links.add(at, next, previous);
                self.extend_run(at, true)
            }
        }
    }

    /// Enters bytes that malloc uses for itself.
    pub(super) fn overhead(&mut self, view: &View, range: Range) -> Result<(), Broken> {
        self.ledger[Class::AllocatorOverhead] += view.resident(range)?;
        Ok(())
    }

    fn extend_run(&mut self, at: Addr, is_binned: bool) -> Result<(), Broken> {
        let run = self.run.get_or_insert(Run { start: at, last_is_binned: false });
        if run.last_is_binned && is_binned {
            return Err(Broken::torn(at, "two free chunks side by side"));
        }
        run.last_is_binned = is_binned;
        Ok(())
    }

    /// Enters the free run that ends at `end`, if there is one: its whole pages behind its header
    /// can be given back. Source: malloc/malloc.c, `mtrim`.
    fn close_run(&mut self, view: &View, end: Addr) -> Result<(), Broken> {
        let Some(run) = self.run.take() else { return Ok(()) };
        let owned = Range::new(chunk::SIZE.of(run.start), chunk::SIZE.of(end));
        let pages = Range::new(run.start + chunk::STRUCT_BYTES, end).align_in(PAGE_SIZE);
        let resident = view.resident(owned)?;
        let trimmable = if pages.is_empty() { Resident::default() } else { view.resident(pages)? };
        self.ledger[Class::SlackTrimmable] += trimmable;
        self.pin(PinReason::Holes, resident - trimmable);
        Ok(())
    }

    /// Enters the end of an extent at a fencepost: everything up to `end` is malloc's own.
    pub(super) fn fence(&mut self, view: &View, at: Addr, end: Addr) -> Result<(), Broken> {
        self.close_run(view, at)?;
        self.overhead(view, Range::new(chunk::SIZE.of(at), end))
    }

    /// Enters the top chunk at `at`, which ends at `end`, and the fast chunks that a trim would
    /// merge into it. Returns the resident bytes of the whole pages that the top does not need and
    /// a trim leaves.
    pub(super) fn top(
        &mut self,
        view: &View,
        at: Addr,
        end: Addr,
        rule: TopRule,
    ) -> Result<Resident, Broken> {
        let start = match self.run {
            Some(run) if run.last_is_binned => {
                return Err(Broken::torn(at, "a free chunk beside the top chunk"));
            }
            Some(run) => run.start,
            None => at,
        };
        self.run = None;
        let owned = Range::new(chunk::SIZE.of(start), end);
        let trimmed = match rule {
            TopRule::Lowered(step) => lowered(start, end, step),
            TopRule::Kept => Range::default(),
        };
        let resident = view.resident(owned)?;
        let trimmable = if trimmed.is_empty() { Resident::default() } else { view.resident(trimmed)? };
        self.ledger[Class::SlackTrimmable] += trimmable;
        self.pin(PinReason::Tops, resident - trimmable);
        let spare_end = if trimmed.is_empty() { end } else { trimmed.start };
        let spare = Range::new(start + chunk::MIN_BYTES, spare_end).align_in(PAGE_SIZE);
        Ok(if spare.is_empty() { Resident::default() } else { view.resident(spare)? })
    }

    fn pin(&mut self, reason: PinReason, resident: Resident) {
        self.ledger[Class::SlackPinned] += resident;
        self.pinned_by[reason] += resident;
    }
}

/// The pages that leave when the break is lowered below a top chunk from `start` to `end`: all but
/// `MINSIZE` and a byte, in whole steps. Source: malloc/malloc.c, `systrim` with no padding.
fn lowered(start: Addr, end: Addr, step: u64) -> Range {
    let spare = end.offset_from(start).saturating_sub(chunk::MIN_BYTES + 1);
    let released = spare - spare % step;
    // The kernel unmaps from the page above the new break to the page above the old one.
    Range::new((end - released).align_up(PAGE_SIZE), end.align_up(PAGE_SIZE))
}

/// The top chunk of an arena, for those who would return its pages.
pub(super) const fn top_of(range: Range, field: Addr, lock: Addr, returnable: Resident) -> Top {
    Top { range, field, lock, returnable }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lowering_the_break_keeps_the_smallest_chunk() {
        let check = |start: u64, end: u64, step, expected: (u64, u64)| {
            let range = lowered(Addr(start), Addr(end), step);
            assert_eq!((range.start.0, range.end.0), expected, "{start:#x}");
        };
        // 33 bytes stay: a top of exactly one page and 32 bytes gives nothing back.
        check(0x10fe0, 0x12000, 4096, (0x12000, 0x12000));
        check(0x10fd0, 0x12000, 4096, (0x11000, 0x12000));
        check(0x10010, 0x20000, 4096, (0x11000, 0x20000));
        check(0x10010, 0x20000, 2 << 20, (0x20000, 0x20000));
        check(0x10010, 0x10020, 4096, (0x11000, 0x11000));
    }
}
