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

    /// Whether every slot is an arena in anonymous memory or an unused one, and the unused ones can
    /// be one chain: each names another slot, but for one that ends it. The first slot is in use:
    /// its arena holds objects that live as long as the interpreter.
    pub(super) fn is_sound<M: Memory + ?Sized>(self, memory: &M, geometry: Geometry) -> bool {
        if !PymallocState::is_table_size(self.n_slots)
            || !self.start.is_aligned(16)
            || !is_anonymous(memory, self.range())
        {
            return false;
        }
        let mut bytes = [0; (BATCH * ArenaObject::SIZE) as usize];
        let mut chain_ends = 0;
        let mut addr = self.start;
        while addr < self.range().end {
            if memory.read(addr, &mut bytes).is_err() {
                return false;
            }
            let mut slots = bytes.as_chunks().0.iter().map(ArenaObject::parse);
            let sound = slots.all(|slot| {
                if slot.address.is_null() {
                    chain_ends += u32::from(slot.next.is_null());
                    self.may_link(slot.next) && chain_ends <= 1
                } else {
                    slot.is_sound(geometry) && is_anonymous(memory, Range::sized(slot.address, 1))
                }
            });
            let starts_unused = addr == self.start && bytes[..8] == [0; 8];
            if !sound || starts_unused {
                return false;
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
