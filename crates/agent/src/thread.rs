//! Room for the stack of one thread, given out at its first sample and taken back when it is gone.
//!
//! ```text
//! room   owner  depth  |  found  |  frames  keys  stacks  pieces  |  levels  |  text
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
/// Words for finding a frame's level.
const LEVELS: usize = 1024;
/// Words of a room, in whole pages, so that threads do not share any.
pub(crate) const ROOM_WORDS: usize = (2 + 7 * DEEPEST + LEVELS + TEXT_WORDS).next_multiple_of(512);

/// One word for each level of a stack.
pub(crate) type Words = &'static [AtomicU64; DEEPEST];

/// Frames that a walk finds, newest first.
#[derive(Clone, Copy)]
pub(crate) struct Found {
    /// Where they lie.
    pub(crate) frames: Words,
    /// Where in which code they are.
    pub(crate) keys: Words,
    /// The marks of the code.
    pub(crate) marks: Words,
}

/// The room of one thread.
#[derive(Clone, Copy)]
pub(crate) struct Room {
    owner: &'static AtomicU64,
    depth: &'static AtomicU64,
    /// What this walk finds.
    pub(crate) found: Found,
    /// The address of each frame of the last stack, oldest first, as in all that follow.
    pub(crate) frames: Words,
    /// Where in which code it was.
    pub(crate) keys: Words,
    /// The stack that ends there, and above it the mark of the code.
    pub(crate) stacks: Words,
    /// The mark of the piece that the frame is the first of.
    pub(crate) pieces: Words,
    /// At a hash of a frame's address: its level, perhaps.
    levels: &'static [AtomicU64; LEVELS],
    /// For names.
    pub(crate) text: &'static [AtomicU64],
}

impl Found {
    fn new(words: &'static [AtomicU64]) -> Option<(Self, &'static [AtomicU64])> {
        let (frames, words) = words.split_first_chunk()?;
        let (keys, words) = words.split_first_chunk()?;
        let (marks, words) = words.split_first_chunk()?;
        Some((Self { frames, keys, marks }, words))
    }
}

impl Room {
    /// `None` when the words are too few.
    pub(crate) fn new(words: &'static [AtomicU64]) -> Option<Self> {
        let ([owner, depth], words) = words.split_first_chunk()?;
        let (found, words) = Found::new(words)?;
        let (frames, words) = words.split_first_chunk()?;
        let (keys, words) = words.split_first_chunk()?;
        let (stacks, words) = words.split_first_chunk()?;
        let (pieces, words) = words.split_first_chunk()?;
        let (levels, text) = words.split_first_chunk()?;
        Some(Self { owner, depth, found, frames, keys, stacks, pieces, levels, text })
    }

    /// Levels of the last stack that are remembered.
    #[inline]
    pub(crate) fn depth(&self) -> usize {
        (self.depth.load(Relaxed) as usize).min(DEEPEST)
    }

    /// Only so many are remembered.
    #[inline]
    pub(crate) fn remember(&self, depth: usize) {
        self.depth.store(depth as u64, Relaxed);
    }

    /// How many levels of the last stack, oldest first, are also those of the `depth` frames just found.
    pub(crate) fn same(&self, depth: usize) -> usize {
        let is_same = |&level: &usize| {
            let place = depth - 1 - level;
            get(self.keys, level) == get(self.found.keys, place)
                && u64::from(self.mark(level)) == get(self.found.marks, place)
        };
        (0..self.depth().min(depth)).take_while(is_same).count()
    }

    /// The mark of the code at a level.
    #[inline]
    pub(crate) fn mark(&self, level: usize) -> u32 {
        (get(self.stacks, level) >> 32) as u32
    }

    /// The stack whose newest frame is at a level.
    #[inline]
    pub(crate) fn stack(&self, level: usize) -> u32 {
        get(self.stacks, level) as u32
    }

    /// Where a frame of this address was, if that is remembered and below `limit`.
    #[inline]
    pub(crate) fn level_of(&self, frame: u64, limit: usize) -> Option<usize> {
        let level = self.levels.get(Self::place(frame))?.load(Relaxed) as usize;
        (level < limit && get(self.frames, level) == frame).then_some(level)
    }

    /// The frame of this address is at this level.
    #[inline]
    pub(crate) fn place_at(&self, frame: u64, level: usize) {
        set(self.frames, level, frame);
        if let Some(place) = self.levels.get(Self::place(frame)) {
            place.store(level as u64, Relaxed);
        }
    }

    #[inline]
    fn place(frame: u64) -> usize {
        (frame >> 3).wrapping_mul(0x9e37_79b9_7f4a_7c15).wrapping_shr(54) as usize & (LEVELS - 1)
    }

    fn claim(&self, from: u64, tid: u32) -> bool {
        let claimed = self.owner.compare_exchange(from, u64::from(tid), AcqRel, Relaxed).is_ok();
        if claimed {
            self.remember(0);
        }
        claimed
    }
}

// An index is below `DEEPEST`. The remainder says so to the compiler, and costs nothing.
const _: () = assert!(DEEPEST.is_power_of_two());

/// The word at an index.
#[inline(always)]
pub(crate) fn get(words: Words, idx: usize) -> u64 {
    words[idx % DEEPEST].load(Relaxed)
}

/// Sets the word at an index.
#[inline(always)]
pub(crate) fn set(words: Words, idx: usize, value: u64) {
    words[idx % DEEPEST].store(value, Relaxed);
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
#[inline]
pub(crate) fn room(process: &Process) -> Option<Room> {
    let thread = this(process);
    let number = thread.room.load(Relaxed) as usize;
    if number != 0 {
        return process.room(number - 1);
    }
    let number = find_room(process, thread.tid.load(Relaxed))?;
    thread.room.store(number as u32 + 1, Relaxed);
    process.room(number)
}

/// A room of a thread that is gone, or a new one.
#[cold]
fn find_room(process: &Process, tid: u32) -> Option<usize> {
    let n_used = (process.n_rooms().load(Relaxed) as usize).min(ROOMS);
    let claim = |number: usize, from: u64| process.room(number).is_some_and(|room| room.claim(from, tid));
    let left = |&number: &usize| {
        let owner = process.room(number).map_or(0, |room| room.owner.load(Relaxed));
        (owner == u64::from(tid) || !sys::is_thread(owner as u32)) && claim(number, owner)
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
        if claim(number, 0) {
            return Some(number);
        }
    }
}
