//! Room for the stack of one thread, given out at its first sample and taken back when it is gone.
//!
//! ```text
//! room   owner  depth  |  keys of this walk  |  keys of the last one  |  its stacks  |  text
//! ```
//!
//! Invariant: only its owner writes a room. A signal's handler that comes in between may leave a wrong
//! stack behind, never an index out of bounds.

use core::sync::atomic::AtomicU64;
use core::sync::atomic::Ordering::{AcqRel, Relaxed};

use slackwater_capture::transport::TEXT_BYTES_MAX;

use crate::process::Process;
use crate::sys::{self, ThreadLocal};

/// Most frames of a stack; what called them is left out.
pub(crate) const DEEPEST: usize = 2048;
/// Rooms: threads whose stacks can be read at one time.
pub(crate) const ROOMS: usize = 1024;
/// Words for two texts.
const TEXT_WORDS: usize = 2 * TEXT_BYTES_MAX / 8 + 2;
/// Words of a room, in whole pages, so that threads do not share any.
pub(crate) const ROOM_WORDS: usize = (2 + 3 * DEEPEST + TEXT_WORDS).next_multiple_of(512);

/// The room of one thread.
#[derive(Clone, Copy)]
pub(crate) struct Room {
    owner: &'static AtomicU64,
    /// Frames of the last walk.
    pub(crate) depth: &'static AtomicU64,
    /// What this walk finds, newest frame first.
    pub(crate) walk: &'static [AtomicU64],
    /// What the last walk found, oldest frame first.
    pub(crate) keys: &'static [AtomicU64],
    /// The stacks that end there.
    pub(crate) stacks: &'static [AtomicU64],
    /// For names.
    pub(crate) text: &'static [AtomicU64],
}

impl Room {
    pub(crate) fn new(words: &'static [AtomicU64]) -> Self {
        let (head, rest) = words.split_at(2);
        let (walk, rest) = rest.split_at(DEEPEST);
        let (keys, rest) = rest.split_at(DEEPEST);
        let (stacks, text) = rest.split_at(DEEPEST);
        Self { owner: &head[0], depth: &head[1], walk, keys, stacks, text }
    }

    fn claim(&self, from: u64, tid: u32) -> bool {
        let claimed = self.owner.compare_exchange(from, u64::from(tid), AcqRel, Relaxed).is_ok();
        if claimed {
            self.depth.store(0, Relaxed);
        }
        claimed
    }
}

/// This thread's words, filled in for this process.
#[inline]
pub(crate) fn this(process: &Process) -> &'static ThreadLocal {
    let thread = sys::thread_local();
    if thread.key.load(Relaxed) != process.key() {
        fill_in(process, thread);
    }
    thread
}

#[cold]
fn fill_in(process: &Process, thread: &ThreadLocal) {
    thread.tid.store(sys::tid(), Relaxed);
    thread.room.store(0, Relaxed);
    thread.random.store(0, Relaxed);
    thread.key.store(process.key(), Relaxed);
}

/// This thread's room; `None` when there are more threads than rooms.
pub(crate) fn room(process: &Process) -> Option<Room> {
    let thread = this(process);
    let number = thread.room.load(Relaxed) as usize;
    if number != 0 {
        return Some(process.room((number - 1).min(ROOMS - 1)));
    }
    find_room(process, thread.tid.load(Relaxed)).map(|number| {
        thread.room.store(number as u32 + 1, Relaxed);
        process.room(number)
    })
}

/// A room of a thread that is gone, or a new one.
#[cold]
fn find_room(process: &Process, tid: u32) -> Option<usize> {
    let n_used = (process.n_rooms().load(Relaxed) as usize).min(ROOMS);
    let left = |number: &usize| {
        let room = process.room(*number);
        let owner = room.owner.load(Relaxed);
        (owner == u64::from(tid) || !sys::is_thread(owner as u32)) && room.claim(owner, tid)
    };
    // Looking for one that is left costs a system call each: not for the first few threads.
    if n_used >= 8
        && let Some(number) = (0..n_used).find(left)
    {
        return Some(number);
    }
    loop {
        let number = process.n_rooms().fetch_add(1, Relaxed) as usize;
        if number >= ROOMS {
            process.n_rooms().store(ROOMS as u64, Relaxed);
            return None;
        }
        if process.room(number).claim(0, tid) {
            return Some(number);
        }
    }
}
