//! What a capture says, decoded.

use alloc::borrow::Cow;

use crate::sum::{Asked, Sum, Summed};

/// A process within a capture. A pid may come back; a generation does not. The first is 1.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Generation(pub u32);

impl Generation {
    /// No process: what is said of the recording as a whole.
    pub const RECORDING: Self = Self(0);
}

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
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
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
    /// Python's domain `raw`: `PyMem_RawMalloc` and its kin.
    Raw,
    /// Python's domain `mem`: `PyMem_Malloc` and its kin.
    Mem,
    /// Python's domain `object`: `PyObject_Malloc` and its kin.
    Object,
}

impl Measure {
    /// All, in the order of their codes.
    pub const ALL: [Self; 8] = [
        Self::Malloc,
        Self::Calloc,
        Self::Realloc,
        Self::Aligned,
        Self::Mapping,
        Self::Raw,
        Self::Mem,
        Self::Object,
    ];
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

/// Where a process's resident memory was.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct ResidentBy {
    /// In anonymous pages.
    pub anon_bytes: u64,
    /// In pages of files.
    pub file_bytes: u64,
    /// In shared memory.
    pub shmem_bytes: u64,
    /// Not resident, but swapped out.
    pub swap_bytes: u64,
    /// Its share of all, where that was asked for: the kernel walks every page for it.
    pub pss_bytes: Option<u64>,
}

/// A file that a process can execute code of.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Module<'a> {
    /// Where it is mapped.
    pub start: u64,
    /// How much of it is.
    pub size: u64,
    /// What of the file lies at `start`.
    pub offset: u64,
    /// What its linker called it; empty when it has no such note, or cannot be read.
    pub build_id: Cow<'a, [u8]>,
    /// The file, as the process names it.
    pub path: Cow<'a, str>,
}

/// What was there when recording of a process began.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Before<'a> {
    /// Which allocator holds it (`glibc`, `pymalloc`, ...); empty for what none does.
    pub holder: Cow<'a, str>,
    /// A class of the ledger: `live_native`, `slack_trimmable`, ...
    pub class: Cow<'a, str>,
    /// Resident bytes of it.
    pub bytes: u64,
    /// Blocks, where the holder counts them; else 0.
    pub blocks: u64,
}

/// A location in native code. What is not known is empty, or 0.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct NativeCode<'a> {
    /// What stacks call it: an id among those of all locations.
    pub id: u32,
    /// The function, as the symbol tables of the file name it.
    pub function: Cow<'a, str>,
    /// The source file.
    pub file: Cow<'a, str>,
    /// Its line.
    pub line: u32,
    /// The mapped file.
    pub module: Cow<'a, str>,
    /// What its linker called it.
    pub build_id: Cow<'a, [u8]>,
    /// An address within the instruction, as the mapped file counts.
    pub offset: u64,
}

/// One statement about one process, or about the recording.
#[derive(Clone, PartialEq, Debug)]
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
    /// Native code.
    Native(NativeCode<'a>),
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
    /// Somebody gave this moment a name.
    Mark(Cow<'a, str>),
    /// Something that holds for the process, or for the machine: `python`, `glibc`, `kernel`, ...
    Fact {
        /// What it is about.
        key: Cow<'a, str>,
        /// What it says.
        value: Cow<'a, str>,
    },
    /// Where the process's resident memory was.
    ResidentBy(ResidentBy),
    /// A file whose code the process can execute.
    Module(Module<'a>),
    /// Memory from before the process was recorded.
    Before(Before<'a>),
    /// Of the recording: when all processes together held most so far.
    Peak {
        /// That moment, CLOCK_MONOTONIC.
        at_ns: u64,
        /// Live bytes then.
        bytes: f64,
    },
    /// What the process did up to the last `At`, of which only sums follow.
    Summed(Summed),
    /// What it asked for in one way up to then; before the sums by stack.
    Asked(Asked),
    /// What one stack asked for up to then.
    Sum(Sum),
}

impl Record<'_> {
    /// Whether other records, in other captures too, cannot be understood without this one.
    pub const fn is_definition(&self) -> bool {
        match self {
            Self::At(_)
            | Self::Allocation(_)
            | Self::Free { .. }
            | Self::Unmapped { .. }
            | Self::Resident(_)
            | Self::ResidentBy(_)
            | Self::Lost(_)
            | Self::Ended(_)
            | Self::Mark(_)
            | Self::Before(_)
            | Self::Peak { .. }
            | Self::Summed(_)
            | Self::Asked(_)
            | Self::Sum(_) => false,
            Self::Born { .. }
            | Self::NoStacks(_)
            | Self::Location { .. }
            | Self::Native(_)
            | Self::Stack { .. }
            | Self::Thread { .. }
            | Self::Degraded(_)
            | Self::Fact { .. }
            | Self::Module(_) => true,
        }
    }

    /// The same, holding its own texts.
    pub fn into_owned(self) -> Record<'static> {
        let own = |text: Cow<'_, str>| -> Cow<'static, str> { text.into_owned().into() };
        match self {
            Self::Born { pid, parent, sample_mean, program } => {
                Record::Born { pid, parent, sample_mean, program: own(program) }
            }
            Self::NoStacks(why) => Record::NoStacks(own(why)),
            Self::Ended(ending) => Record::Ended(ending),
            Self::Location { id, line, function, file } => {
                Record::Location { id, line, function: own(function), file: own(file) }
            }
            Self::Native(NativeCode { id, function, file, line, module, build_id, offset }) => {
                Record::Native(NativeCode {
                    id,
                    function: own(function),
                    file: own(file),
                    line,
                    module: own(module),
                    build_id: build_id.into_owned().into(),
                    offset,
                })
            }
            Self::Stack { id, parent, location } => Record::Stack { id, parent, location },
            Self::Thread { tid, name } => Record::Thread { tid, name: own(name) },
            Self::At(ns) => Record::At(ns),
            Self::Allocation(allocation) => Record::Allocation(allocation),
            Self::Free { addr, tid } => Record::Free { addr, tid },
            Self::Unmapped { addr, size } => Record::Unmapped { addr, size },
            Self::Resident(bytes) => Record::Resident(bytes),
            Self::Lost(n_events) => Record::Lost(n_events),
            Self::Degraded(mean) => Record::Degraded(mean),
            Self::Mark(name) => Record::Mark(own(name)),
            Self::Fact { key, value } => Record::Fact { key: own(key), value: own(value) },
            Self::ResidentBy(resident) => Record::ResidentBy(resident),
            Self::Module(Module { start, size, offset, build_id, path }) => Record::Module(Module {
                start,
                size,
                offset,
                build_id: build_id.into_owned().into(),
                path: own(path),
            }),
            Self::Before(Before { holder, class, bytes, blocks }) => {
                Record::Before(Before { holder: own(holder), class: own(class), bytes, blocks })
            }
            Self::Peak { at_ns, bytes } => Record::Peak { at_ns, bytes },
            Self::Summed(summed) => Record::Summed(summed),
            Self::Asked(asked) => Record::Asked(asked),
            Self::Sum(sum) => Record::Sum(sum),
        }
    }
}
