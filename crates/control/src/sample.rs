//! What the governor sees of its process at one moment.

/// One look at the process. Counters count from any fixed point; only their differences matter.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct Sample {
    /// Nanoseconds of a clock that never goes back.
    pub now_ns: u64,
    /// Processor time of the whole process but for the governor's own, nanoseconds.
    pub cpu_ns: u64,
    /// Minor page faults of the process.
    pub minor_faults: u64,
    /// The heap; `None` when it was not asked for.
    pub heap: Option<Heap>,
    /// The tightest memory limit above the process; `None` when not asked for, or when there is none.
    pub limit: Option<Limit>,
    /// Time that tasks of the control group have waited for memory (`some` of `memory.pressure`),
    /// nanoseconds; `None` when not asked for, or when the kernel does not say.
    pub stalled_ns: Option<u64>,
    /// Somebody outside wants a purge.
    pub asked: bool,
}

/// The heap as the allocator counts it.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct Heap {
    /// Bytes of pages with at least one block.
    pub active_bytes: u64,
    /// Bytes of unused pages not yet given back.
    pub dirty_bytes: u64,
}

/// A memory limit. Reaching it means being throttled or killed.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct Limit {
    /// Bytes charged that cannot be dropped at once: without the inactive page cache.
    pub used_bytes: u64,
    /// The limit.
    pub limit_bytes: u64,
}
