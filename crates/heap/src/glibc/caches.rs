//! The thread caches: chunks that are free, though their arena counts them as in use.
//!
//! Each thread's `tcache` variable lies in its static thread-local storage, below its descriptor,
//! at the same distance for all threads. The distance is found once, as the one where pointers lead
//! to chunks of the cache's exact size with counters that agree with their lists.
//!
//! A cache belongs to its thread, which takes no lock to change it: a bin caught in mid-change is
//! read again, and counted as uncertain if that does not help.

use std::collections::BTreeSet;

use slackwater_base::Addr;
use slackwater_layout::glibc::tcache::{Counter, TcacheLayout};
use slackwater_layout::glibc::{Release, chunk};
use slackwater_memory::{Mapping, Memory, MemoryExt};

use super::fast;
use super::pages::Pages;

/// How far below a descriptor the variable is looked for.
const MAX_TLS_BYTES: u64 = 256 << 10;
/// How many threads are asked for the distance.
const MAX_VOTERS: usize = 16;
/// Most chunks in one cache: 7 or 16 in each of 76 bins unless a tunable says otherwise.
const MAX_CHUNKS: usize = 1 << 18;
/// How often a cache is read before a bin is given up.
const MAX_TRIES: u32 = 4;

/// The caches of all threads.
#[derive(Clone, Default, Debug)]
pub(super) struct Caches {
    /// Chunks in them.
    pub(super) chunks: Vec<Addr>,
    /// The chunks that hold the caches themselves.
    pub(super) own: Vec<Addr>,
    /// Bytes of chunks that may be free or in use.
    pub(super) uncertain_bytes: u64,
}

/// How to find a thread's cache from its descriptor.
#[derive(Clone, Copy, Debug)]
pub(super) struct Locator {
    layout: &'static TcacheLayout,
    /// Bytes from the variable up to the descriptor.
    distance: u64,
    /// How many chunks were seen in the caches that lie there.
    pub(super) n_chunks: usize,
}

/// One thread's cache.
struct Cache {
    chunks: Vec<Addr>,
    uncertain_bytes: u64,
}

/// Finds where threads keep the address of their cache. `None` when no thread has one.
pub(super) fn locate(
    memory: &dyn Memory,
    release: &Release,
    tcache_count: u64,
    descriptors: &[Addr],
) -> Option<Locator> {
    let layout = release.tcache?;
    let voters = &descriptors[..descriptors.len().min(MAX_VOTERS)];
    let pages = Pages::new(memory);
    let mut distances = BTreeSet::new();
    for &descriptor in voters {
        distances.extend(candidates(memory, &pages, layout, descriptor));
        // One thread at work shows the place; the others are asked whether they agree.
        if distances.len() > 1 {
            break;
        }
    }
    let vote = |&distance: &u64| {
        let caches = voters.iter().filter_map(|descriptor| {
            let block = memory.read_addr(descriptor.checked_sub(distance)?).ok()?;
            let own = own_chunk(memory, &Pages::new(memory), layout, block)?;
            read(memory, release, layout, tcache_count, own).filter(|cache| cache.uncertain_bytes == 0)
        });
        caches.fold((0, 0), |(n_caches, n_chunks), cache| (n_caches + 1, n_chunks + cache.chunks.len()))
    };
    // Most caches, then most chunks in them, then nearest to the descriptor.
    let votes = distances.into_iter().map(|distance| (vote(&distance), distance));
    let ((_, n_chunks), distance) = votes
        .filter(|((n_caches, _), _)| *n_caches > 0)
        .max_by_key(|(votes, distance)| (*votes, u64::MAX - distance))?;
    Some(Locator { layout, distance, n_chunks })
}

/// Distances below `descriptor` at which lies the address of what could be a cache.
fn candidates(memory: &dyn Memory, pages: &Pages, layout: &TcacheLayout, descriptor: Addr) -> Vec<u64> {
    let Some(mapping) = memory.mapping_at(descriptor) else { return Vec::new() };
    let below = descriptor.offset_from(mapping.range.start).min(MAX_TLS_BYTES) & !7;
    let Ok(words) = memory.read_words(descriptor - below, (below / 8) as usize) else { return Vec::new() };
    let distances = (0..).map(|index| below - index * 8);
    let is_cache = |word: u64| own_chunk(memory, pages, layout, Addr(word)).is_some();
    distances.zip(words).filter(|(_, word)| is_cache(*word)).map(|(distance, _)| distance).collect()
}

impl Caches {
    /// Reads the caches of all threads.
    pub(super) fn read(
        memory: &dyn Memory,
        release: &Release,
        tcache_count: u64,
        locator: Option<Locator>,
        descriptors: &[Addr],
    ) -> Self {
        let mut caches = Self::default();
        let Some(locator) = locator else { return caches };
        for &descriptor in descriptors {
            let Some(variable) = descriptor.checked_sub(locator.distance) else { continue };
            let Ok(block) = memory.read_addr(variable) else { continue };
            let Some(own) = own_chunk(memory, &Pages::new(memory), locator.layout, block) else { continue };
            if let Some(cache) = read(memory, release, locator.layout, tcache_count, own) {
                caches.own.push(own);
                caches.chunks.extend(cache.chunks);
                caches.uncertain_bytes += cache.uncertain_bytes;
            }
        }
        caches.settle();
        caches
    }

    /// A chunk that moved from one cache to another while we looked is in both: it is counted once.
    fn settle(&mut self) {
        for list in [&mut self.chunks, &mut self.own] {
            list.sort_unstable();
            list.dedup();
        }
    }
}

/// The chunk of the block at `block`, if it has the size of one that holds a cache.
fn own_chunk(memory: &dyn Memory, pages: &Pages, layout: &TcacheLayout, block: Addr) -> Option<Addr> {
    let own = block.checked_sub(chunk::HEADER_BYTES).filter(|own| own.is_aligned(chunk::ALIGN))?;
    if !memory.mapping_at(own).is_some_and(Mapping::is_anonymous_data) {
        return None;
    }
    let head = pages.word(chunk::SIZE.of(own)).ok()?;
    let is_mapped = head & chunk::IS_MMAPPED != 0;
    (head & !chunk::FLAGS == layout.chunk_bytes() && !is_mapped).then_some(own)
}

/// Reads one cache, several times if it changes meanwhile. `None` when it is none.
fn read(
    memory: &dyn Memory,
    release: &Release,
    layout: &TcacheLayout,
    tcache_count: u64,
    own: Addr,
) -> Option<Cache> {
    let mut best: Option<Cache> = None;
    for _ in 0..MAX_TRIES {
        let cache = read_once(memory, release, layout, tcache_count, own)?;
        if cache.uncertain_bytes == 0 {
            return Some(cache);
        }
        if best.as_ref().is_none_or(|best| cache.uncertain_bytes < best.uncertain_bytes) {
            best = Some(cache);
        }
    }
    // A thread at work may never hold still; what is no cache at all is wrong in most bins.
    best.filter(|cache| !cache.chunks.is_empty())
}

fn read_once(
    memory: &dyn Memory,
    release: &Release,
    layout: &TcacheLayout,
    tcache_count: u64,
    own: Addr,
) -> Option<Cache> {
    let mut bytes = vec![0; layout.bytes as usize];
    memory.read(own + chunk::HEADER_BYTES, &mut bytes).ok()?;
    let pages = Pages::new(memory);
    let mut cache = Cache { chunks: Vec::new(), uncertain_bytes: 0 };
    for index in 0..layout.n_bins {
        let counter = layout.count(&bytes, index)?;
        let held = match layout.counter {
            Counter::Held8 | Counter::Held16 => counter,
            Counter::Room16 => tcache_count.checked_sub(counter)?,
        };
        let first = layout.first(&bytes, index)?;
        let before = cache.chunks.len();
        let is_whole = follow(memory, &pages, release, layout, index, first, held, &mut cache.chunks);
        if is_whole.is_none() {
            cache.chunks.truncate(before);
            cache.uncertain_bytes += held.max(1).saturating_mul(*layout.sizes(index).end());
        }
        if cache.chunks.len() > MAX_CHUNKS {
            return None;
        }
    }
    Some(cache)
}

/// Collects the chunks of bin `index`, when there are exactly `held`.
#[expect(clippy::too_many_arguments, reason = "one bin is described by all of these")]
fn follow(
    memory: &dyn Memory,
    pages: &Pages,
    release: &Release,
    layout: &TcacheLayout,
    index: u64,
    first: Addr,
    held: u64,
    chunks: &mut Vec<Addr>,
) -> Option<()> {
    let mut block = first;
    for _ in 0..held {
        let at = block.checked_sub(chunk::HEADER_BYTES).filter(|at| at.is_aligned(chunk::ALIGN))?;
        if !memory.mapping_at(at).is_some_and(Mapping::is_anonymous_data) || chunks.len() > MAX_CHUNKS {
            return None;
        }
        let head = pages.word(chunk::SIZE.of(at)).ok()?;
        if !layout.sizes(index).contains(&(head & !chunk::FLAGS)) {
            return None;
        }
        chunks.push(at);
        block = fast::next(pages, release, block).ok()?;
    }
    block.is_null().then_some(())
}
