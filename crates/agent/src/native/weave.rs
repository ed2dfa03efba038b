//! The merged stack of a thread, by what has changed in it since the last one.
//!
//! Each level of the room is a frame of Python's, with the merged stack that it ends. Native frames have no
//! levels: they lie below the level at which a call of the loop began, and above all levels.
//!
//! ```text
//! levels           0 1 |             2 3                      outermost first
//! calls            0   |             1
//! native    main  loop   call_method  loop   malloc_caller
//! ```
//!
//! A level keeps its stack where its frame is as it was, and all is that is native and older than the loop
//! which runs it.
//!
//! Invariant: what comes out is what `merge` makes of both stacks, read whole. An agent that is built to be
//! tested compares.

use slackwater_unwind::Ended;

use super::cache::Cache;
use super::trail::{Followed, Kind};
use crate::process::Process;
use crate::python::frames::NO_CODE;
use crate::python::{self, Change, Python};
use crate::room::{DEEPEST, Ground, Room, Seen};
use crate::stacks;

/// How calls of the loop are matched with its native frames, the newest with the newest.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Fit {
    /// All native frames are known. So many of the oldest calls have none: they run no frame.
    Whole(usize),
    /// Those that are older than some are not known. So many of the oldest calls have none.
    Cut(usize),
    /// The count does not come out.
    Apart,
    /// There is no Python.
    Native,
}

impl Fit {
    /// Never 0.
    const fn encode(self) -> u64 {
        match self {
            Self::Whole(n_alone) => (n_alone as u64) << 8 | 1,
            Self::Cut(n_alone) => (n_alone as u64) << 8 | 2,
            Self::Apart => 3,
            Self::Native => 4,
        }
    }

    /// So many of the oldest calls have no native frames below them.
    const fn n_alone(self) -> usize {
        match self {
            Self::Whole(n_alone) | Self::Cut(n_alone) => n_alone,
            Self::Apart | Self::Native => usize::MAX,
        }
    }
}

/// The frames of Python, and the native ones, of which both some are as they were.
pub(super) struct Weave<'a> {
    process: &'a Process,
    /// `None` when this thread is in no Python, or its frames cannot be read.
    python: Option<&'a Python>,
    room: &'static Room,
    cache: &'static Cache,
    native: &'a Followed,
    /// Levels that have the same frames.
    n_same: usize,
    /// Frames that were found above them.
    n_new: usize,
}

/// A place between native frames, and the stack of all that is older.
struct Place {
    stack: u32,
    native: usize,
}

/// The stack that was made last, if nothing has changed since.
#[inline]
pub(super) fn last(
    room: &Room,
    cache: &'static Cache,
    native: &Followed,
    python: Option<&Change>,
) -> Option<u32> {
    let was_native = cache.calls.fit() == Fit::Native.encode();
    let is_same = match python {
        Some(&Change::Above { kept, n_new }) => n_new == 0 && kept == room.depth() && !was_native,
        Some(Change::TooDeep) => false,
        None => was_native,
    };
    if is_same && native.is_same { cache.calls.stack() } else { None }
}

impl<'a> Weave<'a> {
    /// Of Python's frames, if there are any, and of native ones; `None` when there are too many.
    pub(super) fn of(
        process: &'a Process,
        python: Option<(&'a Python, Change)>,
        room: &'static Room,
        cache: &'static Cache,
        native: &'a Followed,
    ) -> Option<Self> {
        let none = Self { process, python: None, room, cache, native, n_same: 0, n_new: 0 };
        match python {
            Some((_, Change::Above { kept, n_new })) if kept + n_new + native.depth > DEEPEST => None,
            Some((_, Change::TooDeep)) => None,
            Some((python, Change::Above { kept, n_new })) => {
                let weave = Self { python: Some(python), n_same: kept, n_new, ..none };
                weave.find_calls(python);
                Some(weave)
            }
            None => Some(none),
        }
    }

    fn depth(&self) -> usize {
        self.n_same + self.n_new
    }

    /// The frame of Python's at a level.
    #[inline]
    fn seen(&self, level: usize) -> Seen {
        match level.checked_sub(self.n_same) {
            None => self.room.level(level).seen(),
            Some(above) => self.room.found(self.n_new - 1 - above).seen(),
        }
    }

    /// Finds the calls among levels that are new.
    #[inline]
    fn find_calls(&self, python: &Python) {
        let (room, calls) = (self.room, &self.cache.calls);
        room.remember(self.n_same);
        calls.keep_below(self.n_same);
        for level in self.n_same..self.depth() {
            if python::begins_call(&python.layout, &self.seen(level)) {
                calls.push(level);
            }
        }
    }

    /// How the calls are matched.
    #[inline]
    fn fit(&self) -> Fit {
        if self.python.is_none() {
            return Fit::Native;
        }
        let calls = &self.cache.calls;
        let Some(n_alone) = calls.count().checked_sub(self.native.n_loops) else { return Fit::Apart };
        if self.native.ended == Ended::Unknown {
            return Fit::Cut(n_alone);
        }
        let oldest = if self.native.n_loops == 0 { None } else { calls.level(n_alone) };
        let n_older = oldest.unwrap_or_else(|| self.depth());
        match (0..n_older).all(|level| self.seen(level).code == NO_CODE) {
            true => Fit::Whole(n_alone),
            // They have no loop to run them.
            false => Fit::Apart,
        }
    }

    /// The first level that stands on native frames which have changed.
    #[inline]
    fn first_changed(&self, fit: Fit) -> usize {
        let kept = self.native.kept;
        let (Fit::Whole(n_alone) | Fit::Cut(n_alone)) = fit else { return usize::MAX };
        let trail = &self.cache.trail;
        let n_loops = kept.checked_sub(1).map_or(0, |newest| trail.n_loops(newest));
        // A loop that goes on elsewhere stands on what it stood on.
        let goes_on = kept < self.native.depth && matches!(trail.kind(kept), Kind::Loop(_));
        let loop_idx = n_loops + usize::from(goes_on);
        match loop_idx < self.native.n_loops {
            true => self.cache.calls.level(n_alone + loop_idx).unwrap_or(usize::MAX),
            false => usize::MAX,
        }
    }

    /// The stack of all frames.
    pub(super) fn stack(&self) -> u32 {
        let (room, calls, depth) = (self.room, &self.cache.calls, self.depth());
        calls.set_stack(0);
        let fit = self.fit();
        let valid = match calls.fit() == fit.encode() {
            true => room.depth().min(self.n_same).min(self.first_changed(fit)),
            false => 0,
        };
        // While levels are rewritten nobody may rely on them.
        room.remember(valid);
        calls.set_fit(fit.encode());
        let stack = match valid.checked_sub(1) {
            Some(newest) if valid == depth => room.level(newest).stack(),
            _ => self.rebuild(fit, valid),
        };
        room.remember(depth);
        let stack = self.newest(fit, stack);
        calls.set_stack(stack);
        stack
    }

    /// Puts all levels from `valid` on; the stack of the last one.
    #[inline(never)]
    fn rebuild(&self, fit: Fit, valid: usize) -> u32 {
        let (room, calls, depth) = (self.room, &self.cache.calls, self.depth());
        let mut ground = match valid.checked_sub(1) {
            Some(below) => room.ground(below),
            None => Ground { stack: 0, first: 0 },
        };
        let mut call = calls.below(valid);
        let n_loops = call.saturating_sub(fit.n_alone());
        let mut native = self.cache.trail.behind(n_loops, self.native.depth);
        for level in valid..depth {
            let seen = self.seen(level);
            if calls.level(call) == Some(level) {
                if call >= fit.n_alone() {
                    let place = self.native_above(fit, call, Place { stack: ground.stack, native });
                    (ground.stack, native) = (place.stack, place.native);
                }
                call += 1;
            }
            ground = stacks::put(self.process, self.python, room, level, &seen, ground);
        }
        ground.stack
    }

    /// Native frames above so many calls: up to the next frame of the loop, or the end.
    #[inline]
    fn native_above(&self, fit: Fit, n_calls: usize, from: Place) -> Place {
        let Place { mut stack, mut native } = from;
        let trail = &self.cache.trail;
        let n_loops = n_calls - fit.n_alone();
        if n_loops == 0 && matches!(fit, Fit::Cut(_)) {
            stack = self.left_out(stack);
        }
        if n_loops > 0
            && self.runs_nothing(n_calls - 1)
            && let Some(running) = native.checked_sub(1)
            && let Kind::Loop(location) = trail.kind(running)
        {
            // Between two frames: the loop clears the one that has ended.
            stack = self.on(stack, location);
        }
        while native < self.native.depth {
            match trail.kind(native) {
                Kind::Own => {}
                Kind::Native(location) => stack = self.on(stack, location),
                Kind::Loop(_) => {
                    native += 1;
                    break;
                }
            }
            native += 1;
        }
        Place { stack, native }
    }

    /// Whether a call of the loop has no frame above the one that begins it.
    fn runs_nothing(&self, call: usize) -> bool {
        let calls = &self.cache.calls;
        let Some(level) = calls.level(call) else { return false };
        let next = calls.level(call + 1).unwrap_or_else(|| self.depth());
        level + 1 == next && self.seen(level).code == NO_CODE
    }

    /// With native frames that are newer than all of Python.
    #[inline]
    fn newest(&self, fit: Fit, stack: u32) -> u32 {
        match fit {
            Fit::Whole(_) | Fit::Cut(_) => {
                let native = self.behind_newest_loop();
                self.native_above(fit, self.cache.calls.count(), Place { stack, native }).stack
            }
            Fit::Apart => {
                let from = self.behind_newest_loop();
                self.all_native(from, self.left_out(stack))
            }
            Fit::Native if self.native.ended == Ended::Unknown => self.all_native(0, self.left_out(stack)),
            Fit::Native => self.all_native(0, stack),
        }
    }

    /// The place of frames that are newer than any of the loop.
    #[inline]
    fn behind_newest_loop(&self) -> usize {
        let is_newer = |&place: &usize| match place.checked_sub(1) {
            Some(older) => matches!(self.cache.trail.kind(older), Kind::Loop(_)),
            None => true,
        };
        (0..=self.native.depth).rev().find(is_newer).unwrap_or(0)
    }

    /// All native frames from a place on, those of the loop too.
    fn all_native(&self, from: usize, mut stack: u32) -> u32 {
        for native in from..self.native.depth {
            if let Kind::Native(location) | Kind::Loop(location) = self.cache.trail.kind(native) {
                stack = self.on(stack, location);
            }
        }
        stack
    }

    /// With one more native frame.
    #[inline]
    fn on(&self, below: u32, location: u32) -> u32 {
        if location == 0 {
            return self.left_out(below);
        }
        self.cache.steps.on(below, location, || stacks::on_top_of(self.process, below, location))
    }

    /// With a mark for native frames that cannot be told.
    #[cold]
    fn left_out(&self, below: u32) -> u32 {
        stacks::on_top_of(self.process, below, stacks::left_out(self.process))
    }
}
