//! The result of a walk: one allocator's memory, by class, arena and reason.

use std::fmt;

use slackwater_base::{Addr, Ledger, PinnedBy, Range, Resident, words};

/// An allocator whose books can be read from outside.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Allocator {
    /// glibc malloc.
    Glibc {
        /// Of the C library that is mapped.
        version: GlibcVersion,
        /// What governs when it hands memory back.
        settings: GlibcSettings,
    },
    /// CPython's allocator for objects up to 512 bytes.
    Pymalloc,
    /// Slackwater's library: jemalloc inside.
    Slackwater {
        /// The library's own version.
        library: String,
    },
}

/// A glibc release, like 2.36.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct GlibcVersion {
    /// 2.
    pub major: u16,
    /// 36.
    pub minor: u16,
}

impl fmt::Display for GlibcVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.major, self.minor)
    }
}

/// glibc's `mp_`, as it is now in the target: the program, the environment and glibc itself (by its
/// dynamic threshold) change it.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct GlibcSettings {
    /// A top chunk larger than this is given back by `free`, bytes. 128 KiB at start.
    pub trim_threshold: u64,
    /// Requests of at least this size get a map of their own, bytes. 128 KiB at start.
    pub mmap_threshold: u64,
    /// Most arenas, 0 for the default of 8 per processor.
    pub arena_max: u64,
    /// Whether the thresholds still move when a mapped chunk is freed.
    pub dynamic: bool,
    /// Mapped chunks now.
    pub n_mmaps: u64,
    /// Bytes in mapped chunks now.
    pub mmapped_bytes: u64,
}

/// Blocks and their bytes, resident or not.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Blocks {
    /// How many.
    pub count: u64,
    /// Usable bytes in them: what the allocator could hand to the program, headers not included.
    pub bytes: u64,
}

words! {
    /// What an arena is.
    ArenaKind {
        /// glibc's main arena, on the program break.
        Main = "main",
        /// A glibc arena of threads, in heaps of its own.
        Secondary = "secondary",
        /// glibc's chunks with a map of their own, all together.
        Mapped = "mapped",
        /// A pymalloc arena.
        Pymalloc = "pymalloc",
        /// A jemalloc arena.
        Jemalloc = "jemalloc",
        /// The pools that our library gives Python for small objects.
        Pools = "pools",
    }
}

/// One arena's books.
#[derive(Clone, Debug)]
pub struct Arena {
    /// Where its state (glibc, jemalloc) or its first byte (pymalloc) lies; for mapped chunks glibc's settings.
    pub addr: Addr,
    /// What it is.
    pub kind: ArenaKind,
    /// Bytes it has mapped for use, resident or not.
    pub mapped_bytes: u64,
    /// Blocks in use.
    pub live: Blocks,
    /// Its resident bytes by class.
    pub ledger: Ledger,
    /// Its pinned slack by reason.
    pub pinned_by: PinnedBy,
    /// How often the walk was begun again because the target changed it meanwhile.
    pub retries: u32,
    /// What only glibc arenas have.
    pub glibc: Option<GlibcArena>,
}

impl Arena {
    /// An arena with nothing in its books yet.
    pub fn new(addr: Addr, kind: ArenaKind) -> Self {
        Self {
            addr,
            kind,
            mapped_bytes: 0,
            live: Blocks::default(),
            ledger: Ledger::default(),
            pinned_by: PinnedBy::default(),
            retries: 0,
            glibc: None,
        }
    }
}

/// What glibc's own books say of one arena, resident or not.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct GlibcArena {
    /// Chunks in the bins, whole.
    pub free: Blocks,
    /// Chunks in the fast bins, whole.
    pub fast: Blocks,
    /// Chunks parked in some thread's cache, whole. glibc itself counts them as in use.
    pub cached: Blocks,
    /// The largest chunk in the bins, bytes.
    pub largest_free_bytes: u64,
    /// The chunk at the end, from which the arena grows. Mapped chunks have none.
    pub top: Option<Top>,
    /// Bytes that may be in the wrong class, because the target changed them while they were read.
    /// Zero when the books balanced.
    pub uncertain_bytes: u64,
}

/// The top chunk of a glibc arena.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Top {
    /// Its bytes, header included.
    pub range: Range,
    /// Where the arena keeps the address of its top chunk.
    pub field: Addr,
    /// The arena's lock: a 4-byte futex, 0 when free. It protects `field` and the chunk.
    pub lock: Addr,
    /// Resident bytes of the whole pages that the chunk does not need, as they are after
    /// `malloc_trim`: what a trim of secondary tops returns on top of it.
    pub returnable: Resident,
}

/// One allocator's books in one process.
///
/// Invariant: `ledger` is the sum of the arenas' ledgers, `pinned_by` of theirs, and the ledger's
/// total is what is resident of `claims`.
#[derive(Clone, Debug)]
pub struct Heap {
    /// Whose books these are.
    pub allocator: Allocator,
    /// Its arenas. One whose books did not balance holds nothing but unexplained bytes; a gap says why.
    pub arenas: Vec<Arena>,
    /// Resident bytes by class.
    pub ledger: Ledger,
    /// Pinned slack by reason.
    pub pinned_by: PinnedBy,
    /// Blocks in use.
    pub live: Blocks,
    /// The addresses these books account for, sorted and disjoint. Arenas that did not balance are
    /// claimed too, as [`slackwater_base::Class::Unexplained`]; a gap says why.
    pub claims: Vec<Range>,
}
