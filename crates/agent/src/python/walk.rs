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
//! Most often nothing has changed, or only where in its code the newest frame is: that is tried first.
//!
//! Invariant: a frame is read only if the thread's state, or a frame read just before, points at it; each
//! step goes down a level or adds one, so there are at most twice as many as levels.

use core::sync::atomic::Ordering::Relaxed;

use slackwater_layout::cpython::FrameLayout;

use super::frames::{Frames, PROBED_FRAMES, Probing, Reader, SameCode, Trusting, Unlike};
use super::{Python, ends};
use crate::process::Process;
use crate::recorder;
use crate::room::{self, DEEPEST, Room, Seen};

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
#[inline(always)]
pub(crate) fn change(process: &Process, python: &Python, thread_state: u64, room: &Room) -> Option<Change> {
    let change = if process.python_state().load(Relaxed) < PROBED_FRAMES {
        probe(process, python, thread_state, room)
    } else {
        let frames = Frames::new(python, Trusting).with(same_code(process, room));
        Walk { frames, process, room }.run(thread_state)
    };
    if change.is_err() {
        recorder::refuse_stacks(process, "a frame of this CPython does not look as its release's do");
    }
    change.ok()
}

/// How the code of the frames that a room remembers is known to be the same.
#[inline]
fn same_code(process: &Process, room: &Room) -> SameCode {
    let epoch = if ends::are_heard() { process.codes().epoch() } else { 0 };
    if room.keeps_codes(epoch) { SameCode::ByAddress } else { SameCode::ByMark }
}

/// Reads all of the stack, and believes nothing.
#[cold]
fn probe(process: &Process, python: &Python, thread_state: u64, room: &Room) -> Result<Change, Unlike> {
    room.remember(0);
    let reader = Probing { code_type: python.code_type };
    let change = Walk { frames: Frames::new(python, reader), process, room }.run(thread_state);
    if let Ok(Change::Above { n_new, .. }) = change {
        process.python_state().fetch_add(n_new as u64, Relaxed);
    }
    change
}

struct Walk<'a, R> {
    frames: Frames<'a, R>,
    process: &'a Process,
    room: &'a Room,
}

/// How far down a stack is as it was remembered.
enum Compared {
    /// To its end: the levels from `kept` on have changed.
    ToTheEnd { kept: usize },
    /// To this level, whose caller is another frame now.
    To { level: usize, caller: u64 },
    /// There is no room for those that have changed.
    TooDeep,
}

/// Levels that are found again, because they have changed or stand on others that have.
struct Again<'a> {
    room: &'a Room,
    /// Where the next one goes.
    place: usize,
    /// The last one that was added; before the first, the one above it.
    level: usize,
}

impl Again<'_> {
    /// Adds the next level, which says something else now; whether there was room.
    #[inline]
    fn add(&mut self, seen: &Seen) -> bool {
        let has_room = room::note(&self.room.found, self.place, seen);
        self.place += 1;
        self.level -= 1;
        has_room
    }

    /// All down to this level are found again, because it has another caller now.
    #[cold]
    fn to(&mut self, level: usize, caller: u64) -> Compared {
        match self.add_down_to(level) {
            true => Compared::To { level, caller },
            false => Compared::TooDeep,
        }
    }

    /// Adds levels as they are, down to this one; whether there was room.
    #[inline]
    fn add_down_to(&mut self, level: usize) -> bool {
        while self.level > level {
            if !self.add(&self.room.level(self.level - 1).seen()) {
                return false;
            }
        }
        true
    }
}

impl<R: Reader> Walk<'_, R> {
    #[inline(always)]
    fn run(mut self, thread_state: u64) -> Result<Change, Unlike> {
        let newest = self.frames.newest(thread_state)?;
        match self.is_same(newest)? {
            true => Ok(Change::Above { kept: self.room.depth(), n_new: 0 }),
            false => self.find(newest),
        }
    }

    /// Whether all is as it was, as far as one comparison says.
    #[inline(always)]
    fn is_same(&mut self, newest: u64) -> Result<bool, Unlike> {
        let depth = self.room.depth();
        match depth.checked_sub(1) {
            Some(top) => self.stands_on(newest, self.room.ground(top).first.min(top), depth),
            None => Ok(false),
        }
    }

    /// Whether a frame is the newest of the levels below `end`, which are as they were from `first` on, and that
    /// one is known not to have ended, or to be the oldest of all.
    #[inline(always)]
    fn stands_on(&mut self, frame: u64, first: usize, end: usize) -> Result<bool, Unlike> {
        let room = self.room;
        let (n_unchanged, caller) = self.frames.unchanged(frame, room.levels(first, end))?;
        Ok(n_unchanged == end - first
            && (first == 0 && caller == 0 || self.has_not_ended(first, room.level(first).frame())))
    }

    /// Whether nothing has changed but where in its code the newest frame is. It is noted then.
    #[inline(always)]
    fn goes_on(&mut self, newest: u64) -> Result<bool, Unlike> {
        let room = self.room;
        let Some(top) = room.depth().checked_sub(1) else { return Ok(false) };
        let (level, first) = (room.level(top), room.ground(top).first);
        if level.frame() != newest || first >= top {
            return Ok(false);
        }
        self.frames.expect(level);
        let seen = self.frames.read(newest)?;
        let caller = self.frames.previous(newest)?;
        Ok(self.stands_on(caller, first, top)? && room::note(&room.found, 0, &seen))
    }

    /// What has changed of the stack with this newest frame.
    #[inline(never)]
    fn find(mut self, newest: u64) -> Result<Change, Unlike> {
        let room = self.room;
        if self.goes_on(newest)? {
            return Ok(Change::Above { kept: room.depth() - 1, n_new: 1 });
        }
        let mut frame = newest;
        let mut limit = room.depth();
        let mut n_new = 0;
        while frame != 0 {
            let Some(level) = room.level_of(frame, limit) else {
                if !room::note(&room.found, n_new, &self.frames.read(frame)?) {
                    return Ok(Change::TooDeep);
                }
                n_new += 1;
                frame = self.frames.previous(frame)?;
                continue;
            };
            let mut again = Again { room, place: n_new, level: level + 1 };
            let compared = self.compare(level, &mut again)?;
            n_new = again.place;
            match compared {
                Compared::ToTheEnd { kept } if kept + n_new <= DEEPEST => {
                    return Ok(Change::Above { kept, n_new });
                }
                Compared::ToTheEnd { .. } => return self.all(newest),
                Compared::TooDeep => return Ok(Change::TooDeep),
                Compared::To { level, caller } => (limit, frame) = (level, caller),
            }
        }
        Ok(Change::Above { kept: 0, n_new })
    }

    /// As if nothing were remembered.
    #[cold]
    fn all(self, newest: u64) -> Result<Change, Unlike> {
        self.room.remember(0);
        self.find(newest)
    }

    /// Compares the frame that is remembered at a level, and lies there now, and those below it.
    #[inline(always)]
    fn compare(&mut self, from: usize, again: &mut Again<'_>) -> Result<Compared, Unlike> {
        let room = self.room;
        let mut newest = from;
        let mut addr = room.level(from).frame();
        loop {
            let first = room.ground(newest).first.min(newest);
            let (n_unchanged, caller) = self.frames.unchanged(addr, room.levels(first, newest + 1))?;
            addr = caller;
            if n_unchanged <= newest - first {
                // This one is not, or it is not known whether its code is.
                let number = newest - n_unchanged;
                let level = room.level(number);
                if level.frame() != addr {
                    return Ok(again.to(number + 1, addr));
                }
                self.frames.expect(level);
                let seen = self.frames.read(addr)?;
                if seen != level.seen() && !(again.add_down_to(number + 1) && again.add(&seen)) {
                    return Ok(Compared::TooDeep);
                }
                addr = self.frames.previous(addr)?;
                if number > first {
                    newest = number - 1;
                    continue;
                }
            }
            if self.has_not_ended(first, room.level(first).frame()) {
                return Ok(Compared::ToTheEnd { kept: again.level });
            }
            newest = match (first.checked_sub(1), addr) {
                (Some(below), _) => below,
                (None, 0) => return Ok(Compared::ToTheEnd { kept: again.level }),
                (None, caller) => return Ok(again.to(first, caller)),
            };
        }
    }

    /// Whether the frame at a level is known to be the same call that was remembered.
    #[inline]
    fn has_not_ended(&self, level: usize, frame: u64) -> bool {
        let Some(piece) = first_of(self.frames.layout, frame) else { return false };
        let mark = self.room.piece_mark(level);
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
        super::check::check(Frames::new(python, Trusting), thread_state, room);
    }
}
