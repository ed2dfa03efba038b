//! A finding: one thing that is true about a service's memory, with its size, its proof and its
//! remedy. The set of codes is closed, and a code is never used again for something else.

use std::fmt;

use slackwater_base::{Bytes, Pid, words};

words! {
    /// What a service's memory is doing: the verdict, and what a finding speaks for.
    Kind {
        /// Nothing is kept that is worth a word, and nothing grows.
        Steady = "steady",
        /// Freed memory that the allocator keeps and would hand back.
        Retention = "retention",
        /// Freed memory that the allocator keeps and would not hand back.
        Pinned = "pinned",
        /// Live memory of the Python allocator grows.
        PythonGrowth = "python-growth",
        /// Live memory of native code grows.
        NativeGrowth = "native-growth",
        /// Live memory grows, Python and native not told apart.
        HeapGrowth = "heap-growth",
        /// File maps, shared memory or anonymous maps outside any allocator grow.
        MappedGrowth = "mapped-growth",
        /// Stacks of threads grow.
        StackGrowth = "stack-growth",
        /// The facts do not decide.
        Undetermined = "undetermined",
    }
}

words! {
    /// The code of a finding.
    Code {
        /// Nothing is wrong.
        Steady = "SW100",
        /// Freed memory that a trim hands back.
        Retention = "SW101",
        /// Freed memory in malloc's heaps that a trim does not hand back.
        PinnedGlibc = "SW102",
        /// Freed memory in pymalloc's arenas.
        PinnedPymalloc = "SW103",
        /// A raised threshold makes glibc keep the ends of its arenas.
        RaisedThreshold = "SW104",
        /// More arenas than processors make use of.
        ManyArenas = "SW105",
        /// Python's live memory grows.
        PythonGrowth = "SW110",
        /// Native live memory grows.
        NativeGrowth = "SW111",
        /// Live memory grows.
        HeapGrowth = "SW112",
        /// Mapped memory grows.
        MappedGrowth = "SW113",
        /// Stacks grow.
        StackGrowth = "SW114",
        /// CPython 3.14.0 to 3.14.4 collects garbage late.
        IncrementalGc = "SW120",
        /// Workers copy, page by page, what they shared with their master.
        Unsharing = "SW121",
        /// The container's figure is mostly page cache.
        PageCache = "SW122",
        /// Huge pages make small holes large.
        HugePages = "SW123",
        /// Part of the service is on swap.
        Swap = "SW124",
        /// An allocator whose books cannot be read from outside.
        ForeignAllocator = "SW130",
        /// jemalloc's background threads did not survive the fork.
        BackgroundThreads = "SW131",
        /// A supervisor that does no work holds memory.
        IdleSupervisor = "SW140",
        /// Too much is unexplained, or could not be read.
        Undetermined = "SW190",
    }
}

impl Code {
    /// What the finding says, in one sentence that holds wherever it fires.
    pub const fn title(self) -> &'static str {
        match self {
            Self::Steady => "nothing is kept that is worth giving back",
            Self::Retention => "memory the program freed and its allocator kept",
            Self::PinnedGlibc => "memory the program freed that malloc cannot hand back",
            Self::PinnedPymalloc => "memory Python freed that pymalloc cannot hand back",
            Self::RaisedThreshold => "glibc raised its own thresholds and keeps the ends of its arenas",
            Self::ManyArenas => "more malloc arenas than this service has use for",
            Self::PythonGrowth => "the live memory of Python objects grows",
            Self::NativeGrowth => "the live memory of native code grows",
            Self::HeapGrowth => "the live memory of the heap grows",
            Self::MappedGrowth => "mapped memory outside the heap grows",
            Self::StackGrowth => "the stacks of threads grow",
            Self::IncrementalGc => "this CPython collects garbage late (3.14.0 to 3.14.4)",
            Self::Unsharing => "workers hold private copies of what they shared with their master",
            Self::PageCache => "the container's figure is mostly page cache",
            Self::HugePages => "transparent huge pages inflate the heap",
            Self::Swap => "part of the service is on swap",
            Self::ForeignAllocator => "an allocator that cannot be read from outside",
            Self::BackgroundThreads => "jemalloc's background threads are missing in forked workers",
            Self::IdleSupervisor => "a supervisor that serves no requests holds memory",
            Self::Undetermined => "too much memory is unexplained to decide",
        }
    }

    /// Whether the finding can be the verdict. The others name a cause or a circumstance beside it.
    pub const fn decides(self) -> bool {
        matches!(
            self,
            Self::Steady
                | Self::Retention
                | Self::PinnedGlibc
                | Self::PinnedPymalloc
                | Self::PythonGrowth
                | Self::NativeGrowth
                | Self::HeapGrowth
                | Self::MappedGrowth
                | Self::StackGrowth
                | Self::Undetermined
        )
    }
}

/// One thing that is true about the service's memory.
#[derive(Clone, PartialEq, Debug)]
pub struct Finding {
    /// Which one.
    pub code: Code,
    /// The verdict it speaks for.
    pub kind: Kind,
    /// The process it is about; `None` when it is about the service.
    pub pid: Option<Pid>,
    /// Bytes it explains. For a service, shared pages count once.
    pub bytes: u64,
    /// Growth it explains, when the service was watched.
    pub bytes_per_second: Option<f64>,
    /// How far to trust it.
    pub confidence: Confidence,
    /// What was measured.
    pub evidence: Vec<Evidence>,
    /// What to do, in the order in which to try it.
    pub advice: Vec<Advice>,
}

/// How far to trust a finding, and the rule that says so.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Confidence {
    /// From 0 to 1.
    pub value: f64,
    /// Why not more, or why so much.
    pub why: &'static str,
}

/// One measured number.
#[derive(Clone, PartialEq, Debug)]
pub struct Evidence {
    /// What was measured, as a key: `trimmable_bytes`, `arenas`.
    pub name: &'static str,
    /// The number.
    pub value: Quantity,
}

impl Evidence {
    /// The number `value`, called `name`.
    pub const fn new(name: &'static str, value: Quantity) -> Self {
        Self { name, value }
    }
}

/// A number with its unit.
#[derive(Clone, Copy, PartialEq, Debug)]
pub enum Quantity {
    /// Bytes.
    Bytes(u64),
    /// How many.
    Count(u64),
    /// A part of a whole, from 0 to 1.
    Share(f64),
    /// Bytes per second, negative when falling.
    BytesPerSecond(f64),
    /// Seconds.
    Seconds(f64),
}

impl fmt::Display for Quantity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::Bytes(bytes) => write!(f, "{}", Bytes(bytes)),
            Self::Count(count) => write!(f, "{count}"),
            Self::Share(share) => write!(f, "{:.0} %", share * 100.0),
            Self::BytesPerSecond(rate) => {
                let sign = if rate < 0.0 { "-" } else { "" };
                write!(f, "{sign}{}/s", Bytes(rate.abs() as u64))
            }
            Self::Seconds(seconds) => write!(f, "{seconds:.0} s"),
        }
    }
}

words! {
    /// When a piece of advice helps.
    When {
        /// At once, on the running service.
        Now = "now",
        /// With the next start, for good.
        ForGood = "for good",
        /// To measure it before believing it.
        Prove = "prove it",
        /// To learn more.
        LookCloser = "look closer",
        /// Nothing to type: something to know.
        Note = "note",
    }
}

/// A line that a person can paste, and what it does.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Advice {
    /// When it helps.
    pub when: When,
    /// The command or setting; empty for a note.
    pub command: String,
    /// What it does.
    pub effect: String,
}
