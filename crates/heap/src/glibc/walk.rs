//! The walk as a whole: which glibc, then every arena, then the mapped chunks.

use std::time::Duration;

use slackwater_base::{Gap, Partial, PinnedBy, Range, Tid};
use slackwater_memory::{Memory, MemoryError};

use super::arena::{self, Common, Reading};
use super::broken::Broken;
use super::error::GlibcError;
use super::find::Found;
use super::image::{self, DataArea};
use super::library::{find_library, identify};
use super::mapped;
use super::threads;
use crate::{Allocator, ArenaKind, Blocks, GlibcVersion, Heap};

/// How long to wait before arenas are read again for the first time; doubled for each time after.
const FIRST_PAUSE: Duration = Duration::from_millis(1);

/// Reads glibc malloc's heap. `threads` are the target's live threads, whose caches are looked for.
///
/// `None` when no glibc hands out memory there: another C library, or another allocator before it.
/// What could not be read of a heap is in the gaps.
///
/// # Errors
/// See [`GlibcError`].
pub fn walk(memory: &dyn Memory, threads: &[Tid]) -> Result<Option<Partial<Heap>>, GlibcError> {
    let areas = image::data_areas(memory);
    let Some(library) = find_library(memory, &areas)? else {
        // Data on swap is not read, so nothing can be said of it.
        return match image::swapped_page(memory, &areas)? {
            Some(page) => Err(MemoryError::Swapped(page).into()),
            None => Ok(None),
        };
    };
    let descriptors = threads::descriptors(memory, &thread_areas(&areas, library.area), threads)?;
    let Some(identity) = identify(memory, &library, &descriptors)? else {
        return Err(GlibcError::UnknownLayout { path: library.area.path.clone() });
    };
    let mut gaps = Vec::new();
    if descriptors.len() < threads.len() && identity.release.tcache.is_some() {
        let missing = threads.len() - descriptors.len();
        gaps.push(Gap::new(
            format!("caches of {missing} threads"),
            "their descriptors were not found; freed blocks in them count as live",
        ));
    }
    let common = Common {
        memory,
        release: identity.release,
        params: identity.params,
        locator: identity.locator,
        descriptors,
    };
    let heap = read_heap(&common, &library.found, &mut gaps)?;
    Ok(Some(Partial { value: heap, gaps }))
}

/// Where the lists of threads may begin: ld.so and libpthread, besides the C library itself.
fn thread_areas(areas: &[DataArea], library: &DataArea) -> Vec<DataArea> {
    let is_searched = |area: &&DataArea| {
        let name = area.path.file_name().map(|name| name.to_string_lossy()).unwrap_or_default();
        area.file == library.file || name.starts_with("ld") || name.starts_with("libpthread")
    };
    areas.iter().filter(is_searched).cloned().collect()
}

fn read_heap(common: &Common, found: &Found, gaps: &mut Vec<Gap>) -> Result<Heap, GlibcError> {
    let mut heap = Heap {
        allocator: Allocator::Glibc {
            version: GlibcVersion { major: 2, minor: common.release.minor },
            settings: common.params.settings,
        },
        arenas: Vec::with_capacity(found.arenas.len() + 1),
        ledger: slackwater_base::Ledger::default(),
        pinned_by: PinnedBy::default(),
        live: Blocks::default(),
        claims: Vec::new(),
    };
    let mut caches = common.caches();
    let mut readings: Vec<Reading> = (0..)
        .zip(&found.arenas)
        .map(|(index, &addr)| {
            Reading::new(addr, if index == 0 { ArenaKind::Main } else { ArenaKind::Secondary })
        })
        .collect();
    // Arenas that were caught in mid-change are read again in rounds, each after a longer pause:
    // a thread that was preempted in there needs its time to get out.
    let mut pause = FIRST_PAUSE;
    let mut hopeless = Vec::new();
    while !readings.is_empty() {
        let mut unsettled = Vec::new();
        for mut reading in readings {
            if let Some(read) = reading.try_once(common, &caches, &heap.claims).map_err(cause)? {
                enter(&mut heap, read, gaps);
            } else if reading.is_worth_another() {
                unsettled.push(reading);
            } else {
                hopeless.push(reading);
            }
        }
        readings = unsettled;
        if !readings.is_empty() {
            common.memory.let_run(pause);
            pause *= 2;
            caches = common.caches();
        }
    }
    let claims = heap.claims.clone();
    let read = mapped::read(common, &claims, &caches)?;
    enter(&mut heap, read, gaps);
    // Last those that can only be claimed as a whole: they must not take what others account for.
    for reading in hopeless {
        let read = reading.give_up(common, &heap.claims).map_err(cause)?;
        enter(&mut heap, read, gaps);
    }
    heap.arenas.sort_by_key(|arena| arena.kind);
    heap.ledger = arena::total(&heap.arenas);
    for arena in &heap.arenas {
        heap.pinned_by += &arena.pinned_by;
        heap.live.count += arena.live.count;
        heap.live.bytes += arena.live.bytes;
    }
    Ok(heap)
}

/// Adds an arena to the heap; claims stay sorted.
fn enter(heap: &mut Heap, read: arena::Read, gaps: &mut Vec<Gap>) {
    heap.arenas.push(read.arena);
    heap.claims.extend(read.claims.into_iter().filter(|claim: &Range| !claim.is_empty()));
    heap.claims.sort_unstable();
    gaps.extend(read.gap);
}

fn cause(broken: Broken) -> GlibcError {
    match broken {
        Broken::Memory(error) => GlibcError::Memory(error),
        // Only errors that end the walk come here, and they are all errors of reading.
        _ => GlibcError::Memory(MemoryError::Gone),
    }
}
