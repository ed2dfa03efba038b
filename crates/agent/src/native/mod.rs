//! Stacks of native code, with Python's frames where the interpreter's loop runs them.
//!
//! ```text
//! registers ─▶ walk ◀── rules, made outside (slackwater_unwind)
//!               │  pc by pc, newest first
//!               ▼
//!             trail       what has changed of the last walk
//!               ▼
//!             weave ◀── python::walk: what has changed of Python's frames
//!               ▼
//!             steps ─▶ stacks     one stack on top of another
//! ```
//!
//! Stacks that are too deep to be remembered are read whole: `merge`, of `walk` and `python::chain`.
//!
//! Invariants: the hook calls nothing of the program's: no loader, no unwinder of its runtime, no lock. Only
//! the thread's own stack is read, and only where it is known to be readable. A frame that cannot be told is
//! left out and the stack says so.

mod cache;
mod calls;
mod merge;
mod registers;
mod stack;
mod steps;
mod trail;
mod walk;
mod weave;
mod whole;

pub(crate) use cache::{Cache, ROOM_WORDS};
pub(crate) use stack::end_of_first as stack_end;

use core::sync::atomic::Ordering::Relaxed;

use slackwater_unwind::Region;

use crate::process::Process;
use crate::python::{self, Change, Python, frames};
use crate::room::Room;
use crate::sys::ThreadLocal;
use stack::Stack;
use trail::Followed;
use walk::Walk;
use weave::Weave;

/// The stack of this thread, whose room this is; 0 when it cannot be told.
#[inline(never)]
pub(crate) fn current(process: &Process, thread: &ThreadLocal, room: &'static Room) -> u32 {
    let region = Region::new(process.session().native());
    let number = thread.room_number.load(Relaxed) as usize;
    let (Some(slot), Some(cache)) = (region.slot(process.ring_number()), process.native_room(number)) else {
        return 0;
    };
    let start = registers::here();
    let walk = || Walk::new(process, region, slot, cache, start);
    if cache.is_deep() {
        return whole::current(process, room, cache, walk);
    }
    #[cfg(feature = "checked")]
    let before = whole::read(process, room, walk);
    let is_remembered = cache.is_of(slot.list(process.pid()), thread.tid.load(Relaxed));
    let again = match is_remembered {
        true => cache.trail.again(&start, &mut Stack::new(process, cache, start.sp)),
        false => None,
    };
    let remembered = again
        .or_else(|| cache.trail.follow(&mut walk()))
        .and_then(|native| with_python(process, room, cache, &native));
    #[cfg(feature = "checked")]
    whole::check(remembered, before, whole::read(process, room, walk));
    remembered.unwrap_or_else(|| {
        cache.set_deep(true);
        whole::current(process, room, cache, walk)
    })
}

/// The stack of a walk and of Python's frames; `None` when it is too deep to be remembered.
#[inline(always)]
fn with_python(
    process: &Process,
    room: &'static Room,
    cache: &'static Cache,
    native: &Followed,
) -> Option<u32> {
    let python = process.python().ok().and_then(|python| {
        let thread_state = frames::thread_state(process, python)?;
        Some((python, python::change(process, python, thread_state, room)?))
    });
    let last = weave::last(room, cache, native, python.as_ref().map(|(_, change)| change));
    let stack = match last {
        Some(stack) => stack,
        None => woven(process, python, room, cache, native)?,
    };
    cache.trail.remember(native);
    Some(stack)
}

/// As they are woven where something has changed.
#[inline(never)]
fn woven(
    process: &Process,
    python: Option<(&Python, Change)>,
    room: &'static Room,
    cache: &'static Cache,
    native: &Followed,
) -> Option<u32> {
    cache.trail.forget();
    Some(Weave::of(process, python, room, cache, native)?.stack())
}
