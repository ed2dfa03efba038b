//! What a capture says, decoded.

use alloc::borrow::Cow;

/// A process within a capture. A pid may come back; a generation does not. The first is 1.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Generation(pub u32);

/// How a process ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Ending {
    /// It is gone; how, only its parent knows.
    Gone,
    /// It exited with this status.
    Exit(u32),
    /// This signal ended it.
    Signal(u32),
    /// It became another program.
    Exec,
    /// It was still there when recording ended.
    Outlived,
}

/// How memory was asked for.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Measure {
    /// `malloc`.
    Malloc,
    /// `calloc`.
    Calloc,
    /// `realloc`, `reallocarray`.
    Realloc,
    /// `posix_memalign`, `aligned_alloc`, `memalign`, `valloc`, `pvalloc`.
    Aligned,
    /// `mmap`, `mremap`.
    Mapping,
}

impl Measure {
    /// All, in the order of their codes.
    pub const ALL: [Self; 5] = [Self::Malloc, Self::Calloc, Self::Realloc, Self::Aligned, Self::Mapping];
}

/// One allocation.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Allocation {
    /// How.
    pub measure: Measure,
    /// Whether it stands for its like, too: see [`crate::format`].
    pub sampled: bool,
    /// Where; an address of the target.
    pub addr: u64,
    /// How much.
    pub size: u64,
    /// From where.
    pub stack: u32,
    /// By which thread.
    pub tid: u32,
}

/// One statement about one process.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Record<'a> {
    /// The process is recorded from here on.
    Born {
        /// Its id while it lived.
        pid: u32,
        /// The generation that it was forked from, if that is recorded too.
        parent: Option<Generation>,
        /// Mean distance of samples in bytes; 0 when every event is recorded.
        sample_mean: u64,
        /// The program's name, without folder and arguments.
        program: Cow<'a, str>,
    },
    /// Stacks of the process cannot be read, and why.
    NoStacks(Cow<'a, str>),
    /// The process is gone, or recording has ended.
    Ended(Ending),
    /// A line of code.
    Location {
        /// What stacks call it.
        id: u32,
        /// Its line, 0 if not known.
        line: u32,
        /// The function.
        function: Cow<'a, str>,
        /// The source file.
        file: Cow<'a, str>,
    },
    /// A stack: one more call on top of its parent.
    Stack {
        /// What allocations call it.
        id: u32,
        /// The stack below; 0 is the empty one.
        parent: u32,
        /// The line on top.
        location: u32,
    },
    /// A thread's name.
    Thread {
        /// The thread.
        tid: u32,
        /// Its name.
        name: Cow<'a, str>,
    },
    /// What follows happened at this time, CLOCK_MONOTONIC, as precisely as the collector looks.
    At(u64),
    /// Memory was handed out.
    Allocation(Allocation),
    /// A block was given back.
    Free {
        /// Its address.
        addr: u64,
        /// By which thread.
        tid: u32,
    },
    /// A range was unmapped.
    Unmapped {
        /// Its start.
        addr: u64,
        /// Its length.
        size: u64,
    },
    /// Bytes that the process had resident.
    Resident(u64),
    /// Events that could not be handed over.
    Lost(u64),
    /// Events came faster than they could be written: sampled with this mean from here on.
    Degraded(u64),
}
