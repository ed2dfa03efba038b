//! Reads one arena, as often as it takes.
//!
//! A pass is accepted when its books balance. When the target works too hard for that, the last
//! two passes that tiled the arena are compared: what is the same in both is right, and the rest is
//! the bound on the error, which is reported. An arena that did not even tile is unexplained.

use slackwater_base::{Addr, Class, Gap, Ledger, Range};
use slackwater_layout::glibc::Release;
use slackwater_memory::{Kind, Memory, MemoryExt};

use super::broken::Broken;
use super::caches::{Caches, Locator};
use super::digests::Digests;
use super::extent::{self, Extent, Extents};
use super::fast;
use super::marks::Marks;
use super::pages::Pages;
use super::params::Params;
use super::state::State;
use super::tally::{TopRule, top_of};
use super::tile::Tiler;
use crate::{Arena, ArenaKind, GlibcArena};

/// How often an arena is read again before it is taken as it is.
pub(super) const MAX_RETRIES: u32 = 5;
/// Arenas longer than this are read again once only: a pass takes as long as the target needs to
/// change it again.
const LONG_BYTES: u64 = 512 << 20;

/// What the arenas of one process share.
pub(super) struct Common<'a> {
    pub(super) memory: &'a dyn Memory,
    pub(super) release: Release,
    pub(super) params: Params,
    pub(super) locator: Option<Locator>,
    pub(super) descriptors: Vec<Addr>,
}

impl Common<'_> {
    /// Reads the caches of all threads as they are now.
    pub(super) fn caches(&self) -> Caches {
        let count = self.params.tcache_count;
        Caches::read(self.memory, &self.release, count, self.locator, &self.descriptors)
    }
}

/// One arena's books, and the addresses they account for.
pub(super) struct Read {
    pub(super) arena: Arena,
    pub(super) claims: Vec<Range>,
    pub(super) gap: Option<Gap>,
}

/// One pass that tiled the arena.
struct Pass {
    arena: Arena,
    extents: Extents,
    digests: Digests,
    unbalanced: Option<&'static str>,
}

/// An arena that is being read, over as many passes as it takes.
pub(super) struct Reading {
    addr: Addr,
    kind: ArenaKind,
    last: Option<Pass>,
    differing_bytes: Option<u64>,
    failure: Broken,
    n_passes: u32,
}

impl Reading {
    pub(super) const fn new(addr: Addr, kind: ArenaKind) -> Self {
        let failure = Broken::Unbalanced("it was not read");
        Self { addr, kind, last: None, differing_bytes: None, failure, n_passes: 0 }
    }

    /// Makes one pass with `caches` as they are now, outside of what is `taken`. The arena's books,
    /// if they balance.
    pub(super) fn try_once(
        &mut self,
        common: &Common,
        caches: &Caches,
        taken: &[Range],
    ) -> Result<Option<Read>, Broken> {
        self.n_passes += 1;
        match pass(common, self.addr, self.kind, caches, taken) {
            Ok(mut pass) => {
                pass.arena.retries = self.n_passes - 1;
                if pass.unbalanced.is_none() {
                    return Ok(Some(accepted(pass, None)));
                }
                self.differing_bytes =
                    self.last.as_ref().map(|last| last.digests.differing_bytes(&pass.digests));
                self.last = Some(pass);
            }
            Err(error) if error.is_final() => return Err(error),
            Err(error) => self.failure = error,
        }
        Ok(None)
    }

    /// Whether another pass may fare better.
    pub(super) fn is_worth_another(&self) -> bool {
        let is_long = self.last.as_ref().is_some_and(|pass| pass.extents.bytes() > LONG_BYTES);
        self.failure.may_pass() && self.n_passes <= MAX_RETRIES && !(is_long && self.n_passes > 1)
    }

    /// The best that the passes made so far allow to be said.
    pub(super) fn give_up(self, common: &Common, taken: &[Range]) -> Result<Read, Broken> {
        let mut failure = self.failure;
        match (self.last, self.differing_bytes) {
            (Some(pass), Some(bytes)) if bytes > 0 => return Ok(accepted(pass, Some(bytes))),
            // Nothing moved, and still the books do not balance: the heap is corrupt.
            (Some(pass), _) => failure = Broken::Unbalanced(pass.unbalanced.unwrap_or_default()),
            (None, _) => {}
        }
        unexplained(common, self.addr, self.kind, self.n_passes - 1, &failure, taken)
    }
}

fn accepted(pass: Pass, differing_bytes: Option<u64>) -> Read {
    let mut arena = pass.arena;
    let mut gap = None;
    if let Some(bytes) = differing_bytes {
        let bytes = bytes.min(arena.mapped_bytes);
        let cause = pass.unbalanced.unwrap_or_default();
        gap = Some(Gap::new(
            name(&arena),
            format!("{cause}: it kept changing, so that up to {bytes} bytes may be in the wrong class"),
        ));
        if let Some(glibc) = &mut arena.glibc {
            glibc.uncertain_bytes = bytes.max(glibc.uncertain_bytes);
        }
    }
    Read { arena, claims: pass.extents.0.iter().map(|extent| extent.range).collect(), gap }
}

/// An arena whose books could not be read: its memory is claimed, and nothing said about it.
fn unexplained(
    common: &Common,
    addr: Addr,
    kind: ArenaKind,
    retries: u32,
    failure: &Broken,
    taken: &[Range],
) -> Result<Read, Broken> {
    let mut arena = Arena { retries, ..Arena::new(addr, kind) };
    let claims = rough_extents(common, addr, kind)
        .into_iter()
        .flat_map(|range| range.without(taken))
        .collect::<Vec<_>>();
    for claim in &claims {
        arena.mapped_bytes += claim.len();
        arena.ledger[Class::Unexplained] += common.memory.resident(*claim)?;
    }
    let gap = Gap::new(name(&arena), failure.to_string());
    Ok(Read { arena, claims, gap: Some(gap) })
}

/// Where an arena's memory surely lies, though its books make no sense.
fn rough_extents(common: &Common, addr: Addr, kind: ArenaKind) -> Vec<Range> {
    let memory = common.memory;
    if kind == ArenaKind::Main {
        let start = common.params.sbrk_base;
        let break_end = extent::break_end(memory).filter(|end| start < *end);
        let on_break = break_end.map(|end| Range::new(start, end));
        // Off the break, it shares mappings with others: those that surely are its own.
        let top = State::read(memory, common.release.state, addr).map(|state| state.top());
        let mapped = [Some(start), top.ok()].into_iter().flatten();
        let mut extents: Vec<Range> = mapped
            .filter_map(|at| memory.mapping_at(at))
            .filter(|mapping| mapping.is_anonymous_data() && mapping.kind != Kind::Heap)
            .map(|mapping| mapping.range)
            .chain(on_break.filter(|_| memory.mapping_at(start).is_some_and(|at| at.kind == Kind::Heap)))
            .collect();
        extents.sort_unstable();
        extents.dedup();
        return extents;
    }
    let max_bytes = common.release.heap_max_bytes(common.params.huge_page_bytes);
    let first = Range::sized(addr.align_down(max_bytes), max_bytes);
    let mapped = memory.mapping_at(addr).map(|mapping| mapping.range.intersect(first));
    mapped.into_iter().collect()
}

fn name(arena: &Arena) -> String {
    match arena.kind {
        ArenaKind::Main => format!("glibc main arena at {}", arena.addr),
        _ => format!("glibc arena at {}", arena.addr),
    }
}

fn pass(
    common: &Common,
    addr: Addr,
    kind: ArenaKind,
    caches: &Caches,
    taken: &[Range],
) -> Result<Pass, Broken> {
    let memory = common.memory;
    let state = State::read(memory, common.release.state, addr)?;
    let mut extents = match kind {
        ArenaKind::Main => extent::of_main(memory, &state, &common.params)?,
        _ => extent::of_secondary(memory, &common.release, &common.params, &state)?,
    };
    let overlaps = |extent: &Extent| taken.iter().any(|range| !range.intersect(extent.range).is_empty());
    if extents.0.iter().any(overlaps) {
        return Err(Broken::Unsupported("it claims memory of another arena"));
    }
    let fast = fast::chunks(&Pages::new(memory), &common.release, &state, &extents)?;
    let marks = Marks::new(fast, extents.among(&caches.chunks), extents.among(&caches.own))
        .ok_or(Broken::Unbalanced("a chunk is in two lists"))?;
    let rule = top_rule(common, kind, &extents);
    let mut tiler = Tiler::new(memory, &marks, rule);
    let mut index = 0;
    while let Some(extent) = extents.0.get_mut(index) {
        if let Some(foreign) = tiler.extent(extent)? {
            let rest = extent::behind_foreign(memory, extent, foreign)?;
            *extent = Extent { range: Range::new(extent.range.start, foreign), top: None, ..*extent };
            extents.0.push(rest);
        }
        index += 1;
    }
    let mut links = state.links();
    links.join(tiler.tally.links);
    let unbalanced = if !links.balance() {
        Some("the free chunks are not those in its bins")
    } else if tiler.hits.n_fast != marks.n_fast() {
        Some("the fast bins hold what is no chunk of the heap")
    } else {
        None
    };
    // Caches change without their arena: what was parked a moment ago may be in use again.
    let is_settled = tiler.hits.n_cached == marks.n_cached();
    let tally = tiler.tally;
    let top = extents.0.iter().find_map(|extent| {
        let range = Range::new(extent.top?, extent.range.end);
        Some(top_of(range, state.top_field(), state.lock(), tiler.returnable))
    });
    let glibc = GlibcArena {
        free: tally.free,
        fast: tally.fast,
        cached: tally.cached,
        largest_free_bytes: tally.largest_free_bytes,
        top,
        uncertain_bytes: if is_settled { 0 } else { tally.cached.bytes },
    };
    let arena = Arena {
        mapped_bytes: extents.bytes(),
        live: tally.live,
        ledger: tally.ledger,
        pinned_by: tally.pinned_by,
        glibc: Some(glibc),
        ..Arena::new(addr, kind)
    };
    Ok(Pass { arena, extents, digests: tiler.digests, unbalanced })
}

/// The break is lowered only if it still is where malloc left it. Source: `systrim`.
fn top_rule(common: &Common, kind: ArenaKind, extents: &Extents) -> TopRule {
    let end = extents.0.last().map(|extent| extent.range.end);
    let break_end = extent::break_end(common.memory);
    let is_lowered = kind == ArenaKind::Main
        && end
            .zip(break_end)
            .is_some_and(|(end, break_end)| end.align_up(slackwater_base::PAGE_SIZE) >= break_end);
    if !is_lowered {
        return TopRule::Kept;
    }
    TopRule::Lowered(common.params.thp_bytes.max(slackwater_base::PAGE_SIZE))
}

/// The sum of the arenas' ledgers, for the heap's.
pub(super) fn total(arenas: &[Arena]) -> Ledger {
    let mut ledger = Ledger::default();
    for arena in arenas {
        ledger += &arena.ledger;
    }
    ledger
}
