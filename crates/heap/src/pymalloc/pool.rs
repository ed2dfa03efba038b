//! One carved pool: its books, and where its resident bytes belong.
//!
//! ```text
//! ┌────────┬───────┬───────┬───────┬── ── ──┬──────┐
//! │ header │ block │ block │ block │ never  │ tail │
//! │ 48 B   │ live  │ free  │ live  │ handed │      │
//! └────────┴───────┴───────┴───────┴── ── ──┴──────┘
//!                                  ▲ next_offset
//! ```

use slackwater_base::{Addr, Class, Ledger, PAGE_SIZE, PinReason, PinnedBy, Range, Resident};
use slackwater_layout::cpython::{Geometry, PoolHeader};
use slackwater_memory::{Page, Window};

use super::free_list::{BlockSet, free_blocks};
use crate::Blocks;

/// Why a pool has no books.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum PoolTrouble {
    /// Its header and its free chain disagree: it was changed while it was read, or is damaged.
    Torn,
    /// A part that must be read is on swap.
    Swapped,
}

/// One pool's books.
pub(super) struct Pool {
    /// Blocks in use. None: the pool is free.
    pub(super) live: Blocks,
    /// Next pool of the arena's chain, if it is free.
    pub(super) next: Addr,
    /// Its resident bytes.
    pub(super) ledger: Ledger,
    /// Its pinned slack by reason.
    pub(super) pinned_by: PinnedBy,
}

impl Pool {
    /// The books of the pool at `start`, of the arena in slot `arena_idx`. The window covers it.
    pub(super) fn read(
        window: &Window,
        start: Addr,
        geometry: Geometry,
        arena_idx: u32,
    ) -> Result<Self, PoolTrouble> {
        let Some(bytes) = window.bytes(start) else {
            return Err(if window.page(start).is_swapped() {
                PoolTrouble::Swapped
            } else {
                PoolTrouble::Torn
            });
        };
        let header = PoolHeader::parse(bytes);
        if !header.is_sound(geometry, arena_idx) {
            return Err(PoolTrouble::Torn);
        }
        let block_bytes = header.block_bytes();
        let carved = ((u64::from(header.next_offset) - PoolHeader::SIZE) / block_bytes) as u32;
        let free = free_blocks(window, start, &header, carved)?;
        let live = Blocks { count: header.n_live.into(), bytes: u64::from(header.n_live) * block_bytes };
        let mut pool =
            Self { live, next: header.next_pool, ledger: Ledger::default(), pinned_by: PinnedBy::default() };
        let range = Range::sized(start, geometry.pool_bytes);
        if header.n_live == 0 {
            pool.add_slack(PinReason::Pools, window.resident(range));
        } else if let Some(page) = uniform(window, range) {
            pool.book_uniform(page, geometry, block_bytes);
        } else {
            pool.book_by_block(window, range, block_bytes, carved, &free);
        }
        Ok(pool)
    }

    fn add_slack(&mut self, reason: PinReason, resident: Resident) {
        self.ledger[Class::SlackPinned] += resident;
        self.pinned_by[reason] += resident;
    }

    /// All pages count alike: where each block lies does not matter.
    fn book_uniform(&mut self, page: Page, geometry: Geometry, block_bytes: u64) {
        let weigh = |bytes: u64| {
            let weight = page.weigh(1);
            Resident { process: bytes * weight.process, service: bytes * weight.service }
        };
        let blocks = geometry.pool_bytes - PoolHeader::SIZE;
        let tail = blocks % block_bytes;
        self.ledger[Class::LivePython] += weigh(self.live.bytes);
        self.ledger[Class::AllocatorOverhead] += weigh(PoolHeader::SIZE + tail);
        self.add_slack(PinReason::Blocks, weigh(blocks - tail - self.live.bytes));
    }

    /// Some pages are resident and some are not, or some have been counted in another process.
    fn book_by_block(
        &mut self,
        window: &Window,
        range: Range,
        block_bytes: u64,
        carved: u32,
        free: &BlockSet,
    ) {
        let first = range.start + PoolHeader::SIZE;
        let mut from = 0;
        while from < carved {
            let is_free = free.contains(from);
            let mut to = from + 1;
            while to < carved && free.contains(to) == is_free {
                to += 1;
            }
            let run = Range::sized(first + u64::from(from) * block_bytes, u64::from(to - from) * block_bytes);
            if is_free {
                self.add_slack(PinReason::Blocks, window.resident(run));
            } else {
                self.ledger[Class::LivePython] += window.resident(run);
            }
            from = to;
        }
        let blocks = (range.len() - PoolHeader::SIZE) / block_bytes;
        let virgin = first + u64::from(carved) * block_bytes;
        let tail = first + blocks * block_bytes;
        self.add_slack(PinReason::Blocks, window.resident(Range::new(virgin, tail)));
        self.ledger[Class::AllocatorOverhead] +=
            window.resident(Range::new(range.start, first)) + window.resident(Range::new(tail, range.end));
    }
}

/// The state of all pages of `range`, when all are resident and count alike.
fn uniform(window: &Window, range: Range) -> Option<Page> {
    let first = window.page(range.start);
    let mut addr = range.start;
    while addr < range.end {
        let page = window.page(addr);
        if !page.is_resident() || page.has(Page::COUNTED) != first.has(Page::COUNTED) {
            return None;
        }
        addr = addr + PAGE_SIZE;
    }
    Some(first)
}
