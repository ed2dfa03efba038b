//! The table of arenas: which slots are in use, and what they say.
//!
//! Invariant: arenas handed out are disjoint and lie in private, writable, anonymous memory, so that
//! a forged table cannot make us count a page twice or walk what is no heap.

use slackwater_base::{Addr, PAGE_SIZE, Range};
use slackwater_layout::cpython::{ArenaObject, Geometry, PymallocState};
use slackwater_memory::{Memory, MemoryError, MemoryExt};

use super::PymallocError;
use super::gaps::Gaps;

/// Slots read at a time.
const BATCH: u64 = 1024;

/// A slot in use.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Slot {
    /// Start of its arena.
    pub(super) address: Addr,
    /// Its number.
    pub(super) index: u32,
}

/// The slots in use, by address of their arenas.
pub(super) fn slots<M: Memory + ?Sized>(
    memory: &M,
    state: &PymallocState,
    gaps: &mut Gaps,
) -> Result<Vec<Slot>, PymallocError> {
    let failed = |addr| move |source| PymallocError::ReadState { addr, source };
    let damaged = |cause| PymallocError::Damaged { addr: state.arenas, cause };
    let table = memory.read_addr(state.arenas).map_err(failed(state.arenas))?;
    if table.is_null() {
        return Ok(Vec::new());
    }
    let n_slots = memory.read_u32(state.max_arenas).map_err(failed(state.max_arenas))?;
    if !PymallocState::is_table_size(n_slots) {
        return Err(damaged("the number of its slots is not 16 times a power of two"));
    }
    let anonymous: u64 =
        memory.mappings().iter().filter(|map| map.is_anonymous_data()).map(|map| map.range.len()).sum();
    let most = anonymous / state.geometry.arena_bytes;

    let mut slots = Vec::new();
    let mut bytes = Vec::new();
    let mut index = 0;
    while index < n_slots {
        let batch = u64::from(n_slots - index).min(BATCH);
        let addr = table + u64::from(index) * ArenaObject::SIZE;
        bytes.resize((batch * ArenaObject::SIZE) as usize, 0);
        memory.read(addr, &mut bytes).map_err(failed(addr))?;
        for record in bytes.as_chunks().0 {
            let arena = ArenaObject::parse(record);
            if !arena.address.is_null() {
                slots.push(Slot { address: arena.address, index });
                if slots.len() as u64 > most {
                    return Err(damaged("it lists more arenas than memory is mapped"));
                }
            }
            index += 1;
        }
    }
    slots.sort_unstable();
    Ok(only_disjoint(memory, state.geometry, slots, gaps))
}

fn only_disjoint<M: Memory + ?Sized>(
    memory: &M,
    geometry: Geometry,
    mut slots: Vec<Slot>,
    gaps: &mut Gaps,
) -> Vec<Slot> {
    let mut taken = Addr(0);
    slots.retain(|slot| {
        if !slot.address.is_aligned(PAGE_SIZE) {
            gaps.arena(slot.address, "it does not begin at a page boundary");
            return false;
        }
        let range = Range::sized(slot.address, geometry.arena_bytes);
        if range.len() < geometry.arena_bytes || !is_anonymous(memory, range) {
            gaps.arena(slot.address, "no private anonymous memory is mapped there");
            return false;
        }
        if range.start < taken {
            gaps.arena(slot.address, "it overlaps another arena");
            return false;
        }
        taken = range.end;
        true
    });
    slots
}

/// Whether every byte of `range` lies in private, writable, anonymous memory.
fn is_anonymous<M: Memory + ?Sized>(memory: &M, range: Range) -> bool {
    let mappings = memory.mappings();
    let first = mappings.partition_point(|map| map.range.end <= range.start);
    let mut covered = range.start;
    for map in &mappings[first..] {
        if covered >= range.end {
            break;
        }
        if map.range.start > covered || !map.is_anonymous_data() {
            return false;
        }
        covered = map.range.end;
    }
    covered >= range.end
}

/// What slot `index` says now; `None` when the table was moved meanwhile, as it is when it grows.
pub(super) fn read_slot<M: Memory + ?Sized>(
    memory: &M,
    state: &PymallocState,
    index: u32,
) -> Result<Option<ArenaObject>, MemoryError> {
    let table = memory.read_addr(state.arenas)?;
    let mut record = [0; ArenaObject::SIZE as usize];
    memory.read(table + u64::from(index) * ArenaObject::SIZE, &mut record)?;
    let is_current = memory.read_addr(state.arenas)? == table;
    Ok(is_current.then(|| ArenaObject::parse(&record)))
}
