//! Finds the descriptors of the target's threads.
//!
//! glibc links them in two lists whose heads lie in the data of ld.so, libpthread or a static
//! executable. A process that never linked libpthread has no list: its only descriptor lies in a
//! small anonymous map that ld.so made, or where the program break begins.
//!
//! A descriptor holds its own address twice and the id of its thread, which the kernel clears when
//! the thread ends. That id is of the target's pid namespace and need not be the one we know.

use std::collections::BTreeSet;

use slackwater_base::{Addr, Range, Tid};
use slackwater_layout::glibc::thread;
use slackwater_memory::{Kind, Mapping, Memory, MemoryError, MemoryExt, WINDOW_BYTES};

use super::image::{DataArea, search};

/// Most threads followed.
const MAX_THREADS: usize = 1 << 16;
/// Longest map searched for a descriptor outside the lists, and most bytes of all such maps.
const MAX_MAP_BYTES: u64 = 1 << 20;
const MAX_SEARCHED_BYTES: u64 = 64 << 20;

/// The descriptors of live threads, by address. `tids` are those known to live.
pub(super) fn descriptors(
    memory: &dyn Memory,
    areas: &[DataArea],
    tids: &[Tid],
) -> Result<Vec<Addr>, MemoryError> {
    let mut found = BTreeSet::new();
    for area in areas {
        listed(memory, area.range, &mut found)?;
    }
    if found.len() < tids.len().max(1) {
        unlisted(memory, &mut found)?;
    }
    let mut alive: Vec<(Addr, i32)> = found
        .into_iter()
        .filter_map(|addr| Some((addr, tid(memory, addr)?)))
        .filter(|(_, tid)| *tid > 0)
        .collect();
    let is_known = |id: i32| tids.contains(&Tid(id));
    // In our own pid namespace ids can be told apart from those that a fork left behind.
    if alive.iter().any(|(_, id)| is_known(*id)) {
        alive.retain(|(_, id)| is_known(*id));
    }
    Ok(alive.into_iter().map(|(addr, _)| addr).collect())
}

/// The thread id in the descriptor at `addr`, if there is one.
fn tid(memory: &dyn Memory, addr: Addr) -> Option<i32> {
    let mut bytes = [0; thread::BYTES as usize];
    memory.read(addr, &mut bytes).ok()?;
    let is_descriptor = thread::TCB.get(&bytes)? == addr && thread::SELF.get(&bytes)? == addr;
    if is_descriptor { thread::TID.get(&bytes) } else { None }
}

/// Whether a descriptor could lie at `addr`: nothing is read.
fn is_place(memory: &dyn Memory, addr: Addr) -> bool {
    addr.is_aligned(thread::ALIGN)
        && !addr.is_null()
        && memory.mapping_at(addr).is_some_and(Mapping::is_anonymous_data)
}

/// Follows every list whose head lies in `range`.
fn listed(memory: &dyn Memory, range: Range, found: &mut BTreeSet<Addr>) -> Result<(), MemoryError> {
    search::<()>(memory, range, 0, |window, own| {
        let mut at = own.start.align_up(8);
        while at < own.end {
            if let Some(link) = window.word(at)
                && let Some(first) = Addr(link).checked_sub(thread::LIST.offset())
                && is_place(memory, first)
                && !found.contains(&first)
            {
                follow(memory, first, at, found);
            }
            at = at + 8;
        }
        None
    })?;
    Ok(())
}

/// Follows a list from its first descriptor until it returns to its head.
fn follow(memory: &dyn Memory, first: Addr, head: Addr, found: &mut BTreeSet<Addr>) {
    let mut at = first;
    while is_place(memory, at) && found.len() < MAX_THREADS && tid(memory, at).is_some() {
        if !found.insert(at) {
            return;
        }
        let Ok(link) = memory.read_addr(thread::LIST.of(at)) else { return };
        if link == head {
            return;
        }
        at = Addr(link.0.wrapping_sub(thread::LIST.offset()));
    }
}

/// Looks for descriptors in small anonymous maps and at the start of the program break.
fn unlisted(memory: &dyn Memory, found: &mut BTreeSet<Addr>) -> Result<(), MemoryError> {
    let mut left = MAX_SEARCHED_BYTES;
    for mapping in memory.mappings() {
        let range = match mapping.kind {
            Kind::Heap => Range::sized(mapping.range.start, WINDOW_BYTES).intersect(mapping.range),
            _ if mapping.range.len() <= MAX_MAP_BYTES => mapping.range,
            _ => continue,
        };
        if !mapping.is_anonymous_data() || range.len() > left {
            continue;
        }
        left -= range.len();
        search::<()>(memory, range, 0, |window, own| {
            let mut at = own.start.align_up(thread::ALIGN);
            while at < own.end {
                if window.word(at) == Some(at.0) && tid(memory, at).is_some() {
                    found.insert(at);
                }
                at = at + thread::ALIGN;
            }
            None
        })?;
    }
    Ok(())
}
