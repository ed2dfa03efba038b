//! Since 3.12: a structure, in static data for the main interpreter. Others have one of their own,
//! inside them (3.12) or allocated (3.13 and later), or share the main one's.

use slackwater_base::{Addr, Gap, Range};
use slackwater_layout::cpython::{
    Geometry, MgmtLayout, ObmallocHome, PymallocState, PythonVersion, RuntimeLayout,
};
use slackwater_memory::{Memory, MemoryError, MemoryExt};

use super::table::Table;
use crate::scan::find_word;

/// The main interpreter's state, in the static data `data`.
pub(super) fn find_static<M: Memory + ?Sized>(
    memory: &M,
    data: &[Range],
    version: PythonVersion,
) -> Result<Option<PymallocState>, MemoryError> {
    find_word(memory, data, |window, mgmt, start| {
        let n_slots = window.bytes(mgmt + MgmtLayout::MAX_ARENAS).copied().map(u32::from_le_bytes);
        let is_likely = start % 16 == 0 && n_slots.is_some_and(PymallocState::is_table_size);
        if is_likely { probe(memory, mgmt, version) } else { None }
    })
}

/// The states of the other interpreters that have one of their own.
pub(crate) fn find_others<M: Memory + ?Sized>(
    memory: &M,
    main: &PymallocState,
    interpreters: &[Addr],
    layout: &RuntimeLayout,
    version: PythonVersion,
    gaps: &mut Vec<Gap>,
) -> Result<Vec<PymallocState>, MemoryError> {
    let mut others: Vec<PymallocState> = Vec::new();
    if interpreters.len() < 2 || layout.home == ObmallocHome::Statics {
        return Ok(others);
    }
    let Some(link) = Link::find(memory, main, interpreters, layout)? else {
        gaps.push(Gap::new("python subinterpreters", "where they keep their objects was not found"));
        return Ok(others);
    };
    for &interpreter in interpreters {
        let Some(mgmt) = link.mgmt(memory, interpreter) else { continue };
        let is_known = mgmt == main.arenas || others.iter().any(|other| other.arenas == mgmt);
        // An interpreter that shares the main one's state, or has no object yet, has an empty one.
        if is_known || memory.read_addr(mgmt).is_ok_and(Addr::is_null) {
            continue;
        }
        match probe(memory, mgmt, version) {
            Some(state) => others.push(state),
            None => gaps.push(Gap::new(
                format!("objects of the python interpreter at {interpreter}"),
                "its allocator's state is damaged",
            )),
        }
    }
    Ok(others)
}

/// How an interpreter leads to its `struct _obmalloc_mgmt`.
enum Link {
    /// Offset of the structure in the interpreter.
    Embedded(u64),
    /// Offset of the pointer to the state in the interpreter.
    Pointed(u64),
}

impl Link {
    /// Learns it from the main interpreter, whose state is known.
    fn find<M: Memory + ?Sized>(
        memory: &M,
        main: &PymallocState,
        interpreters: &[Addr],
        layout: &RuntimeLayout,
    ) -> Result<Option<Self>, MemoryError> {
        // The main interpreter is the last of the list.
        let Some(&interpreter) = interpreters.last() else { return Ok(None) };
        let extent = Range::sized(interpreter, layout.interpreter_size);
        match layout.home {
            ObmallocHome::Statics => Ok(None),
            ObmallocHome::Embedded => {
                Ok(extent.contains(main.arenas).then(|| Self::Embedded(main.arenas.offset_from(interpreter))))
            }
            ObmallocHome::Pointed => {
                let state = main.arenas - MgmtLayout::IN_STATE;
                find_word(memory, &[extent], |_, addr, word| {
                    (word == state.get()).then(|| Self::Pointed(addr.offset_from(interpreter)))
                })
            }
        }
    }

    fn mgmt<M: Memory + ?Sized>(&self, memory: &M, interpreter: Addr) -> Option<Addr> {
        match *self {
            Self::Embedded(offset) => interpreter.checked_add(offset),
            Self::Pointed(offset) => {
                let state = memory.read_addr(interpreter.checked_add(offset)?).ok()?;
                if state.is_null() { None } else { state.checked_add(MgmtLayout::IN_STATE) }
            }
        }
    }
}

/// The state whose `struct _obmalloc_mgmt` lies at `mgmt`, when everything in it fits together.
fn probe<M: Memory + ?Sized>(memory: &M, mgmt: Addr, version: PythonVersion) -> Option<PymallocState> {
    let max_arenas = mgmt + MgmtLayout::MAX_ARENAS;
    let n_slots = memory.read_u32(max_arenas).ok()?;
    if !PymallocState::is_table_size(n_slots) {
        return None;
    }
    let arenas = mgmt + MgmtLayout::ARENAS;
    let table = Table { start: memory.read_addr(arenas).ok()?, n_slots };
    let links = |offset| memory.read_addr(mgmt + offset).is_ok_and(|slot| table.may_link(slot));
    if !links(MgmtLayout::UNUSED) || !links(MgmtLayout::USABLE) {
        return None;
    }
    let fits = |geometry: &&Geometry| {
        let n_fingers = geometry.pools_per_arena() as usize + 1;
        let fingers = memory.read_words(mgmt + MgmtLayout::FINGERS, n_fingers);
        let n_allocated = memory.read_u64(mgmt + MgmtLayout::n_allocated(**geometry));
        fingers.is_ok_and(|fingers| fingers.into_iter().all(|finger| table.may_link(Addr(finger))))
            && n_allocated.is_ok_and(|count| (1..=u64::from(n_slots)).contains(&count))
            && table.is_sound(memory, **geometry)
    };
    let geometry = *Geometry::of(version).iter().find(fits)?;
    Some(PymallocState { arenas, max_arenas, geometry })
}
