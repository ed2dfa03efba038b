//! Finds glibc's `main_arena` without symbols.
//!
//! An empty bin's two links point 16 bytes before themselves. A hundred such pairs in a row are
//! `main_arena.bins`, and nothing else is. Where the struct starts relative to them differs by
//! release: the right start is the one from which the ring of arenas closes.

use slackwater_base::{Addr, Range};
use slackwater_layout::glibc::state::{self, BINS_BYTES, N_BINS, StateLayout};
use slackwater_memory::{Kind, Mapping, Memory, MemoryError, MemoryExt, Window};

use super::image::{DataArea, search};

/// Fewest empty bins of an arena that has been used. A heap after days of work has some dozens.
const MIN_EMPTY_BINS: u32 = 6;
/// Most arenas followed: 8 per processor is glibc's own limit.
pub(super) const MAX_ARENAS: usize = 1 << 14;
/// From the bins to the end of the longest struct.
const TAIL_BYTES: u64 = 56;

/// `main_arena`, and the ring it is in.
#[derive(Clone, Debug)]
pub(super) struct Found {
    /// How its structs are laid out.
    pub(super) layout: &'static StateLayout,
    /// Every arena's address, `main_arena` first.
    pub(super) arenas: Vec<Addr>,
}

/// Looks for `main_arena` in one file's data.
pub(super) fn main_arena(memory: &dyn Memory, area: &DataArea) -> Result<Option<Found>, MemoryError> {
    search(memory, area.range, BINS_BYTES + TAIL_BYTES, |window, own| {
        candidates(window, own).into_iter().find_map(|bins| ring_through(memory, bins))
    })
}

/// Addresses that could be `main_arena.bins`: enough of the pairs from there are empty bins.
fn candidates(window: &Window, own: Range) -> Vec<Addr> {
    let start = own.start.align_up(8);
    let words = own.end.max(window.range().end).offset_from(start) / 8;
    let empty: Vec<bool> = (0..words)
        .map(|index| {
            let at = start + index * 8;
            window.word(at) == Some(at.0.wrapping_sub(16))
                && window.word(at + 8) == Some(at.0.wrapping_sub(16))
        })
        .collect();
    // Pairs are two words apart: a running count for even and for odd words.
    let span = 2 * N_BINS as usize;
    let mut count = [0_u32; 2];
    let mut found = Vec::new();
    for (index, &is_empty) in empty.iter().enumerate() {
        let parity = index % 2;
        count[parity] += u32::from(is_empty);
        if index >= span {
            count[parity] -= u32::from(empty[index - span]);
        }
        if index + 2 >= span && count[parity] >= MIN_EMPTY_BINS {
            found.push(start + (index + 2 - span) as u64 * 8);
        }
    }
    found.retain(|bins| own.contains(*bins));
    found
}

/// The ring of arenas, if the one whose bins start at `bins` is in one.
fn ring_through(memory: &dyn Memory, bins: Addr) -> Option<Found> {
    let mut tried: Option<u64> = None;
    for layout in &state::ALL {
        let head = layout.bins.offset();
        if tried == Some(head) {
            continue;
        }
        tried = Some(head);
        let main = bins.checked_sub(head)?;
        if let Some(arenas) = ring(memory, layout, main) {
            return Some(Found { layout: by_thread_count(memory, layout, &arenas), arenas });
        }
    }
    None
}

/// Every arena from `main` along `next`, when that leads back to `main`. `next` lies at the same
/// distance from the bins in all layouts.
pub(super) fn ring(memory: &dyn Memory, layout: &StateLayout, main: Addr) -> Option<Vec<Addr>> {
    let mut arenas = vec![main];
    loop {
        let last = *arenas.last()?;
        let next = memory.read_addr(layout.next.of(last)).ok()?;
        if next == main {
            return Some(arenas);
        }
        // Secondary arenas lie behind a heap's header, in memory of their own: perhaps mapped, or made
        // accessible, after the list of mappings was read (`new_heap` does one after the other). Such
        // an arena is a gap later, and no reason to see no ring.
        let is_anonymous = |mapping: &Mapping| matches!(mapping.kind, Kind::Anonymous { .. } | Kind::Heap);
        let plausible = next.is_aligned(16) && memory.mapping_at(next).is_none_or(is_anonymous);
        if !plausible || arenas.len() == MAX_ARENAS {
            return None;
        }
        arenas.push(next);
    }
}

/// Tells the layouts apart that differ only in having a count of threads: where the count would be,
/// the other has the bytes had from the system, which are whole pages.
fn by_thread_count(
    memory: &dyn Memory,
    layout: &'static StateLayout,
    arenas: &[Addr],
) -> &'static StateLayout {
    let same_head = |other: &&StateLayout| other.bins.offset() == layout.bins.offset();
    let counted = state::ALL.iter().filter(same_head).find(|other| other.attached_threads.is_some());
    let uncounted = state::ALL.iter().filter(same_head).find(|other| other.attached_threads.is_none());
    let (Some(counted), Some(uncounted)) = (counted, uncounted) else { return layout };
    let is_count = |&arena: &Addr| {
        let first = memory.read_u64(uncounted.system_mem.of(arena)).unwrap_or(0);
        let second = memory.read_u64(uncounted.max_system_mem.of(arena)).unwrap_or(0);
        first < second && first < 4096 || first == 0
    };
    if arenas.iter().all(is_count) { counted } else { uncounted }
}
