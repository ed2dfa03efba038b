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
use crate::python::frames;
use crate::room::Room;
use crate::sys::ThreadLocal;
use walk::Walk;
use weave::Weave;

/// The stack of this thread, whose room this is; 0 when it cannot be told.
#[inline(never)]
pub(crate) fn current(process: &Process, thread: &ThreadLocal, room: &'static Room) -> u32 {
    let region = Region::new(process.session().native());
    let number = thread.room.load(Relaxed) as usize;
    let (Some(slot), Some(cache)) =
        (region.slot(process.ring_number()), process.native_room(number.wrapping_sub(1)))
    else {
        return 0;
    };
    let start = registers::here();
    let walk = || Walk::new(process, region, slot, cache, start);
    if cache.is_deep() {
        return whole::current(process, room, cache, walk);
    }
    #[cfg(feature = "checked")]
    let before = whole::read(process, room, walk);
    let remembered = remembered(process, room, cache, walk());
    #[cfg(feature = "checked")]
    whole::check(remembered, before, whole::read(process, room, walk));
    remembered.unwrap_or_else(|| {
        cache.set_deep(true);
        whole::current(process, room, cache, walk)
    })
}

/// By what is remembered of the last stack; `None` when it is too deep for that.
#[inline(always)]
fn remembered(process: &Process, room: &'static Room, cache: Cache, mut walk: Walk<'_>) -> Option<u32> {
    let native = cache.trail.follow(&mut walk)?;
    let python = process.python().ok();
    let python = python.and_then(|python| Some((python, frames::thread_state(process, python)?)));
    let stack = Weave::read(process, python, room, cache, &native)?.stack();
    cache.trail.remember(&native);
    Some(stack)
}
