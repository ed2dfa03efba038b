//! Where the resident bytes of an extent belong.

use slackwater_base::{Addr, Class, PinReason, Range, Resident};
use slackwater_layout::jemalloc::{Extent, ExtentState, PAGE_BYTES};
use slackwater_layout::slackwater::Statistics;
use slackwater_memory::{Memory, MemoryError, Page};

use super::caches::Cached;
use super::residency::Residency;
use crate::Arena;

/// Whether large blocks have a page more than they need, so that they can begin anywhere in the first
/// one (jemalloc's `cache_oblivious`).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Padding {
    None,
    Page,
}

/// Enters extents into the books of their arenas.
pub(super) struct Booking<'a> {
    pub(super) residency: Residency<'a>,
    pub(super) cached: Cached,
    pub(super) padding: Padding,
    pub(super) memory: &'a dyn Memory,
    /// The sums by jemalloc's own words, to be held against its own statistics.
    pub(super) totals: Statistics,
}

/// What a block is.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Use {
    Live,
    Cached,
    Free,
}

impl Booking<'_> {
    /// Enters `extent`, as much of it as lies in `part`.
    pub(super) fn enter(
        &mut self,
        arena: &mut Arena,
        extent: &Extent,
        part: Range,
    ) -> Result<(), MemoryError> {
        // No more than is mapped, whatever an extent says of its size.
        let bytes = part.len();
        match extent.state {
            ExtentState::Active => {
                self.totals.active_bytes += bytes;
                arena.mapped_bytes += bytes;
                if extent.is_slab && part == extent.range {
                    self.slab(arena, extent)?;
                } else {
                    self.large(arena, extent, part)?;
                }
            }
            // A purge gives all of them back; those in change are being given back already.
            ExtentState::Dirty | ExtentState::Muzzy | ExtentState::Changing => {
                match extent.state {
                    ExtentState::Muzzy => self.totals.muzzy_bytes += bytes,
                    _ => self.totals.dirty_bytes += bytes,
                }
                arena.mapped_bytes += bytes;
                arena.ledger[Class::SlackTrimmable] += self.residency.weigh(part)?;
            }
            // It should have no pages. Where it has, the kernel made a huge page of its surroundings.
            ExtentState::Retained => {
                self.totals.retained_bytes += bytes;
                let resident = self.residency.weigh(part)?;
                add_slack(arena, PinReason::Holes, resident);
            }
        }
        Ok(())
    }

    fn large(&mut self, arena: &mut Arena, extent: &Extent, part: Range) -> Result<(), MemoryError> {
        let padding = if self.padding == Padding::Page { PAGE_BYTES } else { 0 };
        let bytes = extent.range.len().saturating_sub(padding);
        let block = Range::sized(extent.address, bytes).intersect(part);
        let (of_block, of_part) = (self.residency.weigh(block)?, self.residency.weigh(part)?);
        self.totals.allocated_bytes += block.len();
        if self.cached.inside(extent.range).contains(&extent.address) {
            self.totals.cached_bytes += block.len();
            add_slack(arena, PinReason::Caches, of_block);
        } else {
            arena.live.count += 1;
            arena.live.bytes += block.len();
            arena.ledger[Class::LiveUnsplit] += of_block;
        }
        arena.ledger[Class::AllocatorOverhead] += of_part - of_block;
        Ok(())
    }

    fn slab(&mut self, arena: &mut Arena, extent: &Extent) -> Result<(), MemoryError> {
        let block_bytes = extent.block_bytes();
        let cached = self.cached_blocks(extent);
        let n_cached = cached.len() as u64;
        let n_used = u64::from(extent.n_blocks() - extent.n_free);
        let n_live = n_used - n_cached;
        self.totals.allocated_bytes += n_used * block_bytes;
        self.totals.cached_bytes += n_cached * block_bytes;
        arena.live.count += n_live;
        arena.live.bytes += n_live * block_bytes;
        match self.residency.uniform(extent.range)? {
            Some(page) => {
                let blocks = u64::from(extent.n_blocks()) * block_bytes;
                let weigh = |bytes: u64| weigh_all(page, bytes);
                arena.ledger[Class::LiveUnsplit] += weigh(n_live * block_bytes);
                add_slack(arena, PinReason::Caches, weigh(n_cached * block_bytes));
                add_slack(arena, PinReason::Holes, weigh(u64::from(extent.n_free) * block_bytes));
                arena.ledger[Class::AllocatorOverhead] += weigh(extent.range.len() - blocks);
                Ok(())
            }
            None => self.slab_by_block(arena, extent, &cached),
        }
    }

    /// Numbers of the blocks of a slab that lie in some thread's cache, ascending.
    fn cached_blocks(&self, extent: &Extent) -> Vec<u32> {
        let block_bytes = extent.block_bytes();
        let number = |block: &Addr| {
            let offset = block.offset_from(extent.range.start);
            let index = (offset / block_bytes) as u32;
            let is_block = offset.is_multiple_of(block_bytes) && index < extent.n_blocks();
            (is_block && !extent.is_free(index)).then_some(index)
        };
        self.cached.inside(extent.range).iter().filter_map(number).collect()
    }

    /// Some pages are resident and some are not, or some have been counted in another process.
    fn slab_by_block(
        &mut self,
        arena: &mut Arena,
        extent: &Extent,
        cached: &[u32],
    ) -> Result<(), MemoryError> {
        let block_bytes = extent.block_bytes();
        let of = |index: u32| match extent.is_free(index) {
            true => Use::Free,
            false if cached.binary_search(&index).is_ok() => Use::Cached,
            false => Use::Live,
        };
        let mut from = 0;
        while from < extent.n_blocks() {
            let what = of(from);
            let mut to = from + 1;
            while to < extent.n_blocks() && of(to) == what {
                to += 1;
            }
            let start = extent.range.start + u64::from(from) * block_bytes;
            let resident = self.residency.weigh(Range::sized(start, u64::from(to - from) * block_bytes))?;
            match what {
                Use::Live => arena.ledger[Class::LiveUnsplit] += resident,
                Use::Cached => add_slack(arena, PinReason::Caches, resident),
                Use::Free => add_slack(arena, PinReason::Holes, resident),
            }
            from = to;
        }
        let end = extent.range.start + u64::from(extent.n_blocks()) * block_bytes;
        arena.ledger[Class::AllocatorOverhead] += self.residency.weigh(Range::new(end, extent.range.end))?;
        Ok(())
    }
}

pub(super) fn add_slack(arena: &mut Arena, reason: PinReason, resident: Resident) {
    arena.ledger[Class::SlackPinned] += resident;
    arena.pinned_by[reason] += resident;
}

/// `bytes` in pages that all are like `page`.
fn weigh_all(page: Page, bytes: u64) -> Resident {
    let weight = page.weigh(1);
    Resident { process: bytes * weight.process, service: bytes * weight.service }
}
