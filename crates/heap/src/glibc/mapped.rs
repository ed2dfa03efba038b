//! Chunks with a map of their own: `malloc` of a large block.
//!
//! Each starts a page with a header that holds the map's length. The kernel merges neighbouring
//! anonymous maps, so that one mapping may hold several, and other things between them. glibc keeps
//! their number and their bytes: the chunks found are believed when both agree.

use slackwater_base::{Addr, Class, Gap, PAGE_SIZE, PinReason, Range};
use slackwater_layout::glibc::{Release, chunk};
use slackwater_memory::{Kind, Memory, MemoryError, MemoryExt, WINDOW_BYTES};

use super::arena::{Common, Read};
use super::caches::Caches;
use super::params::Params;
use crate::{Arena, ArenaKind, GlibcArena};

/// How often the chunks are counted again when the target maps or unmaps some meanwhile.
const MAX_RETRIES: u32 = 3;
/// Most bytes of mappings that are searched page by page.
const MAX_SEARCHED_BYTES: u64 = 64 << 30;

/// Finds all mapped chunks outside `taken`, which is sorted.
pub(super) fn read(common: &Common, taken: &[Range], caches: &Caches) -> Result<Read, MemoryError> {
    let memory = common.memory;
    let mut retries = 0;
    let mut params = common.params;
    let (found, agrees) = loop {
        let before = params;
        let found = chunks(memory, &common.release, &before, taken)?;
        let after = Params::read(memory, common.release.params, before.addr)?.unwrap_or(before);
        params = after;
        let agrees = agree(&common.release, &found, &before) || agree(&common.release, &found, &after);
        let is_quiet = expected(&before) == expected(&after);
        if agrees || is_quiet || retries == MAX_RETRIES {
            break (found, agrees);
        }
        retries += 1;
    };
    let mut arena = Arena { retries, ..Arena::new(common.params.addr, ArenaKind::Mapped) };
    let mut cached = crate::Blocks::default();
    for range in &found {
        let overhead = Range::sized(range.start, chunk::HEADER_BYTES);
        let block = Range::new(overhead.end, range.end);
        let resident = memory.resident(block)?;
        arena.mapped_bytes += range.len();
        arena.ledger[Class::AllocatorOverhead] += memory.resident(overhead)?;
        if caches.chunks.binary_search(&range.start).is_ok() {
            cached.count += 1;
            cached.bytes += range.len();
            arena.ledger[Class::SlackPinned] += resident;
            arena.pinned_by[PinReason::Caches] += resident;
        } else {
            arena.live.count += 1;
            arena.live.bytes += block.len();
            arena.ledger[Class::LiveUnsplit] += resident;
        }
    }
    arena.glibc = Some(GlibcArena { cached, ..GlibcArena::default() });
    let (n_found, bytes_found) = counts(&found);
    let (n_expected, bytes_expected) = expected(&params);
    let gap = (!agrees).then(|| {
        Gap::new(
            "glibc's mapped chunks",
            format!(
                "glibc counts {n_expected} with {bytes_expected} bytes, \
                 {n_found} with {bytes_found} bytes were found"
            ),
        )
    });
    Ok(Read { arena, claims: found, gap })
}

fn counts(found: &[Range]) -> (u64, u64) {
    (found.len() as u64, found.iter().map(|range| range.len()).sum())
}

/// Whether the chunks found are those that glibc counts.
fn agree(release: &Release, found: &[Range], params: &Params) -> bool {
    let (count, bytes) = counts(found);
    let (expected_count, expected_bytes) = expected(params);
    let drift = expected_bytes.checked_sub(bytes);
    // glibc's own figure drifts in steps smaller than a page, or not at all.
    let may_drift = release.params.mmapped_mem_unit < PAGE_SIZE;
    count == expected_count && drift.is_some_and(|drift| drift == 0 || may_drift)
}

const fn expected(params: &Params) -> (u64, u64) {
    (params.settings.n_mmaps, params.settings.mmapped_bytes)
}

/// The maps of mapped chunks, in address order. First only where mappings begin and right behind
/// chunks; page by page only if that does not find all.
fn chunks(
    memory: &dyn Memory,
    release: &Release,
    params: &Params,
    taken: &[Range],
) -> Result<Vec<Range>, MemoryError> {
    if params.settings.n_mmaps == 0 {
        return Ok(Vec::new());
    }
    let mut found = Vec::new();
    let mut rest = Vec::new();
    for mapping in memory.mappings() {
        if !mapping.is_anonymous_data() || mapping.kind == Kind::Heap {
            continue;
        }
        for part in mapping.range.without(taken) {
            let mut at = part.start.align_up(PAGE_SIZE);
            while let Some(chunk) = chunk_at(memory, release, at, part.end)? {
                at = chunk.end;
                found.push(chunk);
            }
            if at < part.end {
                rest.push(Range::new(at, part.end));
            }
        }
    }
    let mut left = MAX_SEARCHED_BYTES;
    for part in rest {
        if counts(&found).0 >= params.settings.n_mmaps || part.len() > left {
            break;
        }
        left -= part.len();
        search(memory, release, part, &mut found)?;
    }
    found.sort();
    Ok(found)
}

/// Looks at the start of every resident page of `part`.
fn search(
    memory: &dyn Memory,
    release: &Release,
    part: Range,
    found: &mut Vec<Range>,
) -> Result<(), MemoryError> {
    let mut pages = Vec::new();
    let mut at = part.start;
    while at < part.end {
        let step = Range::new(at, part.end.min(at + WINDOW_BYTES));
        pages.clear();
        memory.pages(step, &mut pages)?;
        let mut next = step.end;
        for (index, page) in pages.iter().enumerate() {
            let start = step.start + index as u64 * PAGE_SIZE;
            if start < at || !page.is_resident() {
                continue;
            }
            if let Some(chunk) = chunk_at(memory, release, start, part.end)? {
                at = chunk.end;
                next = next.max(chunk.end);
                found.push(chunk);
            }
        }
        at = next;
    }
    Ok(())
}

/// The map of the mapped chunk that starts at `at`, a page, and ends by `end`.
///
/// `memalign` moves the chunk into its map; the header it had before stays at the start and still
/// gives the whole length.
fn chunk_at(
    memory: &dyn Memory,
    release: &Release,
    at: Addr,
    end: Addr,
) -> Result<Option<Range>, MemoryError> {
    let words = match memory.read_words(at, 2) {
        Ok(words) => words,
        Err(error @ (MemoryError::Denied | MemoryError::Gone)) => return Err(error),
        Err(_) => return Ok(None),
    };
    let (offset, head) = (words[0], words[1]);
    // From 2.43 on bit 0 of the offset marks explicit huge pages.
    let offset = if release.mapped_extra_bytes() > 0 { offset & !1 } else { offset };
    let bytes = (head & !chunk::FLAGS).saturating_add(release.mapped_extra_bytes());
    let is_chunk = offset == 0
        && head & chunk::FLAGS == chunk::IS_MMAPPED
        && bytes.is_multiple_of(PAGE_SIZE)
        && bytes > 0
        && at.checked_add(bytes).is_some_and(|chunk_end| chunk_end <= end);
    Ok(is_chunk.then(|| Range::sized(at, bytes)))
}
