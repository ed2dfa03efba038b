//! The pools of Python's small objects: the library's own, of which jemalloc knows nothing.
//!
//! Invariant: a pool counts by its header alone. One that holds nothing says so or is all zeros, and its
//! pages go back at a purge; a header that no pool has is unexplained.

use slackwater_base::{Class, PinReason, Range, Resident};
use slackwater_layout::slackwater::Pool;
use slackwater_memory::{Memory, MemoryError};

use super::booking::{Booking, add_slack};
use crate::{Arena, ArenaKind};

/// Where pools may have pages: as far as the library has made its reserved addresses usable.
pub(super) fn usable(memory: &dyn Memory, reserved: Range) -> Vec<Range> {
    let mappings = memory.mappings().iter().filter(|mapping| mapping.access.write);
    mappings.map(|mapping| mapping.range.intersect(reserved)).filter(|range| !range.is_empty()).collect()
}

impl Booking<'_> {
    /// Enters all pools of `reserved`; none where there are none.
    pub(super) fn pools(&mut self, reserved: Range) -> Result<Option<Arena>, MemoryError> {
        let mut arena = Arena::new(reserved.start, ArenaKind::Pools);
        for range in usable(self.memory, reserved) {
            let mut at = range.start;
            while at + Pool::BYTES <= range.end {
                let pool = Range::sized(at, Pool::BYTES);
                let resident = self.residency.weigh(pool)?;
                if resident.process > 0 {
                    self.pool(&mut arena, pool, resident)?;
                }
                at = pool.end;
            }
        }
        Ok((arena.mapped_bytes > 0).then_some(arena))
    }

    /// What its resident bytes have in common with other processes falls on all of them in proportion.
    fn pool(&mut self, arena: &mut Arena, range: Range, resident: Resident) -> Result<(), MemoryError> {
        arena.mapped_bytes += range.len();
        let Some(pool) = self.header(range) else {
            arena.ledger[Class::Unexplained] += resident;
            return Ok(());
        };
        if pool.n_used == 0 {
            self.totals.dirty_bytes += range.len();
            arena.ledger[Class::SlackTrimmable] += resident;
            return Ok(());
        }
        self.totals.allocated_bytes += range.len();
        self.totals.active_bytes += range.len();
        arena.live.count += u64::from(pool.n_used);
        arena.live.bytes += pool.live_bytes();
        let header = self.residency.weigh(Range::sized(range.start, Pool::FIRST_BLOCK))?;
        let blocks = resident - header;
        let live = pool.live_bytes().min(blocks.process);
        let live = Resident { process: live, service: blocks.service * live / blocks.process.max(1) };
        arena.ledger[Class::AllocatorOverhead] += header;
        arena.ledger[Class::LiveUnsplit] += live;
        add_slack(arena, PinReason::Holes, blocks - live);
        Ok(())
    }

    /// What the pool at `range` says of itself; of one that was never used, that it holds nothing.
    fn header(&self, range: Range) -> Option<Pool> {
        let mut header = [0; 8];
        self.memory.read(range.start + Pool::OFFSET, &mut header).ok()?;
        if header == [0; 8] { Some(Pool { n_used: 0, block_bytes: 0 }) } else { Pool::parse(header) }
    }
}
