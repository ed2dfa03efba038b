//! Stacks of native code, with Python's frames where the interpreter's loop runs them.
//!
//! ```text
//! registers ─▶ walk ◀── rules, made outside (slackwater_unwind)
//!               │  pc by pc, newest first
//!               ▼
//!             merge ◀── python::chain: Python's frames, and where each call of the loop began
//!               ▼
//!             keys ─▶ stacks::id
//! ```
//!
//! Invariants: the hook calls nothing of the program's: no loader, no unwinder of its runtime, no lock. Only
//! the thread's own stack is read, and only where it is known to be readable. A frame that cannot be told is
//! left out and the stack says so.

mod cache;
mod merge;
mod registers;
mod stack;
mod walk;

pub(crate) use cache::{Cache, ROOM_WORDS};
pub(crate) use merge::{LEFT_OUT, Merged, is_native, location};
pub(crate) use stack::end_of_first as stack_end;

use core::sync::atomic::Ordering::Relaxed;

use slackwater_unwind::Region;

use crate::process::Process;
use crate::python::{Chain, frames, is_probing};
use crate::room::Room;
use crate::thread;
use walk::Walk;

/// Writes key and mark of each frame of this thread to the room, the newest one first.
pub(crate) fn merged(process: &Process, room: &Room) -> Merged {
    let region = Region::new(process.session().native());
    let number = thread::this(process).room.load(Relaxed) as usize;
    let (Some(slot), Some(cache)) =
        (region.slot(process.ring_number()), process.native_room(number.wrapping_sub(1)))
    else {
        return Merged::All(0);
    };
    let start = registers::here();
    let walk = || Walk::new(process, region, slot, cache, start);
    let python = || {
        let python = process.python().ok()?;
        Some((python, frames::thread_state(process, python)?))
    };
    if is_probing(process) {
        let chain = || python().map(|(python, state)| Chain::probing(process, python, state));
        return merge::merge(walk, chain, &room.found);
    }
    let chain = || python().map(|(python, state)| Chain::trusting(process, python, state));
    merge::merge(walk, chain, &room.found)
}
