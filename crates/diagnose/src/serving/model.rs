//! What is known of one process's malloc.
//!
//! Invariant: plain values, from which tables, JSON and mistakes are made without another look.

use std::path::PathBuf;

use slackwater_base::{Gap, Pid, words};
use slackwater_heap::GlibcVersion;
use slackwater_heap::jemalloc::Statistics;

use super::Mistake;
use super::environment::Environment;
use crate::{Cgroup, MallocKind, ObjectAllocator, Role};

/// What serves malloc in one process, and how.
#[derive(Clone, Debug)]
pub struct Serving {
    /// Its pid.
    pub pid: Pid,
    /// Its parent's.
    pub parent: Pid,
    /// What it does in its service.
    pub role: Role,
    /// What it runs.
    pub command: String,
    /// What serves `malloc`.
    pub server: Server,
    /// Other allocators that it maps: kind and file name.
    pub others: Vec<(MallocKind, String)>,
    /// Its C library.
    pub c_library: CLibrary,
    /// Whether its loader takes nothing from the environment, because it runs with raised rights.
    pub secure: Option<bool>,
    /// What it was asked to preload, in order.
    pub preloads: Vec<Preload>,
    /// The variables of its environment that speak to allocators.
    pub environment: Environment,
    /// Whoever started it was itself asked to preload an allocator, and it was not.
    pub asked_above: Option<AskedAbove>,
    /// The variable that a jemalloc here would read its settings from.
    pub conf_variable: &'static str,
    /// Which glibc hands out memory, if one does.
    pub glibc: Option<GlibcVersion>,
    /// The settings that are known to be in force, or asked for.
    pub settings: Vec<Setting>,
    /// Options that the allocator itself says it refused.
    pub refused_options: u32,
    /// Who gives memory back.
    pub purging: Purging,
    /// The release of a jemalloc that was asked.
    pub version: Option<String>,
    /// The statistics of our library, or of a jemalloc that was asked.
    pub statistics: Option<Statistics>,
    /// What our governor says of itself, where our library serves.
    pub governor: Option<Governor>,
    /// What serves Python's small objects; `None` when it runs no Python.
    pub objects: Option<ObjectAllocator>,
    /// Whether the host makes huge pages of any memory.
    pub huge_pages_always: bool,
    /// Its memory cgroup.
    pub cgroup: Option<Cgroup>,
    /// What is wrong. [`super::judge`] fills it.
    pub mistakes: Vec<Mistake>,
    /// What could not be seen.
    pub gaps: Vec<Gap>,
}

/// What serves `malloc`.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Server {
    /// The implementation.
    pub kind: MallocKind,
    /// The file that defines it.
    pub library: Option<PathBuf>,
    /// How that is known.
    pub evidence: Evidence,
    /// Mapped files whose calls of `malloc` go there.
    pub n_bound: usize,
    /// Mapped files that have not called `malloc` yet: the loader will look it up then.
    pub n_unresolved: usize,
    /// Mapped files whose calls go elsewhere.
    pub elsewhere: Vec<Elsewhere>,
    /// Mapped files that allocate with one allocator and free with another.
    pub mixed: Vec<PathBuf>,
}

impl Server {
    /// Nothing is known.
    pub(crate) const fn unknown() -> Self {
        Self {
            kind: MallocKind::Unknown,
            library: None,
            evidence: Evidence::Unknown,
            n_bound: 0,
            n_unresolved: 0,
            elsewhere: Vec::new(),
            mixed: Vec::new(),
        }
    }
}

/// A mapped file whose calls of `malloc` do not go where the program's go.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Elsewhere {
    /// The file that calls.
    pub caller: PathBuf,
    /// The file that it calls; `None` for code of no file.
    pub library: Option<PathBuf>,
}

words! {
    /// How it is known what serves `malloc`.
    Evidence {
        /// The program's own pointers lead there.
        Bound = "bound",
        /// The program defines it itself.
        LinkedIn = "linked-in",
        /// It is the first in the order in which the loader will look.
        SearchOrder = "search-order",
        /// It is mapped, and offers it.
        Mapped = "mapped",
        /// It is not known.
        Unknown = "unknown",
    }
}

words! {
    /// A process's C library.
    CLibrary {
        /// GNU's.
        Glibc = "glibc",
        /// musl.
        Musl = "musl",
        /// Linked into the program, which has no loader.
        Static = "static",
        /// Another one, or not known.
        Unknown = "unknown",
    }
}

/// A file that a process was asked to preload.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Preload {
    /// As it was written.
    pub entry: String,
    /// Where.
    pub source: PreloadSource,
    /// The allocator that it is by its name.
    pub allocator: Option<MallocKind>,
    /// What became of it.
    pub fate: Fate,
    /// A file of this name that does exist for the process, in one of the usual folders.
    pub instead: Option<PathBuf>,
}

/// A process further up that was asked to preload an allocator.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct AskedAbove {
    /// Its pid.
    pub pid: Pid,
    /// The kernel's name for it.
    pub name: String,
    /// Its `LD_PRELOAD`.
    pub value: String,
}

/// What a jemalloc answered when it was asked itself.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Answers {
    /// Key and value, the keys without `opt.`; of several with one key the last counts.
    pub settings: Vec<(String, String)>,
    /// Whether it believes that its background threads run.
    pub runs_background_threads: Option<bool>,
    /// Its release.
    pub version: Option<String>,
    /// What it holds.
    pub statistics: Option<Statistics>,
}

/// What our governor says of itself in its block.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Governor {
    /// What it is doing; `None` for a word that this version does not know.
    pub state: Option<&'static str>,
    /// Whether the block was written by this very process, and not by the one it was forked from.
    pub is_own: bool,
    /// Times it looked.
    pub n_ticks: u64,
    /// Decisions it made.
    pub n_decisions: u32,
    /// Bytes that it gave back.
    pub purged_bytes: u64,
    /// Processor time that it used, nanoseconds.
    pub cpu_ns: u64,
    /// The reasons of its last decisions, the newest first.
    pub last: Vec<&'static str>,
}

words! {
    /// Where a preload is asked for.
    PreloadSource {
        /// In the process's environment.
        Environment = "LD_PRELOAD",
        /// For every program of the system.
        System = "/etc/ld.so.preload",
    }
}

words! {
    /// What became of a file that was to be preloaded.
    Fate {
        /// It is mapped.
        Mapped = "mapped",
        /// There is no such file in the process's world.
        Missing = "missing",
        /// The process's user may not read it.
        Unreadable = "unreadable",
        /// It is no library, or one for another kind of machine.
        Foreign = "foreign",
        /// It is there and sound as far as can be seen, and yet not mapped.
        Ignored = "ignored",
    }
}

/// A setting of an allocator.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Setting {
    /// As the allocator calls it.
    pub key: String,
    /// Its value.
    pub value: String,
    /// How it is known.
    pub origin: Origin,
}

words! {
    /// How a setting is known.
    Origin {
        /// Read from the allocator's own data: it is in force.
        InForce = "in force",
        /// The allocator was told so at its start, by its own defaults or by its user.
        Told = "told",
        /// The allocator itself was asked: it is in force.
        Asked = "asked",
        /// The environment asks for it.
        Environment = "environment",
        /// `/etc/malloc.conf` asks for it.
        System = "/etc/malloc.conf",
    }
}

/// Who gives unused memory back in a process.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Purging {
    /// Who.
    pub by: Purger,
    /// What shows it.
    pub evidence: String,
}

words! {
    /// Who gives unused memory back.
    Purger {
        /// Our governor, also while the process is idle.
        Governor = "governor",
        /// jemalloc's threads, also while the process is idle.
        BackgroundThreads = "background-threads",
        /// The program itself, now and then while it allocates: an idle process gives nothing back.
        Allocations = "allocations",
        /// The program itself, when what it frees lies at the end of an arena.
        Frees = "frees",
        /// Not known.
        Unknown = "unknown",
    }
}

impl Purger {
    /// Whether memory is given back while the process does nothing. `None` when that is not known.
    pub const fn works_when_idle(self) -> Option<bool> {
        match self {
            Self::Governor | Self::BackgroundThreads => Some(true),
            Self::Allocations | Self::Frees => Some(false),
            Self::Unknown => None,
        }
    }
}

impl Serving {
    /// Whether `malloc` is served by `kind`.
    pub fn is_served_by(&self, kind: MallocKind) -> bool {
        self.server.kind == kind
    }

    /// Whether anything is wrong, remarks aside.
    pub fn is_sound(&self) -> bool {
        self.mistakes.iter().all(|mistake| mistake.code.grade() == super::Grade::Note)
    }

    /// Takes over what the allocator itself has said: it knows better than its environment.
    pub fn take_answers(&mut self, answers: Answers) {
        for (key, value) in answers.settings {
            self.settings.retain(|known| known.key != key);
            self.settings.push(Setting { key, value, origin: Origin::Asked });
        }
        if let Some(runs) = answers.runs_background_threads {
            self.purging.evidence += &format!("; mallctl says background_thread is {runs}");
        }
        self.version = answers.version;
        self.statistics = answers.statistics;
    }

    /// The value of a setting.
    pub fn setting(&self, key: &str) -> Option<&str> {
        self.settings.iter().rev().find(|setting| setting.key == key).map(|setting| setting.value.as_str())
    }
}
