//! Room for the stack of one thread, given out at its first sample and taken back when it is gone.
//!
//! Levels count from the oldest frame. Those above the depth are remembered too, as they were last, and
//! stacks that were found lately: a call that comes back finds its own.
//!
//! Invariant: only its owner writes a room. A signal's handler that comes in between may leave a wrong
//! stack behind, never an index out of bounds.
#![allow(unsafe_code)] // the words of a room as its fields

use core::sync::atomic::AtomicU64;
use core::sync::atomic::Ordering::{AcqRel, Relaxed};

use slackwater_capture::transport::TEXT_BYTES_MAX;

use crate::recent::{self, Recent};

/// Most frames of a stack; what called them is left out.
pub(crate) const DEEPEST: usize = 2048;
/// Rooms: threads whose stacks can be read at one time.
pub(crate) const ROOMS: usize = 1024;
/// Words of a room, in whole pages, so that threads do not share any.
pub(crate) const ROOM_WORDS: usize = (size_of::<Room>() / 8).next_multiple_of(512);

/// Words for finding a frame's level.
const PLACES: usize = 1024;
/// Words for two texts.
const TEXT_WORDS: usize = 2 * TEXT_BYTES_MAX / 8 + 2;

// An index is below `DEEPEST`. The remainder says so to the compiler, and costs nothing.
const _: () = assert!(DEEPEST.is_power_of_two());

/// What a frame says of itself.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Seen {
    /// Where it lies.
    pub(crate) frame: u64,
    /// Where in its code it is, as it says so itself; in 3.11 with a flag (`python::begins_call`); the key of
    /// native code.
    pub(crate) instruction: u64,
    /// Its code; 0 for none.
    pub(crate) code: u64,
    /// Which code lies there.
    pub(crate) mark: u32,
}

/// The room of one thread.
#[repr(C)]
pub(crate) struct Room {
    owner: AtomicU64,
    depth: AtomicU64,
    /// Of [`crate::codes`]: when the levels were read.
    epoch: AtomicU64,
    /// What a walk finds, newest first.
    pub(crate) found: [Level; DEEPEST],
    /// The last stack, oldest first.
    levels: [Level; DEEPEST],
    /// What each level stands on.
    grounds: [Below; DEEPEST],
    /// At a hash of a frame's address: its level, perhaps.
    places: [AtomicU64; PLACES],
    /// At a hash of a frame and of what it stands on: that stack, perhaps.
    recent: [Recent; recent::STACKS],
    /// For names.
    pub(crate) text: [AtomicU64; TEXT_WORDS],
}

/// A frame.
#[derive(Default)]
#[repr(C)]
pub(crate) struct Level {
    frame: AtomicU64,
    instruction: AtomicU64,
    code: AtomicU64,
    /// Mark of the code, and the stack whose newest frame this is.
    mark_and_stack: AtomicU64,
}

/// What is below a level.
#[repr(C)]
struct Below {
    first_and_stack: AtomicU64,
    piece_mark: AtomicU64,
}

/// What a level stands on.
#[derive(Clone, Copy)]
pub(crate) struct Ground {
    /// The stack below.
    pub(crate) stack: u32,
    /// The newest level whose frame begins a piece of the thread's stack; 0 if none does.
    pub(crate) first: usize,
}

impl Room {
    /// The room in these words.
    #[inline]
    pub(crate) fn new(words: &'static [AtomicU64; ROOM_WORDS]) -> &'static Self {
        // SAFETY: a room consists of such words and of nothing else, and `ROOM_WORDS` hold it.
        unsafe { &*words.as_ptr().cast() }
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

    /// Whether the code of every level that is remembered is the one that it was, since no other epoch of
    /// [`crate::codes`] has begun; otherwise none is remembered any more where that is heard.
    #[inline]
    pub(crate) fn keeps_codes(&self, epoch: u64) -> bool {
        if self.epoch.load(Relaxed) != epoch {
            self.epoch.store(epoch, Relaxed);
            if epoch != 0 {
                self.remember(0);
            }
        }
        epoch != 0
    }

    /// What this walk found in a place, counted from the newest.
    #[inline(always)]
    pub(crate) fn found(&self, place: usize) -> &Level {
        &self.found[place % DEEPEST]
    }

    /// A level of the last stack.
    #[inline(always)]
    pub(crate) fn level(&self, level: usize) -> &Level {
        &self.levels[level % DEEPEST]
    }

    /// Levels of the last stack below `end`, the oldest first.
    #[inline(always)]
    pub(crate) fn levels(&self, from: usize, end: usize) -> &[Level] {
        self.levels.get(from..end).unwrap_or_default()
    }

    /// What stands on a level.
    #[inline]
    pub(crate) fn ground(&self, level: usize) -> Ground {
        let first = self.below(level).first_and_stack.load(Relaxed) >> 32;
        Ground { stack: self.level(level).stack(), first: first as usize }
    }

    /// Puts a frame at a level, on `ground`; the stack that it ends, which `define` knows unless it was found
    /// lately.
    #[inline]
    pub(crate) fn put(&self, level: usize, seen: &Seen, ground: Ground, define: impl FnOnce() -> u32) -> u32 {
        let stack = recent::of(&self.recent, seen, ground.stack).stack(seen, ground.stack, define);
        let below = self.below(level);
        below.first_and_stack.store((ground.first as u64) << 32 | u64::from(ground.stack), Relaxed);
        self.level(level).set(seen, stack);
        stack
    }

    /// The frame at a level begins a piece of the thread's stack, which has this mark.
    #[inline]
    pub(crate) fn put_piece(&self, level: usize, mark: u64) {
        self.below(level).piece_mark.store(mark, Relaxed);
    }

    /// The mark of the piece that the frame at a level begins, if it begins one; 0 when that is not known.
    #[inline]
    pub(crate) fn piece_mark(&self, level: usize) -> u64 {
        self.below(level).piece_mark.load(Relaxed)
    }

    #[inline(always)]
    fn below(&self, level: usize) -> &Below {
        &self.grounds[level % DEEPEST]
    }

    /// Where a frame of this address was, if that is remembered and below `limit`.
    #[inline]
    pub(crate) fn level_of(&self, frame: u64, limit: usize) -> Option<usize> {
        let level = self.places[Self::place(frame)].load(Relaxed) as usize;
        (level < limit && self.level(level).frame() == frame).then_some(level)
    }

    /// The frame of this address is at this level.
    #[inline]
    pub(crate) fn place_at(&self, frame: u64, level: usize) {
        self.places[Self::place(frame)].store(level as u64, Relaxed);
    }

    #[inline]
    fn place(frame: u64) -> usize {
        (frame >> 3).wrapping_mul(0x9e37_79b9_7f4a_7c15).wrapping_shr(54) as usize % PLACES
    }

    /// The thread that it belongs to, or did.
    pub(crate) fn owner(&self) -> u64 {
        self.owner.load(Relaxed)
    }

    /// Takes it for a thread, unless somebody else was faster.
    pub(crate) fn claim(&self, from: u64, tid: u32) -> bool {
        let claimed = self.owner.compare_exchange(from, u64::from(tid), AcqRel, Relaxed).is_ok();
        if claimed {
            self.remember(0);
        }
        claimed
    }
}

impl Level {
    #[inline(always)]
    pub(crate) fn frame(&self) -> u64 {
        self.frame.load(Relaxed)
    }

    #[inline(always)]
    pub(crate) fn instruction(&self) -> u64 {
        self.instruction.load(Relaxed)
    }

    #[inline(always)]
    pub(crate) fn code(&self) -> u64 {
        self.code.load(Relaxed)
    }

    #[inline(always)]
    pub(crate) fn mark(&self) -> u32 {
        (self.mark_and_stack.load(Relaxed) >> 32) as u32
    }

    /// The stack whose newest frame this is; 0 when that is not known.
    #[inline(always)]
    pub(crate) fn stack(&self) -> u32 {
        self.mark_and_stack.load(Relaxed) as u32
    }

    /// All that the frame said.
    #[inline]
    pub(crate) fn seen(&self) -> Seen {
        Seen { frame: self.frame(), instruction: self.instruction(), code: self.code(), mark: self.mark() }
    }

    /// Replaces it.
    #[inline]
    pub(crate) fn set(&self, seen: &Seen, stack: u32) {
        self.frame.store(seen.frame, Relaxed);
        self.instruction.store(seen.instruction, Relaxed);
        self.code.store(seen.code, Relaxed);
        self.mark_and_stack.store(u64::from(seen.mark) << 32 | u64::from(stack), Relaxed);
    }
}

/// Notes what was found in a place; whether there was room for it.
#[inline]
pub(crate) fn note(found: &[Level], place: usize, seen: &Seen) -> bool {
    found.get(place).map(|level| level.set(seen, 0)).is_some()
}
