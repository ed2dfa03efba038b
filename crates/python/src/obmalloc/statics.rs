//! Before 3.12: static variables of one source file, in whatever order the compiler left them.
//!
//! gcc lays them out from last to first, with link-time optimisation in an order of its own, others
//! from first to last. But `maxarenas` has been seen nowhere but within two words of `arenas`, and
//! the table tells the rest: its size is the largest that fits, its pointer the lowest of those into
//! it, and nearer to its size than any other that happens to point at its first slot.

use slackwater_base::{Addr, Range};
use slackwater_layout::cpython::{Geometry, PymallocState, PythonVersion};
use slackwater_memory::{Memory, MemoryError, MemoryExt, Window};

use super::table::Table;
use crate::scan::{SIGHT, find_word};

/// Most bytes between the two variables that are looked for.
const MOST_DISTANCE: u64 = 64;
const _: () = assert!(MOST_DISTANCE <= SIGHT);
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
    find_word(memory, data, |window, arenas, start| {
        let start = Addr(start);
        if start.is_aligned(16) && memory.mapping_at(start).is_some_and(|map| map.is_anonymous_data()) {
            for (max_arenas, n_slots) in table_sizes(window, arenas) {
                let table = Table { start, n_slots };
                let is_sound = |geometry: &&Geometry| table.is_sound(memory, **geometry);
                if let Some(&geometry) = Geometry::of(version).iter().find(is_sound) {
                    candidates
                        .push(Candidate { table, state: PymallocState { arenas, max_arenas, geometry } });
                }
            }
        }
        (candidates.len() >= MOST_CANDIDATES).then_some(())
    })?;
    candidates.sort_by_key(|candidate| {
        (candidate.table.start, std::cmp::Reverse(candidate.table.n_slots), candidate.distance())
    });
    Ok(candidates.first().map(|candidate| candidate.state))
}

/// The 32-bit words near `arenas` that can be the size of a table.
fn table_sizes(window: &Window, arenas: Addr) -> impl Iterator<Item = (Addr, u32)> {
    let first = arenas - MOST_DISTANCE;
    (0..MOST_DISTANCE / 2).filter_map(move |index| {
        let addr = first + 4 * index;
        let n_slots = u32::from_le_bytes(*window.bytes(addr)?);
        PymallocState::is_table_size(n_slots).then_some((addr, n_slots))
    })
}
