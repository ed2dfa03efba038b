//! What has changed in a thread's stack since it was last read.
//!
//! A frame's caller cannot run, and the chain behind it cannot change, while the frame itself has not ended.
//! But that a frame lies where one lay, with the same code at the same instruction, does not say that it is
//! the same call: it may have returned and been called again, by a caller which is at another line now. So
//! what is remembered is compared frame by frame, down to one that is known not to have ended: the first one
//! of a mapping that was there all the time (`pieces`).
//!
//! ```text
//! last stack, oldest first    a b c d e f g h         d is the first frame of such a mapping
//! this one                    a b c d e f'x y         f is at another line
//! read                              d e f'x y         kept: a b c d e     new: f'x y
//! ```
//!
//! Invariant: a frame is read only if the thread's state, or a frame read just before, points at it; each
//! step goes down a level or adds one, so there are at most twice as many as levels.

use core::sync::atomic::Ordering::Relaxed;

use slackwater_layout::cpython::FrameLayout;

use super::Python;
use super::frames::{Frames, PROBED_FRAMES, Probing, Reader, Trusting, Unlike};
use crate::process::Process;
use crate::recorder;
use crate::thread::{self, DEEPEST, Room};

/// How a stack differs from the last one of its thread.
pub(crate) enum Change {
    /// The oldest `kept` levels are the same; above them are the first `n_new` that were found.
    Above {
        /// Levels that are as they were.
        kept: usize,
        /// Frames on top of those.
        n_new: usize,
    },
    /// There are more frames than levels; as many as there are levels were found.
    TooDeep,
}

/// What has changed in this thread's stack; `None` when its frames are not what they should be.
pub(crate) fn change(process: &Process, python: &Python, thread_state: u64, room: &Room) -> Option<Change> {
    let n_probed = process.python_state().load(Relaxed);
    let change = if n_probed < PROBED_FRAMES {
        room.remember(0);
        let reader = Probing { code_type: python.code_type };
        let change = Walk { frames: Frames::new(&python.layout, reader), process, room }.run(thread_state);
        if let Ok(Change::Above { n_new, .. }) = change {
            process.python_state().fetch_add(n_new as u64, Relaxed);
        }
        change
    } else {
        Walk { frames: Frames::new(&python.layout, Trusting), process, room }.run(thread_state)
    };
    if change.is_err() {
        recorder::refuse_stacks(process, "a frame of this CPython does not look as its release's do");
    }
    change.ok()
}

struct Walk<'a, R> {
    frames: Frames<'a, R>,
    process: &'a Process,
    room: &'a Room,
}

/// How far down a stack is as it was remembered.
enum Compared {
    /// To its end: the levels from this one on have changed.
    ToTheEnd(usize),
    /// To this level, whose caller is another frame now.
    To { level: usize, caller: u64 },
}

impl<R: Reader> Walk<'_, R> {
    #[inline]
    fn run(mut self, thread_state: u64) -> Result<Change, Unlike> {
        let room = self.room;
        let mut frame = self.frames.newest(thread_state)?;
        let mut limit = room.depth();
        let mut n_new = 0;
        while frame != 0 {
            let Some(level) = room.level_of(frame, limit) else {
                let read = self.frames.read(frame)?;
                if !self.add(&mut n_new, frame, read.key, read.mark) {
                    return Ok(Change::TooDeep);
                }
                frame = read.previous;
                continue;
            };
            let compared = self.compare(level)?;
            let (Compared::ToTheEnd(first_new) | Compared::To { level: first_new, .. }) = compared;
            for level in (first_new..=level).rev() {
                let (key, mark) = (thread::get(room.keys, level), room.mark(level));
                if !self.add(&mut n_new, thread::get(room.frames, level), key, mark) {
                    return Ok(Change::TooDeep);
                }
            }
            match compared {
                Compared::ToTheEnd(kept) if kept + n_new <= DEEPEST => {
                    return Ok(Change::Above { kept, n_new });
                }
                Compared::ToTheEnd(_) => return self.all(thread_state),
                Compared::To { level, caller } => (limit, frame) = (level, caller),
            }
        }
        Ok(Change::Above { kept: 0, n_new })
    }

    /// As if nothing were remembered.
    #[cold]
    fn all(self, thread_state: u64) -> Result<Change, Unlike> {
        self.room.remember(0);
        self.run(thread_state)
    }

    #[inline]
    fn add(&self, n_new: &mut usize, frame: u64, key: u64, mark: u32) -> bool {
        let has_room = *n_new < DEEPEST;
        if has_room {
            let found = &self.room.found;
            thread::set(found.frames, *n_new, frame);
            thread::set(found.keys, *n_new, key);
            thread::set(found.marks, *n_new, u64::from(mark));
            *n_new += 1;
        }
        has_room
    }

    /// Compares the frame that is remembered at a level, and lies there now, and those below it.
    #[inline]
    fn compare(&mut self, from: usize) -> Result<Compared, Unlike> {
        let room = self.room;
        let mut first_changed = from + 1;
        let mut level = from;
        loop {
            let addr = thread::get(room.frames, level);
            let frame = self.frames.read(addr)?;
            if frame.key != thread::get(room.keys, level) || frame.mark != room.mark(level) {
                first_changed = level;
                thread::set(room.keys, level, frame.key);
                thread::set(room.stacks, level, u64::from(frame.mark) << 32);
            }
            if self.has_not_ended(level, addr) {
                return Ok(Compared::ToTheEnd(first_changed));
            }
            let Some(below) = level.checked_sub(1) else {
                return Ok(match frame.previous {
                    0 => Compared::ToTheEnd(first_changed),
                    caller => Compared::To { level, caller },
                });
            };
            if frame.previous != thread::get(room.frames, below) {
                return Ok(Compared::To { level, caller: frame.previous });
            }
            level = below;
        }
    }

    /// Whether the frame at a level is known to be the same call that was remembered.
    #[inline]
    fn has_not_ended(&self, level: usize, frame: u64) -> bool {
        let Some(piece) = first_of(self.frames.layout, frame) else { return false };
        let mark = thread::get(self.room.pieces, level);
        mark != 0 && self.process.pieces().mark(piece) == mark
    }
}

/// The piece of the thread's stack that a frame may be the first of.
#[inline]
pub(crate) fn first_of(layout: &FrameLayout, frame: u64) -> Option<u64> {
    layout.stack_piece.map(|offset| frame.wrapping_sub(offset)).filter(|piece| piece & 0xfff == 0)
}

/// Holds what a room remembers against the thread's frames.
#[cfg(feature = "checked")]
pub(crate) fn check(process: &Process, python: &Python, thread_state: u64, room: &Room) {
    if process.python_state().load(Relaxed) >= PROBED_FRAMES {
        super::check::check(Frames::new(&python.layout, Trusting), thread_state, room);
    }
}
