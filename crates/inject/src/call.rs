//! What is to be called, what came of it, and the points at which a caller may give up.

use std::time::Duration;

use slackwater_base::{Addr, Tid};
use slackwater_memory::FileId;

pub use crate::frame::Argument;

/// A function call to be made in a thread of the target.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Call {
    /// The function's address in the target.
    pub function: Addr,
    /// At most six integer arguments.
    pub arguments: Vec<Argument>,
    /// Bytes placed on the thread's stack for [`Argument::Blob`] to point at.
    pub blob: Vec<u8>,
    /// Files whose code must not be on the thread's stack: the allocator that is called.
    pub forbidden: Vec<FileId>,
}

/// How a call is made.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// How long to look for a thread at a safe point. 1 s unless said otherwise.
    pub search: Duration,
    /// How long to wait for the call to return. When it has passed only the waiting ends: the thread
    /// finishes the call and goes on by itself. 30 s unless said otherwise.
    pub patience: Duration,
    /// Longest time a thread may be stopped before the call; what takes longer is given up. 50 ms
    /// unless said otherwise.
    pub stop_budget: Duration,
    /// Stack that the call may need. 24 KiB unless said otherwise: `malloc_trim` needs under 1 KiB,
    /// jemalloc's purge a few; the rest is margin for what they call.
    pub stack_bytes: u64,
    /// Asked at every [`Point`]; `false` gives up there. Always `true` unless said otherwise.
    pub probe: fn(Point) -> bool,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            search: Duration::from_secs(1),
            patience: Duration::from_secs(30),
            stop_budget: Duration::from_millis(50),
            stack_bytes: 24 << 10,
            probe: |_| true,
        }
    }
}

/// A step of an entry, in order. At [`Point::Released`] the thread needs nobody any more.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Point {
    /// Threads are about to be tried, each in turn. Once more whenever none of them was at a safe point.
    Searching,
    /// The thread is stopped.
    Stopped,
    /// Its registers, mask and state have been read.
    Read,
    /// It has been proven to be at a safe point.
    Proven,
    /// The frames have been written below its stack pointer.
    Written,
    /// Its registers have been set and it runs.
    Released,
}

impl Point {
    /// All points in order.
    pub const ALL: [Self; 6] =
        [Self::Searching, Self::Stopped, Self::Read, Self::Proven, Self::Written, Self::Released];
}

/// What came of a call.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Outcome {
    /// The thread that made it.
    pub tid: Tid,
    /// Whether it was seen to return.
    pub finished: bool,
    /// How long that thread was stopped, at most: from the request to stop it until it was let go.
    pub stopped: Duration,
    /// How long the call took, as seen from outside; how long it was watched when not finished.
    pub ran: Duration,
    /// Threads stopped and let go again before, because they were not at a safe point.
    pub refusals: u32,
}
