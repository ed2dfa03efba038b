//! The names of jemalloc's control tree that are used here.
//!
//! From `doc/jemalloc.xml.in` and `src/ctl.c` of jemalloc 5.3.1. Arena 4096 stands for all of them
//! (`MALLCTL_ARENAS_ALL`).

use super::Name;

/// What only does something.
pub(crate) type Action = ();

pub(crate) const EPOCH: Name<u64> = Name::new(c"epoch");
pub(crate) const PURGE_ALL: Name<Action> = Name::new(c"arena.4096.purge");
pub(crate) const BACKGROUND_THREAD: Name<u8> = Name::new(c"background_thread");

pub(crate) const ALLOCATED: Name<usize> = Name::new(c"stats.allocated");
pub(crate) const ACTIVE: Name<usize> = Name::new(c"stats.active");
pub(crate) const RESIDENT: Name<usize> = Name::new(c"stats.resident");
pub(crate) const METADATA: Name<usize> = Name::new(c"stats.metadata");
pub(crate) const RETAINED: Name<usize> = Name::new(c"stats.retained");
pub(crate) const MAPPED: Name<usize> = Name::new(c"stats.mapped");
pub(crate) const DIRTY_PAGES: Name<usize> = Name::new(c"stats.arenas.4096.pdirty");
pub(crate) const MUZZY_PAGES: Name<usize> = Name::new(c"stats.arenas.4096.pmuzzy");
pub(crate) const CACHED: Name<usize> = Name::new(c"stats.arenas.4096.tcache_bytes");

pub(crate) const N_ARENAS: Name<u32> = Name::new(c"opt.narenas");
pub(crate) const THREAD_CACHE: Name<u8> = Name::new(c"opt.tcache");
pub(crate) const THREAD_CACHE_MAX: Name<usize> = Name::new(c"arenas.tcache_max");
pub(crate) const OPT_BACKGROUND_THREAD: Name<u8> = Name::new(c"opt.background_thread");

/// Of arenas to come.
pub(crate) const DIRTY_DECAY_MS: Name<isize> = Name::new(c"arenas.dirty_decay_ms");
/// Of arenas to come.
pub(crate) const MUZZY_DECAY_MS: Name<isize> = Name::new(c"arenas.muzzy_decay_ms");
/// Arenas made so far, those for huge blocks and by programs included.
pub(crate) const N_ARENAS_MADE: Name<u32> = Name::new(c"arenas.narenas");
/// Of one arena; the arena is the second step.
pub(crate) const ARENA_DIRTY_DECAY_MS: Name<isize> = Name::new(c"arena.0.dirty_decay_ms");
/// What this thread has ever allocated, bytes.
pub(crate) const THREAD_ALLOCATED: Name<u64> = Name::new(c"thread.allocated");
