//! The stretches of memory that one arena tiles with chunks: the program break's for the main
//! arena, one per heap for the others.

use slackwater_base::{Addr, PAGE_SIZE, Range};
use slackwater_layout::glibc::{Release, chunk};
use slackwater_memory::{Kind, Mapping, Memory, MemoryExt};

use super::broken::Broken;
use super::pages::Pages;
use super::params::Params;
use super::state::State;

/// Most heaps of one arena: 64 TiB of them.
const MAX_HEAPS: usize = 1 << 20;
/// How far the main arena may have grown since the mappings were listed.
const MAX_GROWTH_BYTES: u64 = 256 << 20;
/// Most bytes that another user of the program break has taken at once.
const MAX_FOREIGN_BYTES: u64 = 256 << 20;
/// So many chunks in a row are no accident.
const MIN_FOLLOWING: usize = 12;

/// A stretch of memory tiled with chunks from `first` on.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Extent {
    /// All of it, headers included.
    pub(super) range: Range,
    /// The first chunk.
    pub(super) first: Addr,
    /// The top chunk, where it ends; otherwise it ends with a fencepost.
    pub(super) top: Option<Addr>,
}

/// Where an arena's memory lies, in address order.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(super) struct Extents(pub(super) Vec<Extent>);

impl Extents {
    /// Bytes of all of them.
    pub(super) fn bytes(&self) -> u64 {
        self.0.iter().map(|extent| extent.range.len()).sum()
    }

    /// Those of `addrs`, which are sorted, that lie in one of them.
    pub(super) fn among(&self, addrs: &[Addr]) -> Vec<Addr> {
        let inside = self.0.iter().flat_map(|extent| {
            let from = addrs.partition_point(|addr| *addr < extent.range.start);
            let len = addrs[from..].partition_point(|addr| *addr < extent.range.end);
            &addrs[from..from + len]
        });
        inside.copied().collect()
    }

    /// Whether `addr` lies in one of them.
    pub(super) fn contains(&self, addr: Addr) -> bool {
        let after = self.0.partition_point(|extent| extent.range.start <= addr);
        self.0[..after].last().is_some_and(|extent| extent.range.contains(addr))
    }
}

/// The extents of the main arena.
pub(super) fn of_main(memory: &dyn Memory, state: &State, params: &Params) -> Result<Extents, Broken> {
    if state.is_empty() {
        return Ok(Extents::default());
    }
    if !state.is_contiguous() || params.sbrk_base.is_null() {
        return Err(Broken::Unsupported("the main arena is not on the program break alone"));
    }
    let top = state.top();
    let start = params.sbrk_base;
    let end = end_of_top(memory, top)?;
    if top < start {
        return Err(Broken::torn(top, "a top chunk below the program break"));
    }
    let limit = break_end(memory).map_or(start, |end| end + MAX_GROWTH_BYTES);
    if end > limit {
        return Err(Broken::torn(top, "a top chunk that ends behind the program break"));
    }
    if end.offset_from(start) != state.system_bytes() {
        return Err(Broken::Unbalanced("the heap's length is not what the arena had from the system"));
    }
    let first = start.align_up(chunk::ALIGN);
    Ok(Extents(vec![Extent { range: Range::new(start, end), first, top: Some(top) }]))
}

/// The rest of the main arena's extent behind memory of others that begins at `from`: where a chunk
/// starts from which the next ones follow. glibc does not keep that address.
pub(super) fn behind_foreign(memory: &dyn Memory, extent: &Extent, from: Addr) -> Result<Extent, Broken> {
    let Some(top) = extent.top else { return Err(Broken::torn(from, "a cut in a secondary arena")) };
    let pages = Pages::new(memory);
    let limit = top.min(from + MAX_FOREIGN_BYTES);
    let mut at = from;
    while at <= limit {
        if chunks_follow(&pages, at, top) {
            return Ok(Extent { range: Range::new(at, extent.range.end), first: at, top: extent.top });
        }
        at = at + chunk::ALIGN;
    }
    Err(Broken::torn(from, "memory of another user of the program break with no end"))
}

/// Whether chunks follow one another from `at`, until the top or for long enough.
fn chunks_follow(pages: &Pages, mut at: Addr, top: Addr) -> bool {
    for step in 0..MIN_FOLLOWING {
        if at == top {
            return true;
        }
        let Ok(head) = pages.word(chunk::SIZE.of(at)) else { return false };
        let bytes = head & !chunk::FLAGS;
        // In the main arena the first chunk's predecessor counts as in use.
        let is_possible = head & (chunk::IS_MMAPPED | chunk::NON_MAIN_ARENA) == 0
            && (step > 0 || head & chunk::PREV_INUSE != 0)
            && bytes >= chunk::MIN_BYTES
            && bytes.is_multiple_of(chunk::ALIGN)
            && bytes <= top.offset_from(at);
        if !is_possible {
            return false;
        }
        at = at + bytes;
    }
    true
}

/// The end of the program break's mapping: the break itself, rounded up to a page.
pub(super) fn break_end(memory: &dyn Memory) -> Option<Addr> {
    let heaps = memory.mappings().iter().filter(|mapping| mapping.kind == Kind::Heap);
    heaps.map(|mapping| mapping.range.end).max()
}

/// The extents of a secondary arena: its heaps, found backwards from the one that holds its top.
pub(super) fn of_secondary(
    memory: &dyn Memory,
    release: &Release,
    params: &Params,
    state: &State,
) -> Result<Extents, Broken> {
    let max_bytes = release.heap_max_bytes(params.huge_page_bytes);
    let layout = release.heap_info;
    let top = state.top();
    let mut extents = Vec::new();
    let mut heap = top.align_down(max_bytes);
    let mut total = 0_u64;
    loop {
        if !memory.mapping_at(heap).is_some_and(Mapping::is_anonymous_data) {
            return Err(Broken::torn(heap, "a heap where nothing is mapped"));
        }
        let mut bytes = vec![0; layout.bytes as usize];
        memory.read(heap, &mut bytes)?;
        let (Some(arena), Some(prev), Some(size)) =
            (layout.arena.get(&bytes), layout.prev.get(&bytes), layout.size.get(&bytes))
        else {
            return Err(Broken::torn(heap, "a short heap header"));
        };
        if arena != state.addr {
            return Err(Broken::torn(heap, "a heap of another arena"));
        }
        let holds_state = state.addr == heap + layout.bytes;
        let first = heap + if holds_state { release.first_chunk_offset() } else { layout.bytes };
        if !size.is_multiple_of(PAGE_SIZE) || size > max_bytes || heap + size <= first {
            return Err(Broken::torn(heap, "a heap of impossible size"));
        }
        total = total.saturating_add(size);
        let range = Range::sized(heap, size);
        extents.push(Extent { range, first, top: range.contains(top).then_some(top) });
        if prev.is_null() {
            if !holds_state {
                return Err(Broken::torn(heap, "a chain of heaps that does not lead to its arena"));
            }
            break;
        }
        // The total bounds the chain too: heaps are not empty.
        if !prev.is_aligned(max_bytes) || extents.len() == MAX_HEAPS || total > state.system_bytes() {
            return Err(Broken::torn(heap, "a broken chain of heaps"));
        }
        heap = prev;
    }
    if total != state.system_bytes() {
        return Err(Broken::Unbalanced("the heaps' sizes are not what the arena had from the system"));
    }
    extents.sort_by_key(|extent| extent.range.start);
    if extents.iter().filter(|extent| extent.top.is_some()).count() != 1
        || extents.windows(2).any(|pair| pair[0].range.end > pair[1].range.start)
    {
        return Err(Broken::Unbalanced("its heaps overlap"));
    }
    if extents
        .iter()
        .any(|extent| extent.top.is_some_and(|top| end_of_top(memory, top).ok() != Some(extent.range.end)))
    {
        return Err(Broken::torn(top, "a top chunk that does not end its heap"));
    }
    Ok(Extents(extents))
}

fn end_of_top(memory: &dyn Memory, top: Addr) -> Result<Addr, Broken> {
    let head = memory.read_u64(chunk::SIZE.of(top))?;
    let end = top.checked_add(head & !chunk::FLAGS);
    end.filter(|end| top.is_aligned(chunk::ALIGN) && *end > top)
        .ok_or_else(|| Broken::torn(top, "a top chunk of impossible size"))
}
