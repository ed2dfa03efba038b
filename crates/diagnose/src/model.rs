//! What a diagnosis holds: the service, its processes, their heaps, and what was found.
//!
//! Invariant: plain values, complete enough that every table, chart and JSON document can be made
//! from them without another look at the target.

use std::fmt;
use std::time::Duration;

use slackwater_base::{Class, Gap, Ledger, Pid, PinnedBy, words};
use slackwater_heap::jemalloc::{Snapshot, Statistics};
use slackwater_heap::{GlibcVersion, Heap};
use slackwater_tune::Allocator;

use crate::{Finding, Kind};

/// Everything that was learnt about one service.
#[derive(Clone, Debug)]
pub struct Diagnosis {
    /// The kind of the finding that explains most.
    pub verdict: Kind,
    /// The service as a whole.
    pub service: ServiceReport,
    /// Its processes, master first, then by pid.
    pub processes: Vec<ProcessReport>,
    /// What was found. The first one is the verdict.
    pub findings: Vec<Finding>,
    /// How the classes moved, when the service was watched.
    pub growth: Option<Growth>,
    /// What could not be learnt about the service. Each process has its own besides.
    pub gaps: Vec<Gap>,
}

/// The service as a whole.
#[derive(Clone, PartialEq, Debug)]
pub struct ServiceReport {
    /// As people call it: `gunicorn`, `celery`, `app.py`.
    pub name: String,
    /// Resident bytes; pages that several of its processes share count once.
    pub rss_bytes: u64,
    /// The kernel's proportional share: pages shared with anyone, divided among them.
    pub pss_bytes: Option<u64>,
    /// Bytes on swap.
    pub swap_bytes: u64,
    /// Bytes by class; `service` counts shared pages once, `process` once per process.
    pub ledger: Ledger,
    /// Pinned slack by reason.
    pub pinned_by: PinnedBy,
    /// How `service` figures were come by.
    pub sharing: Sharing,
    /// The figures of its memory cgroup, when it has one that limits or counts it.
    pub cgroup: Option<Cgroup>,
}

words! {
    /// How pages that several processes share were counted once.
    Sharing {
        /// By frame number: exact.
        Frames = "frames",
        /// Frame numbers are hidden from us: each process was scaled by its proportional share.
        Proportional = "proportional",
    }
}

/// A memory cgroup's figures, of version 1 or 2.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub struct Cgroup {
    /// Its path in the hierarchy.
    pub path: String,
    /// What the container's figure says: `memory.current`, `memory.usage_in_bytes`.
    pub usage_bytes: u64,
    /// The limit, when there is one.
    pub limit_bytes: Option<u64>,
    /// Anonymous memory in it.
    pub anon_bytes: u64,
    /// Page cache in it, shared memory included.
    pub file_bytes: u64,
    /// Shared memory in it.
    pub shmem_bytes: u64,
}

words! {
    /// What a process does in its service.
    Role {
        /// Starts and watches the workers.
        Master = "master",
        /// Does the work.
        Worker = "worker",
        /// Is the whole service.
        Single = "single",
        /// Helps: a resource tracker, a log writer.
        Other = "other",
    }
}

/// One process of the service.
#[derive(Clone, Debug)]
pub struct ProcessReport {
    /// Its pid, as our pid namespace numbers it.
    pub pid: Pid,
    /// Its parent's pid.
    pub parent: Pid,
    /// When it started, in clock ticks since boot: tells a reused pid from the same process.
    pub start_ticks: u64,
    /// What it does in the service.
    pub role: Role,
    /// Program and script, module or app. Never the values of other arguments.
    pub command: String,
    /// Its Python, when it is one.
    pub python: Option<PythonReport>,
    /// What serves `malloc` in it.
    pub malloc: Malloc,
    /// What jemalloc was told and does, where it serves `malloc`.
    pub jemalloc: Option<Jemalloc>,
    /// What our library says of itself, where it serves `malloc`.
    pub slackwater: Option<Box<Snapshot>>,
    /// Threads it has.
    pub n_threads: u64,
    /// Resident bytes: the ledger's total. That is the kernel's figure, and more where pages came
    /// while we looked.
    pub rss_bytes: u64,
    /// Proportional share of it, when the kernel tells us.
    pub pss_bytes: Option<u64>,
    /// Resident in no other process, when the kernel tells us.
    pub uss_bytes: Option<u64>,
    /// On swap.
    pub swap_bytes: u64,
    /// Resident in transparent huge pages.
    pub huge_bytes: u64,
    /// Freed lazily (`MADV_FREE`): still resident, taken by the kernel when it needs memory.
    pub lazy_free_bytes: u64,
    /// Resident bytes by class. Every resident byte is in exactly one.
    pub ledger: Ledger,
    /// Pinned slack by reason.
    pub pinned_by: PinnedBy,
    /// The heaps whose books were read.
    pub heaps: Vec<HeapReport>,
    /// How much of the process could be looked at.
    pub scope: Scope,
    /// What could not be learnt.
    pub gaps: Vec<Gap>,
}

impl ProcessReport {
    /// What a trim would hand back in this process.
    pub fn trimmable_bytes(&self) -> u64 {
        self.ledger[Class::SlackTrimmable].process
    }
}

words! {
    /// How much of a process could be looked at.
    Scope {
        /// Its memory was read: heaps are told apart.
        Heaps = "heaps",
        /// Only its maps and their sizes: classes that /proc alone allows.
        Maps = "maps",
        /// Only its totals.
        Totals = "totals",
    }
}

/// One heap of a process.
#[derive(Clone, Debug)]
pub struct HeapReport {
    /// Its books.
    pub heap: Heap,
}

/// The Python in a process.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct PythonReport {
    /// Major, minor, micro.
    pub version: (u8, u8, u8),
    /// The whole version as people write it: `3.15.0a2`.
    pub text: String,
    /// What serves small objects.
    pub objects: ObjectAllocator,
    /// A free-threaded build.
    pub free_threaded: bool,
    /// A debug build.
    pub debug: bool,
}

words! {
    /// What serves Python's small objects.
    ObjectAllocator {
        /// CPython's own arenas.
        Pymalloc = "pymalloc",
        /// The C library's malloc, by `PYTHONMALLOC=malloc`.
        Malloc = "malloc",
        /// Pools of Slackwater's library.
        Slackwater = "slackwater",
        /// The mimalloc inside a free-threaded build, or `PYTHONMALLOC=mimalloc`.
        Mimalloc = "mimalloc",
        /// Not known.
        Unknown = "unknown",
    }
}

words! {
    /// An implementation of malloc.
    MallocKind {
        /// The GNU C library's.
        Glibc = "glibc",
        /// Slackwater's own build of jemalloc.
        Slackwater = "slackwater",
        /// jemalloc.
        Jemalloc = "jemalloc",
        /// mimalloc.
        Mimalloc = "mimalloc",
        /// tcmalloc, of gperftools or Google.
        Tcmalloc = "tcmalloc",
        /// musl's.
        Musl = "musl",
        /// Not recognised.
        Unknown = "unknown",
    }
}

impl From<Allocator> for MallocKind {
    fn from(allocator: Allocator) -> Self {
        match allocator {
            Allocator::Slackwater => Self::Slackwater,
            Allocator::Jemalloc => Self::Jemalloc,
            Allocator::Mimalloc => Self::Mimalloc,
            Allocator::Tcmalloc => Self::Tcmalloc,
            Allocator::Glibc => Self::Glibc,
        }
    }
}

impl MallocKind {
    /// The same in the words of those that a service can be started on.
    pub(crate) fn allocator(self) -> Option<Allocator> {
        Allocator::ALL.iter().copied().find(|&allocator| Self::from(allocator) == self)
    }
}

/// What serves `malloc` in a process, and what other allocators it carries.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Malloc {
    /// The implementation.
    pub kind: MallocKind,
    /// Its version, when it is known.
    pub version: Option<GlibcVersion>,
    /// The file that defines it: its name without folders.
    pub library: Option<String>,
    /// Allocators that the process maps besides, as libraries carry them: kind and file name.
    pub others: Vec<(MallocKind, String)>,
}

impl fmt::Display for Malloc {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.kind, self.version) {
            (MallocKind::Glibc, Some(version)) => write!(f, "glibc {version} malloc"),
            (MallocKind::Unknown, _) => f.write_str("unknown malloc"),
            (kind, _) => write!(f, "{kind}"),
        }
    }
}

/// What can be seen of jemalloc from outside.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct Jemalloc {
    /// Its environment variable asks for background threads.
    pub background_asked: bool,
    /// Background threads that run.
    pub background_threads: u64,
    /// Its own statistics, where it was asked for them. Only entering the process can ask.
    pub statistics: Option<Statistics>,
}

/// How the service's memory moved while it was watched.
#[derive(Clone, PartialEq, Debug)]
pub struct Growth {
    /// From the first sample to the last.
    pub duration: Duration,
    /// Samples taken.
    pub n_samples: u32,
    /// One for every subject that was followed.
    pub slopes: Vec<Slope>,
}

/// What a slope is of.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Subject {
    /// The service's resident bytes.
    Rss,
    /// Resident bytes of one class.
    Class(Class),
    /// Blocks in use in all heaps, resident or not: moves even when the heap grows inside slack.
    LiveBlocks,
    /// Blocks in use in Python's arenas, resident or not.
    LivePython,
    /// Blocks in use in heaps that serve Python and native code alike, resident or not.
    LiveUnsplit,
}

impl Subject {
    /// The name in JSON.
    pub const fn key(self) -> &'static str {
        match self {
            Self::Rss => "rss",
            Self::Class(class) => class.key(),
            Self::LiveBlocks => "live_blocks",
            Self::LivePython => "live_python_blocks",
            Self::LiveUnsplit => "live_unsplit_blocks",
        }
    }
}

/// How one subject moved.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Slope {
    /// Of what.
    pub subject: Subject,
    /// The process; `None` for the whole service.
    pub pid: Option<Pid>,
    /// The robust slope.
    pub bytes_per_second: f64,
    /// The lower end of its confidence interval.
    pub low: f64,
    /// The upper end.
    pub high: f64,
    /// What it gained over the time watched, by the slope.
    pub gained_bytes: i64,
    /// What that means.
    pub trend: Trend,
}

words! {
    /// What a slope means.
    Trend {
        /// Grows: the interval lies above zero and the gain is material.
        Grows = "grows",
        /// Neither grows nor falls by what was seen.
        Flat = "flat",
        /// Falls.
        Falls = "falls",
        /// Rose at first and then stayed: caches filling, pages being touched.
        Settled = "settled",
    }
}
