//! The block that `libslackwater_alloc.so` keeps in its data: what its jemalloc holds, which settings
//! are in force, what its governor did, and the one word by which it is asked for a purge.
//!
//! ```text
//! byte 0    what a reader checks first: magic, version, size
//!      24   the writer's pid, and the sequence under which all that follows is published
//!      40   statistics, bytes          settings          governor, decisions
//!           command  <- the only word that others write       served ->
//! ```
//!
//! Invariant: one definition for the writer, inside the target, and for the readers outside. Fields are
//! only ever added at the end, then `size` grows; a change of meaning is a new [`VERSION`]. Numbers have
//! the machine's byte order, and nothing in it is a pointer that a reader has to follow blindly.
//!
//! A reader takes `sequence`, then the block, then `sequence` again: both must be the same even number,
//! or the copy is torn and taken again. After a fork the child's block still speaks for its parent, until
//! `pid` is its own (in its innermost pid namespace).

use core::sync::atomic::{AtomicI64, AtomicU32, AtomicU64};

mod pool;
mod snapshot;

pub use pool::Pool;
pub use snapshot::{BlockError, Choice, Governor, Lossy, Settings, Snapshot, Statistics, Text};

/// The symbol of the block in the library's dynamic symbol table.
pub const SYMBOL: &str = "slackwater_block";

/// The first eight bytes.
pub const MAGIC: u64 = u64::from_ne_bytes(*b"SLACKALC");

/// Of the meaning of the fields.
pub const VERSION: u32 = 1;

/// Bytes kept of the options.
pub const OPTIONS_BYTES: usize = 1024;

/// Decisions kept: the newest overwrites the oldest.
pub const DECISIONS: usize = 32;

slackwater_base::words! {
    /// What the governor is doing.
    GovernorState {
        /// Switched off by the user; jemalloc's own decay is all there is.
        Off = "off",
        /// Not started yet: the process is young, has just forked, or is not one that is governed.
        Dormant = "dormant",
        /// The process works.
        Busy = "busy",
        /// The process waits; what could be given back was given back.
        Idle = "idle",
        /// Memory is short: near a limit, or under the kernel's pressure.
        Pressed = "pressed",
    }
}

slackwater_base::words! {
    /// Why the governor purged, or changed a setting.
    Reason {
        /// The process has just become idle.
        IdleEdge = "idle",
        /// Unused dirty pages had become too large a share while busy.
        DirtyCap = "cap",
        /// Close to the limit of its control group, or under memory pressure.
        Pressure = "pressure",
        /// Somebody outside asked, by the command word.
        Asked = "asked",
        /// The program itself called `malloc_trim`.
        Trim = "trim",
        /// The decay time was changed.
        Decay = "decay",
    }
}

/// One decision of the governor.
#[repr(C)]
#[derive(Debug)]
pub struct Decision {
    /// When, nanoseconds of `CLOCK_MONOTONIC`.
    pub at_ns: AtomicU64,
    /// Bytes given back; for [`Reason::Decay`] the new decay time in milliseconds.
    pub bytes: AtomicU64,
    /// The position of its [`Reason`] in `Reason::ALL`.
    pub reason: AtomicU32,
    /// Minor faults per thousand purged pages until the next decision: what the purge cost.
    pub refaults_permille: AtomicU32,
}

/// The block.
#[repr(C, align(64))]
#[derive(Debug)]
pub struct Block {
    /// [`MAGIC`].
    pub magic: u64,
    /// [`VERSION`].
    pub version: u32,
    /// `size_of::<Block>()` of the writer.
    pub size: u32,
    /// The library's own version, NUL-padded.
    pub library: [u8; 16],
    /// Of the process that wrote last, as it knows itself; 0 before the first time.
    pub pid: AtomicU32,
    /// Odd while the fields below are being written.
    pub sequence: AtomicU32,

    /// When the statistics were taken, nanoseconds of `CLOCK_MONOTONIC`.
    pub taken_ns: AtomicU64,
    /// Bytes in blocks that the program holds, those parked in thread caches included
    /// (jemalloc's `stats.allocated`).
    pub allocated_bytes: AtomicU64,
    /// Bytes of pages with at least one block (`stats.active`).
    pub active_bytes: AtomicU64,
    /// Most that can be resident (`stats.resident`).
    pub resident_bytes: AtomicU64,
    /// Bytes of unused pages not yet given back (`pdirty` of all arenas).
    pub dirty_bytes: AtomicU64,
    /// Bytes of unused pages that the kernel may take (`pmuzzy`).
    pub muzzy_bytes: AtomicU64,
    /// Bytes of jemalloc's own books (`stats.metadata`).
    pub metadata_bytes: AtomicU64,
    /// Bytes of address space kept without pages (`stats.retained`).
    pub retained_bytes: AtomicU64,
    /// Bytes of blocks parked in thread caches (`tcache_bytes` of all arenas).
    pub cached_bytes: AtomicU64,

    /// Arenas that serve threads (`opt.narenas`).
    pub n_arenas: AtomicU32,
    /// jemalloc's own background threads: 1 running, 0 not.
    pub background_threads: AtomicU32,
    /// Decay time of dirty pages now, milliseconds; -1 never.
    pub dirty_decay_ms: AtomicI64,
    /// Decay time of muzzy pages now, milliseconds; -1 never.
    pub muzzy_decay_ms: AtomicI64,
    /// Largest size that threads cache, bytes; 0 without caches.
    pub thread_cache_max_bytes: AtomicU64,
    /// What jemalloc was told at start, NUL-terminated: our defaults, then the user's.
    pub options: [AtomicU64; OPTIONS_BYTES / 8],
    /// Where the user's options begin in `options`.
    pub user_options_start: AtomicU32,
    /// Options that jemalloc refused.
    pub n_refused_options: AtomicU32,

    /// The position of the [`GovernorState`] in `GovernorState::ALL`.
    pub governor: AtomicU32,
    /// Decisions made since the process began; the newest is at `(n - 1) % DECISIONS`.
    pub n_decisions: AtomicU32,
    /// Times the governor looked.
    pub n_ticks: AtomicU64,
    /// Processor time that the governor has used, nanoseconds.
    pub governor_cpu_ns: AtomicU64,
    /// Bytes given back since the process began.
    pub purged_bytes: AtomicU64,
    /// The limit that the governor keeps away from, bytes; 0 for none.
    pub limit_bytes: AtomicU64,
    /// The last decisions, a ring.
    pub decisions: [Decision; DECISIONS],

    /// Address of the root of jemalloc's page map, for a walk from outside; 0 when not known.
    pub page_map: AtomicU64,
    /// Address of jemalloc's table of arenas; 0 when not known.
    pub arenas: AtomicU64,

    /// Written from outside, by adding one: purge, and refresh the statistics.
    pub command: AtomicU32,
    /// The last `command` that was carried out.
    pub served: AtomicU32,
    /// Bytes that the last command gave back.
    pub served_bytes: AtomicU64,

    /// Of `governor_cpu_ns`, what purges took: work that the program's threads would have done otherwise.
    pub purge_cpu_ns: AtomicU64,

    /// Where the pools of Python's small objects begin ([`Pool`]); 0 when there are none.
    pub pools_start: AtomicU64,
    /// Where the last of them ends at the most.
    pub pools_end: AtomicU64,
}

#[cfg(test)]
mod tests {
    use super::*;
    use core::mem::{offset_of, size_of};

    /// Readers in the field may be older than the library: these offsets are for ever.
    #[test]
    fn the_first_version_keeps_its_offsets() {
        assert_eq!(offset_of!(Block, version), 8);
        assert_eq!(offset_of!(Block, pid), 32);
        assert_eq!(offset_of!(Block, sequence), 36);
        assert_eq!(offset_of!(Block, allocated_bytes), 48);
        assert_eq!(offset_of!(Block, options), 144);
        assert_eq!(offset_of!(Block, governor), 1176);
        assert_eq!(offset_of!(Block, decisions), 1216);
        assert_eq!(offset_of!(Block, command), 2000);
        assert_eq!(offset_of!(Block, pools_start), 2024);
        assert_eq!(size_of::<Block>() % 64, 0);
    }
}
