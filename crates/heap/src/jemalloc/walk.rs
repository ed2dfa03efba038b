//! The walk over the page map.

use std::collections::BTreeMap;
use std::time::Duration;

use slackwater_base::{Addr, Bytes, Class, Gap, Ledger, PAGE_SIZE, Partial, PinnedBy, Range};
use slackwater_layout::jemalloc::{Extent, LeafWord};
use slackwater_layout::slackwater::{Snapshot, Statistics};
use slackwater_memory::{Memory, MemoryError};

use super::JemallocError;
use super::booking::{Booking, Padding};
use super::caches::Cached;
use super::extents::{Extents, anonymous};
use super::metadata::Metadata;
use super::page_map::{Leaf, Words, leaves};
use super::pools::usable;
use super::residency::Residency;
use crate::{Allocator, Arena, ArenaKind, Blocks, Heap};

/// How often the heap is walked while the target changes it.
const ATTEMPTS: u32 = 3;
/// How long the target is left alone before another time.
const PAUSE: Duration = Duration::from_millis(2);
/// How often one extent is read within one walk.
const EXTENT_ATTEMPTS: u32 = 4;

/// A heap, and its sums in jemalloc's own words.
#[derive(Clone, Debug)]
pub struct Walked {
    /// The books.
    pub heap: Heap,
    /// What jemalloc's own statistics should say, as far as extents tell: bytes allocated, active,
    /// dirty, muzzy, retained and cached.
    pub totals: Statistics,
}

/// Walks the heap of the library that published `block`.
///
/// # Errors
/// When its page map or its arenas cannot be read, or are not laid out as in jemalloc 5.3.1. Trouble
/// with single extents is a gap; their resident bytes are then unexplained.
pub fn walk(memory: &dyn Memory, block: &Snapshot) -> Result<Partial<Walked>, JemallocError> {
    if block.page_map.is_null() || block.arenas.is_null() {
        return Err(JemallocError::NoPageMap);
    }
    let mut best = Pass::over(memory, block)?;
    let mut retries = 0;
    while best.n_torn > 0 && !best.is_hopeless() && retries + 1 < ATTEMPTS {
        retries += 1;
        memory.let_run(PAUSE);
        let pass = Pass::over(memory, block)?;
        if pass.lost_bytes() <= best.lost_bytes() {
            best = pass;
        }
    }
    best.finish(block, retries)
}

/// Extents that may be torn in one walk, besides one in this many: more is no jemalloc.
const TORN_SHARE: u64 = 4;
/// And besides these.
const MOST_TORN: u64 = 1000;

/// What the page map says of a page.
enum Found {
    /// An extent begins there.
    Extent(Extent),
    /// It lies inside one whose beginning was missed.
    Inside(Range),
    /// Page map and extent do not describe each other.
    Unknown,
}

/// One pass over all extents.
struct Pass<'a> {
    words: Words<'a>,
    extents: Extents<'a>,
    booking: Booking<'a>,
    arenas: BTreeMap<u32, Arena>,
    /// The library's own.
    pools: Option<Arena>,
    claims: Vec<Range>,
    /// The arena of the last extent: what cannot be told is entered there.
    current: u32,
    /// Behind the last extent.
    done: Addr,
    n_extents: u64,
    n_torn: u64,
    /// Leaves of the page map that could not be read.
    n_missing: usize,
    uses_huge: bool,
}

impl<'a> Pass<'a> {
    fn over(memory: &'a dyn Memory, block: &Snapshot) -> Result<Self, JemallocError> {
        let spans = anonymous(memory.mappings());
        let metadata = Metadata::read(memory, block.arenas, &spans)?;
        let padding = match block.settings.option("cache_oblivious") {
            Some(value) if value.to_string() == "false" => Padding::None,
            _ => Padding::Page,
        };
        let mut pass = Pass {
            words: Words::new(memory),
            extents: Extents::new(memory),
            booking: Booking {
                residency: Residency::new(memory),
                cached: Cached::read(memory, metadata.arenas.values().copied()),
                padding,
                memory,
                totals: Statistics::default(),
            },
            arenas: BTreeMap::new(),
            pools: None,
            claims: Vec::new(),
            current: 0,
            done: Addr::default(),
            n_extents: 0,
            n_torn: 0,
            n_missing: 0,
            uses_huge: false,
        };
        for (&number, &addr) in &metadata.arenas {
            pass.arenas.insert(number, Arena::new(addr, ArenaKind::Jemalloc));
        }
        pass.pools = pass.booking.pools(block.pools).map_err(|source| JemallocError::Pages { source })?;
        pass.claims = usable(memory, block.pools);
        pass.enter_metadata(&metadata).map_err(|source| JemallocError::Pages { source })?;
        let blocks: Vec<Range> = metadata.blocks.iter().map(|&(block, _)| block).collect();
        let parts: Vec<Range> = spans.iter().flat_map(|span| span.without(&blocks)).collect();
        let found = leaves(memory, block.page_map, &spans)?;
        pass.n_missing = found.n_missing;
        for leaf in found.leaves {
            let first = parts.partition_point(|part| part.end <= leaf.covers.start);
            let covered = parts[first..].iter().take_while(|part| part.start < leaf.covers.end);
            for &part in covered {
                pass.stretch(leaf, part).map_err(|source| JemallocError::Pages { source })?;
            }
        }
        Ok(pass)
    }

    fn enter_metadata(&mut self, metadata: &Metadata) -> Result<(), MemoryError> {
        for &(block, number) in &metadata.blocks {
            let resident = self.booking.residency.weigh(block)?;
            if let Some(arena) = self.arenas.get_mut(&number) {
                arena.ledger[Class::AllocatorOverhead] += resident;
                self.claims.push(block);
            }
        }
        Ok(())
    }

    /// All extents that begin in `part`, as far as `leaf` covers it.
    fn stretch(&mut self, leaf: Leaf, part: Range) -> Result<(), MemoryError> {
        let covered = part.intersect(leaf.covers);
        let mut from = covered.start.max(self.done);
        while !self.is_hopeless()
            && let Some((page, word)) = self.words.next(leaf, from, covered.end)?
        {
            let range = match self.find(leaf, page, word) {
                Found::Extent(extent) => {
                    let range = extent.range.intersect(part);
                    self.enter(&extent, range)?;
                    range
                }
                Found::Inside(range) => {
                    let range = Range::new(range.start.max(self.done), range.end).intersect(part);
                    self.give_up(range)?;
                    range
                }
                Found::Unknown => {
                    let range = Range::sized(page, PAGE_SIZE);
                    self.give_up(range)?;
                    range
                }
            };
            match self.claims.last_mut() {
                Some(last) if last.end == range.start => last.end = range.end,
                _ => self.claims.push(range),
            }
            self.done = range.end;
            from = range.end;
        }
        Ok(())
    }

    /// Whether this cannot be a page map.
    const fn is_hopeless(&self) -> bool {
        self.n_torn > MOST_TORN + self.n_extents / TORN_SHARE
    }

    /// The extent that begins at `page`, whose word is `word`.
    fn find(&mut self, leaf: Leaf, page: Addr, mut word: LeafWord) -> Found {
        let mut inside = None;
        for attempt in 0..EXTENT_ATTEMPTS {
            let is_first = attempt == 0;
            if !is_first {
                match self.words.now(leaf, page) {
                    Some(now) => word = now,
                    None => break,
                }
            }
            let Some(addr) = word.extent() else { break };
            let extent = if is_first { self.extents.seen(addr) } else { self.extents.now(addr) };
            let Some(extent) = extent.filter(|extent| self.arenas.contains_key(&extent.arena)) else {
                continue;
            };
            let last = extent.range.end - PAGE_SIZE;
            let ends = if is_first { self.words.seen(leaf, last) } else { None };
            let ends = ends.or_else(|| self.words.now(leaf, last));
            // The end of an extent that reaches into the next leaf is not looked up.
            let is_whole = ends.is_none_or(|ends| ends.extent() == Some(addr));
            if extent.range.start == page && word.agrees(&extent) && is_whole {
                return Found::Extent(extent);
            }
            inside = extent.range.contains(page).then_some(extent.range);
        }
        inside.map_or(Found::Unknown, Found::Inside)
    }

    fn enter(&mut self, extent: &Extent, part: Range) -> Result<(), MemoryError> {
        self.n_extents += 1;
        self.uses_huge |= extent.is_huge;
        self.current = extent.arena;
        match self.arenas.get_mut(&extent.arena) {
            Some(arena) => self.booking.enter(arena, extent, part),
            None => Ok(()),
        }
    }

    fn give_up(&mut self, range: Range) -> Result<(), MemoryError> {
        self.n_torn += 1;
        let resident = self.booking.residency.weigh(range)?;
        let number = if self.arenas.contains_key(&self.current) { Some(self.current) } else { None };
        let number = number.or_else(|| self.arenas.keys().next().copied()).unwrap_or_default();
        if let Some(arena) = self.arenas.get_mut(&number) {
            arena.ledger[Class::Unexplained] += resident;
        }
        Ok(())
    }

    /// Resident bytes of what was torn.
    fn lost_bytes(&self) -> u64 {
        let arenas = self.arenas.values().chain(&self.pools);
        arenas.map(|arena| arena.ledger[Class::Unexplained].process).sum()
    }

    fn finish(mut self, block: &Snapshot, retries: u32) -> Result<Partial<Walked>, JemallocError> {
        let is_hopeless = self.is_hopeless();
        let unbalanced = |what| JemallocError::Unbalanced { addr: block.page_map, what };
        if self.uses_huge {
            return Err(unbalanced("its huge page allocator (hpa) is on, whose books are not known"));
        }
        let mut heap = Heap {
            allocator: Allocator::Slackwater { library: block.library.to_string() },
            arenas: self.arenas.into_values().chain(self.pools).collect(),
            ledger: Ledger::default(),
            pinned_by: PinnedBy::default(),
            live: Blocks::default(),
            claims: Vec::new(),
        };
        for arena in &mut heap.arenas {
            arena.retries = retries;
            heap.ledger += &arena.ledger;
            heap.pinned_by += &arena.pinned_by;
            heap.live.count += arena.live.count;
            heap.live.bytes += arena.live.bytes;
        }
        let lost = heap.ledger[Class::Unexplained].process;
        if self.n_extents == 0 || is_hopeless || lost > heap.ledger.total().process / 4 {
            return Err(unbalanced("its page map and its extents do not describe each other"));
        }
        self.claims.sort_unstable();
        heap.claims = self.claims;
        let mut gaps = Vec::new();
        if self.n_torn > 0 {
            let cause = format!("{} extents changed each time they were read, {}", self.n_torn, Bytes(lost));
            gaps.push(Gap::new("slackwater's heap", cause));
        }
        if self.n_missing > 0 {
            let cause = format!("{} GiB of address space began to be used meanwhile", self.n_missing);
            gaps.push(Gap::new("slackwater's heap", cause));
        }
        if self.booking.cached.is_partial {
            let cause = "some could not be followed to their end; freed blocks in them count as live";
            gaps.push(Gap::new("thread caches", cause));
        }
        Ok(Partial { value: Walked { heap, totals: self.booking.totals }, gaps })
    }
}
