//! Where pymalloc keeps its books, found by what they look like.
//!
//! No symbol leads there: before 3.12 the variables are static, and later their offset in the
//! interpreter is nowhere exported and moves between releases. But the pointer to the table of
//! arenas, the number of its slots, two list heads and some 65 pointers into the table lie together
//! in a known order, and the table's first slots must hold arenas in anonymous memory.

use slackwater_base::{Addr, Gap, Range};
use slackwater_layout::cpython::{
    ArenaObject, Geometry, MgmtLayout, ObmallocHome, PymallocState, PythonVersion, RuntimeLayout,
};
use slackwater_memory::{Memory, MemoryError, MemoryExt};

use crate::scan::find_word;

/// Slots of the table that are looked at: as many as every table has.
const PROBED_SLOTS: u64 = 16;
/// `sizeof(struct _obmalloc_pools)`, which the management variables follow since 3.12.
/// Source: Include/internal/pycore_obmalloc.h at v3.12.1 and v3.15.2.
const POOLS_BYTES: u64 = 512;

/// The state in the image's static data: the only one before 3.12, the main interpreter's later.
/// None when pymalloc holds no arena.
pub(crate) fn find_static<M: Memory + ?Sized>(
    memory: &M,
    data: &[Range],
    version: PythonVersion,
) -> Result<Option<PymallocState>, MemoryError> {
    let layouts: &[MgmtLayout] = if version.is_from(12) {
        &[MgmtLayout::Forward]
    } else {
        &[MgmtLayout::Reverse, MgmtLayout::Forward]
    };
    find_word(memory, data, |arenas, table| {
        if table % 16 != 0 || !is_anonymous(memory, Range::sized(Addr(table), 1)) {
            return None;
        }
        layouts.iter().find_map(|&layout| probe(memory, arenas, layout, version))
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
    if interpreters.len() < 2 {
        return Ok(others);
    }
    let Some(link) = Link::find(memory, main, interpreters, layout)? else {
        if layout.home != ObmallocHome::Statics {
            gaps.push(Gap::new("python subinterpreters", "where they keep their objects is not known"));
        }
        return Ok(others);
    };
    for &interpreter in interpreters {
        let Some(arenas) = link.arenas(memory, interpreter) else { continue };
        let is_known = arenas == main.arenas || others.iter().any(|other| other.arenas == arenas);
        // An interpreter that shares the main one's state, or has no object yet, has an empty one.
        if is_known || memory.read_addr(arenas).is_ok_and(Addr::is_null) {
            continue;
        }
        match probe(memory, arenas, MgmtLayout::Forward, version) {
            Some(state) => others.push(state),
            None => gaps.push(Gap::new(
                format!("objects of the python interpreter at {interpreter}"),
                "its allocator's state is damaged",
            )),
        }
    }
    Ok(others)
}

/// How an interpreter leads to its state.
enum Link {
    /// Offset of the variable `arenas` in the interpreter.
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
        let extent = |interpreter: Addr| Range::sized(interpreter, layout.interpreter_size);
        match layout.home {
            ObmallocHome::Statics => Ok(None),
            ObmallocHome::Embedded => Ok(interpreters
                .iter()
                .filter(|&&interpreter| extent(interpreter).contains(main.arenas))
                .map(|&interpreter| Self::Embedded(main.arenas.offset_from(interpreter)))
                .next_back()),
            ObmallocHome::Pointed => {
                let state = main.arenas - POOLS_BYTES;
                // The main interpreter is the last of the list.
                let Some(&interpreter) = interpreters.last() else { return Ok(None) };
                find_word(memory, &[extent(interpreter)], |addr, word| {
                    (word == state.get()).then(|| Self::Pointed(addr.offset_from(interpreter)))
                })
            }
        }
    }

    /// Where the interpreter's variable `arenas` lies.
    fn arenas<M: Memory + ?Sized>(&self, memory: &M, interpreter: Addr) -> Option<Addr> {
        match *self {
            Self::Embedded(offset) => interpreter.checked_add(offset),
            Self::Pointed(offset) => {
                let state = memory.read_addr(interpreter.checked_add(offset)?).ok()?;
                if state.is_null() { None } else { state.checked_add(POOLS_BYTES) }
            }
        }
    }
}

/// The state whose variable `arenas` lies at `arenas`, when everything around it fits.
fn probe<M: Memory + ?Sized>(
    memory: &M,
    arenas: Addr,
    layout: MgmtLayout,
    version: PythonVersion,
) -> Option<PymallocState> {
    let at = |offset: i64| arenas.get().checked_add_signed(offset).map(Addr);
    let max_arenas = at(layout.max_arenas())?;
    let n_slots = memory.read_u32(max_arenas).ok()?;
    if !PymallocState::is_table_size(n_slots) {
        return None;
    }
    let start = memory.read_addr(arenas).ok()?;
    let table = Range::sized(start, u64::from(n_slots) * ArenaObject::SIZE);
    let in_table = |slot: Addr| {
        slot.is_null()
            || table.contains(slot) && slot.offset_from(table.start).is_multiple_of(ArenaObject::SIZE)
    };
    let heads = [at(layout.unused())?, at(layout.usable())?];
    if !is_anonymous(memory, table) || !heads.iter().all(|&head| memory.read_addr(head).is_ok_and(in_table)) {
        return None;
    }
    Geometry::of(version).iter().copied().find_map(|geometry| {
        let n_fingers = geometry.pools_per_arena() as usize + 1;
        let fingers = memory.read_words(at(layout.fingers(geometry))?, n_fingers).ok()?;
        let n_allocated = memory.read_u64(at(layout.n_allocated(geometry))?).ok()?;
        let fits = fingers.into_iter().all(|finger| in_table(Addr(finger)))
            && (1..=u64::from(n_slots)).contains(&n_allocated)
            && has_arenas(memory, table.start, geometry, in_table);
        fits.then_some(PymallocState { arenas, max_arenas, geometry })
    })
}

/// Whether the first slots of a table are either unused or arenas in anonymous memory.
fn has_arenas<M: Memory + ?Sized>(
    memory: &M,
    table: Addr,
    geometry: Geometry,
    in_table: impl Fn(Addr) -> bool,
) -> bool {
    let mut bytes = [0; (PROBED_SLOTS * ArenaObject::SIZE) as usize];
    if memory.read(table, &mut bytes).is_err() {
        return false;
    }
    bytes.as_chunks().0.iter().map(ArenaObject::parse).all(|slot| {
        if slot.address.is_null() {
            in_table(slot.next)
        } else {
            slot.is_sound(geometry) && is_anonymous(memory, Range::sized(slot.address, 1))
        }
    })
}

fn is_anonymous<M: Memory + ?Sized>(memory: &M, range: Range) -> bool {
    memory.mapping_at(range.start).is_some_and(|map| map.is_anonymous_data() && map.range.covers(range))
}
