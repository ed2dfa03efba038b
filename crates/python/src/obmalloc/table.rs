//! What a table of arenas looks like.

use slackwater_base::{Addr, Range};
use slackwater_layout::cpython::{ArenaObject, Geometry, PymallocState};
use slackwater_memory::{Memory, MemoryExt};

/// Slots read at a time, and so the fewest that a table has.
const BATCH: u64 = 16;

/// A table of arenas: where it lies and how many slots it has.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Table {
    pub(super) start: Addr,
    pub(super) n_slots: u32,
}

impl Table {
    /// The addresses of its slots.
    pub(super) fn range(self) -> Range {
        Range::sized(self.start, u64::from(self.n_slots) * ArenaObject::SIZE)
    }

    /// Whether `slot` is null or the address of one of its slots.
    pub(super) fn may_link(self, slot: Addr) -> bool {
        let is_slot = |slot: Addr| slot.offset_from(self.start).is_multiple_of(ArenaObject::SIZE);
        slot.is_null() || self.range().contains(slot) && is_slot(slot)
    }

    /// Whether the slots are arenas in anonymous memory or unused ones, and the unused ones can be
    /// one chain: each names another slot, but for one that ends it. The first slot is in use: its
    /// arena holds objects that live as long as the interpreter. One slot in eight may be amiss,
    /// because the target goes on mapping arenas while we look.
    pub(super) fn is_sound<M: Memory + ?Sized>(self, memory: &M, geometry: Geometry) -> bool {
        if !PymallocState::is_table_size(self.n_slots)
            || !self.start.is_aligned(16)
            || !is_anonymous(memory, self.range())
        {
            return false;
        }
        let is_arena = |slot: &ArenaObject| {
            slot.is_sound(geometry) && is_anonymous(memory, Range::sized(slot.address, 1))
        };
        let mut bytes = [0; (BATCH * ArenaObject::SIZE) as usize];
        let (mut amiss, mut chain_ends) = (0, 0);
        let mut addr = self.start;
        while addr < self.range().end {
            if memory.read(addr, &mut bytes).is_err() {
                return false;
            }
            for (slot, index) in bytes.as_chunks().0.iter().map(ArenaObject::parse).zip(0..) {
                let is_first = addr == self.start && index == 0;
                let fits = if slot.address.is_null() {
                    chain_ends += u32::from(slot.next.is_null());
                    self.may_link(slot.next) && chain_ends <= 1 && !is_first
                } else {
                    is_arena(&slot)
                };
                amiss += u32::from(!fits);
                if amiss > self.n_slots / 8 || is_first && !fits {
                    return false;
                }
            }
            addr = addr + BATCH * ArenaObject::SIZE;
        }
        true
    }
}

/// Whether `range` lies in one private, writable, anonymous mapping.
fn is_anonymous<M: Memory + ?Sized>(memory: &M, range: Range) -> bool {
    memory.mapping_at(range.start).is_some_and(|map| map.is_anonymous_data() && map.range.covers(range))
}
