//! The id of the stack that a thread is in.
//!
//! Stacks are a tree: one frame on top of another stack. A thread remembers its last stack frame by frame;
//! what is the same keeps its ids.
//!
//! Invariant: a stack is defined in the ring before it is first used, if there is room for the definition.

use core::sync::atomic::AtomicU64;
use core::sync::atomic::Ordering::Relaxed;

use slackwater_capture::transport::{Message, Texts};

use crate::native;
use crate::process::Process;
use crate::python::{self, Change, Python, frames};
use crate::recorder;
use crate::room::{DEEPEST, Ground, Room, Seen};
use crate::sys::ThreadLocal;
use crate::thread;

/// The stack of this thread; 0 when it is in no Python, or that cannot be told.
#[inline(always)]
pub(crate) fn current(process: &Process, thread: &ThreadLocal) -> u32 {
    if process.reads_native() {
        return match thread::room(process, thread) {
            Some(room) => native::current(process, thread, room),
            None => 0,
        };
    }
    let Ok(python) = process.python() else { return 0 };
    let Some(thread_state) = frames::thread_state(process, python) else { return 0 };
    let Some(room) = thread::room(process, thread) else { return 0 };
    match python::change(process, python, thread_state, room) {
        Some(Change::Above { kept, n_new, .. }) => {
            let stack = grow(process, room, kept, n_new, 0);
            #[cfg(feature = "checked")]
            python::check(process, python, thread_state, room);
            stack
        }
        Some(Change::TooDeep) => {
            let stack = grow(process, room, 0, DEEPEST, older_frames(process));
            // They do not begin at a fixed place: nothing of them can be kept.
            room.remember(0);
            stack
        }
        None => 0,
    }
}

/// The stack of `kept` levels, which stand on `bottom`, and of the first `n_new` that were found above them.
#[inline(always)]
fn grow(process: &Process, room: &'static Room, kept: usize, n_new: usize, bottom: u32) -> u32 {
    match (kept.checked_sub(1), n_new) {
        (Some(newest), 0) => {
            room.remember(kept);
            room.level(newest).stack()
        }
        _ => grow_by(process, room, kept, n_new, bottom),
    }
}

#[inline(never)]
fn grow_by(process: &Process, room: &'static Room, kept: usize, n_new: usize, bottom: u32) -> u32 {
    // While levels are rewritten nobody may rely on them.
    room.remember(kept);
    let mut ground = match kept.checked_sub(1) {
        Some(below) => room.ground(below),
        None => Ground { stack: bottom, first: 0 },
    };
    let python = process.python().ok();
    for step in 0..n_new {
        let (level, seen) = (kept + step, room.found(n_new - 1 - step).seen());
        ground = put(process, python, room, level, &seen, ground);
    }
    room.remember(kept + n_new);
    ground.stack
}

/// Puts a frame at a level, on `ground`; what a level above it stands on.
#[inline(always)]
pub(crate) fn put(
    process: &Process,
    python: Option<&Python>,
    room: &'static Room,
    level: usize,
    seen: &Seen,
    mut ground: Ground,
) -> Ground {
    room.place_at(seen.frame, level);
    process.codes().watch(seen.code);
    if let Some(piece) = python.and_then(|python| python::first_of(&python.layout, seen.frame)) {
        room.put_piece(level, process.pieces().mark(piece));
        ground.first = level;
    }
    ground.stack = room.put(level, seen, ground, || on(process, room, ground.stack, seen));
    ground
}

/// The stack with a frame on top, if that has code.
#[inline(never)]
fn on(process: &Process, room: &'static Room, below: u32, seen: &Seen) -> u32 {
    match seen.code {
        frames::NO_CODE => below,
        _ => on_top_of(process, below, frames::location(process, &room.text, seen)),
    }
}

/// The stack with one more frame.
pub(crate) fn on_top_of(process: &Process, parent: u32, location: u32) -> u32 {
    // Locations start with 1, so a key is never 0.
    let key = u64::from(parent) << 32 | u64::from(location.max(1));
    process.stacks().id(key, 0, || {
        let id = process.new_stack();
        recorder::send_one(process, Message::Stack { id, parent, location });
        id
    })
}

/// The stack that stands for all frames that were too many.
#[cold]
pub(crate) fn older_frames(process: &Process) -> u32 {
    on_top_of(process, 0, standing(process, process.older(), b"(older frames)"))
}

/// The stack that stands for all who fill arenas of Python's: the line that needed the next one may have the
/// least in it.
#[cold]
pub(crate) fn of_arenas(process: &Process) -> u32 {
    on_top_of(process, 0, standing(process, process.arenas(), b"(arenas of Python's own allocator)"))
}

/// The location that stands for native frames which cannot be told.
#[cold]
pub(crate) fn left_out(process: &Process) -> u32 {
    standing(process, process.left_out(), b"(native frames left out)")
}

/// A location that is no code; `known` remembers it.
fn standing(process: &Process, known: &AtomicU64, text: &'static [u8]) -> u32 {
    let present = known.load(Relaxed) as u32;
    if present != 0 {
        return present;
    }
    let texts = Texts { first_bytes: text.len() as u16, second_bytes: 0 };
    let id = process.new_location();
    let message = Message::Location { id, line: 0, texts };
    recorder::send(process, message.encode(), texts, |idx| crate::text::packed(text, idx));
    known.store(u64::from(id), Relaxed);
    id
}
