//! Chunks with a map of their own: `malloc` of a large block.
//!
//! Each starts a page with a header that holds the map's length. The kernel merges neighbouring
//! anonymous maps, so that one mapping may hold several, and other things between them. glibc keeps
//! their number and their bytes: the chunks found are believed when both agree.

use slackwater_base::{Addr, Class, Gap, PAGE_SIZE, PinReason, Range};
use slackwater_layout::glibc::{Release, chunk};
use slackwater_memory::{Kind, Mapping, Memory, MemoryError, MemoryExt, WINDOW_BYTES, Window};

use super::arena::{Common, Read};
use super::caches::Caches;
use super::params::Params;
use crate::{Arena, ArenaKind, GlibcArena};

/// How often the chunks are counted again when the target maps or unmaps some meanwhile.
const MAX_RETRIES: u32 = 3;
/// Most bytes of mappings that are searched page by page.
const MAX_SEARCHED_BYTES: u64 = 64 << 30;
/// What the neighbours of mapped chunks mostly are a multiple of.
const STEP_BYTES: u64 = 256 << 10;

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

/// The maps of mapped chunks, in address order. They are looked for where they mostly are, and
/// elsewhere only as long as some are missing:
/// 1. where mappings begin, and right behind other chunks;
/// 2. in steps of 256 KiB, which arenas of Python and most other neighbours are multiples of;
/// 3. at every page.
fn chunks(
    memory: &dyn Memory,
    release: &Release,
    params: &Params,
    taken: &[Range],
) -> Result<Vec<Range>, MemoryError> {
    let is_complete = |found: &[Range]| counts(found).0 >= params.settings.n_mmaps;
    let mut found = Vec::new();
    if is_complete(&found) {
        return Ok(found);
    }
    let is_searched = |mapping: &&Mapping| mapping.is_anonymous_data() && mapping.kind != Kind::Heap;
    let mappings = memory.mappings().iter().filter(is_searched);
    let mut rest: Vec<Range> = mappings
        .flat_map(|mapping| mapping.range.without(taken))
        .map(|part| part.align_in(PAGE_SIZE))
        .filter(|part| !part.is_empty())
        .collect();
    for part in &rest {
        follow(memory, release, part.start, part.end, &mut found)?;
    }
    if !is_complete(&found) {
        rest = without(&rest, &found);
        for part in &rest {
            let mut at = part.start + STEP_BYTES;
            while at < part.end {
                let end = follow(memory, release, at, part.end, &mut found)?;
                at = (at + STEP_BYTES).max(end);
            }
        }
    }
    let mut left = MAX_SEARCHED_BYTES;
    if !is_complete(&found) {
        rest = without(&rest, &found);
        for part in &rest {
            if is_complete(&found) || part.len() > left {
                break;
            }
            left -= part.len();
            search(memory, release, *part, &mut found)?;
        }
    }
    found.sort_unstable();
    Ok(found)
}

fn without(parts: &[Range], found: &[Range]) -> Vec<Range> {
    let mut found = found.to_vec();
    found.sort_unstable();
    parts.iter().flat_map(|part| part.without(&found)).collect()
}

/// Collects the chunk at `at` and those right behind it, up to `end`. Where the last one ends.
fn follow(
    memory: &dyn Memory,
    release: &Release,
    mut at: Addr,
    end: Addr,
    found: &mut Vec<Range>,
) -> Result<Addr, MemoryError> {
    loop {
        let words = match memory.read_words(at, 2) {
            Ok(words) => words,
            Err(error @ (MemoryError::Denied | MemoryError::Gone)) => return Err(error),
            Err(_) => return Ok(at),
        };
        let Some(chunk) = chunk_at(release, at, end, words[0], words[1]) else { return Ok(at) };
        found.push(chunk);
        at = chunk.end;
        if at >= end {
            return Ok(at);
        }
    }
}

/// Looks at the start of every resident page of `part`.
fn search(
    memory: &dyn Memory,
    release: &Release,
    part: Range,
    found: &mut Vec<Range>,
) -> Result<(), MemoryError> {
    let mut window = Window::new();
    let mut at = part.start;
    while at < part.end {
        let range = Range::sized(at, WINDOW_BYTES).intersect(part);
        memory.window(range, &mut window)?;
        while at < range.end {
            let words = window.word(at).zip(window.word(at + 8));
            let chunk = words.and_then(|(offset, head)| chunk_at(release, at, part.end, offset, head));
            at = chunk.map_or(at + PAGE_SIZE, |chunk| chunk.end);
            found.extend(chunk);
        }
    }
    Ok(())
}

/// The map of the mapped chunk that starts at `at`, a page, and ends by `end`.
///
/// `memalign` moves the chunk into its map; the header it had before stays at the start and still
/// gives the whole length.
fn chunk_at(release: &Release, at: Addr, end: Addr, offset: u64, head: u64) -> Option<Range> {
    // From 2.43 on bit 0 of the offset marks explicit huge pages.
    let offset = if release.mapped_extra_bytes() > 0 { offset & !1 } else { offset };
    let bytes = (head & !chunk::FLAGS).saturating_add(release.mapped_extra_bytes());
    let is_chunk = offset == 0
        && head & chunk::FLAGS == chunk::IS_MMAPPED
        && bytes.is_multiple_of(PAGE_SIZE)
        && bytes > 0
        && at.checked_add(bytes).is_some_and(|chunk_end| chunk_end <= end);
    is_chunk.then(|| Range::sized(at, bytes))
}
