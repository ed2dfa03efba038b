//! Before 3.12: static variables of one source file, in whatever order the compiler left them.
//!
//! gcc lays them out from last to first, with link-time optimisation in an order of its own, others
//! from first to last. But `maxarenas` has been seen nowhere but within two words of `arenas`, and
//! the table tells the rest: its size is the largest that fits, its pointer the lowest of those into
//! it, and nearer to its size than any other that happens to point at its first slot.

use slackwater_base::{Addr, Range};
use slackwater_layout::cpython::{Geometry, PymallocState, PythonVersion};
use slackwater_memory::{Memory, MemoryError, MemoryExt};

use super::table::Table;
use crate::scan::find_word;

/// Most bytes between the two variables that are looked for.
const MOST_DISTANCE: u64 = 64;
/// Most pairs of variables that are weighed against each other.
const MOST_CANDIDATES: usize = 64;

/// Two words that can be `arenas` and `maxarenas`.
struct Candidate {
    table: Table,
    state: PymallocState,
}

impl Candidate {
    fn distance(&self) -> u64 {
        self.state.arenas.get().abs_diff(self.state.max_arenas.get())
    }
}

/// The state in the static data `data`.
pub(super) fn find<M: Memory + ?Sized>(
    memory: &M,
    data: &[Range],
    version: PythonVersion,
) -> Result<Option<PymallocState>, MemoryError> {
    let mut candidates = Vec::new();
    find_word(memory, data, |arenas, start| {
        let start = Addr(start);
        if start.is_aligned(16) && memory.mapping_at(start).is_some_and(|map| map.is_anonymous_data()) {
            add_candidates(memory, arenas, start, version, &mut candidates);
        }
        (candidates.len() >= MOST_CANDIDATES).then_some(())
    })?;
    candidates.sort_by_key(|candidate| {
        (candidate.table.start, std::cmp::Reverse(candidate.table.n_slots), candidate.distance())
    });
    Ok(candidates.first().map(|candidate| candidate.state))
}

fn add_candidates<M: Memory + ?Sized>(
    memory: &M,
    arenas: Addr,
    start: Addr,
    version: PythonVersion,
    candidates: &mut Vec<Candidate>,
) {
    let nearby = Range::new(arenas - MOST_DISTANCE, arenas + MOST_DISTANCE);
    let mut bytes = [0; 2 * MOST_DISTANCE as usize];
    if memory.read(nearby.start, &mut bytes).is_err() {
        return;
    }
    for (half, index) in bytes.as_chunks().0.iter().zip(0..) {
        let table = Table { start, n_slots: u32::from_le_bytes(*half) };
        if !PymallocState::is_table_size(table.n_slots) {
            continue;
        }
        let is_sound = |geometry: &&Geometry| table.is_sound(memory, **geometry);
        if let Some(&geometry) = Geometry::of(version).iter().find(is_sound) {
            let max_arenas = nearby.start + 4 * index;
            candidates.push(Candidate { table, state: PymallocState { arenas, max_arenas, geometry } });
        }
    }
}
