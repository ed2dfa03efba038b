//! The id of the stack that a thread is in.
//!
//! Stacks are a tree: one frame on top of another stack. A thread remembers its last stack frame by frame;
//! what is the same keeps its ids.
//!
//! Invariant: a stack is defined in the ring before it is first used, if there is room for the definition.

use core::sync::atomic::Ordering::Relaxed;

use slackwater_capture::transport::{Message, Texts};

use crate::process::Process;
use crate::python::{self, Change, frames};
use crate::recorder;
use crate::thread::{self, DEEPEST, Room};

/// The stack of this thread; 0 when it is in no Python, or that cannot be told.
#[inline]
pub(crate) fn current(process: &Process) -> u32 {
    let Ok(python) = process.python() else { return 0 };
    let Some(thread_state) = frames::thread_state(process, python) else { return 0 };
    let Some(room) = thread::room(process) else { return 0 };
    match python::change(process, python, thread_state, &room) {
        Some(Change::Above { kept, n_new }) => {
            let stack = grow(process, &room, kept, n_new, 0);
            #[cfg(feature = "checked")]
            python::check(process, python, thread_state, &room);
            stack
        }
        Some(Change::TooDeep) => {
            let stack = grow(process, &room, 0, DEEPEST, older_frames(process));
            // They do not begin at a fixed place: nothing of them can be kept.
            room.remember(0);
            stack
        }
        None => 0,
    }
}

/// The stack of `kept` levels, which stand on `bottom`, and of the first `n_new` that were found above them.
#[inline]
fn grow(process: &Process, room: &Room, kept: usize, n_new: usize, bottom: u32) -> u32 {
    // While levels are rewritten nobody may rely on them.
    room.remember(kept);
    let mut stack = kept.checked_sub(1).map_or(bottom, |level| room.stack(level));
    for step in 0..n_new {
        stack = put(process, room, kept + step, n_new - 1 - step, stack);
    }
    room.remember(kept + n_new);
    stack
}

/// Puts what was found in one place on the stack below a level.
fn put(process: &Process, room: &Room, level: usize, place: usize, below: u32) -> u32 {
    let found = &room.found;
    let (frame, key) = (thread::get(found.frames, place), thread::get(found.keys, place));
    let mark = thread::get(found.marks, place) as u32;
    let stack = match key {
        frames::NO_CODE => below,
        key => on_top_of(process, below, frames::location(process, room.text, key, mark)),
    };
    room.place_at(frame, level);
    thread::set(room.keys, level, key);
    thread::set(room.stacks, level, u64::from(mark) << 32 | u64::from(stack));
    if let Ok(python) = process.python()
        && let Some(piece) = python::first_of(&python.layout, frame)
    {
        thread::set(room.pieces, level, process.pieces().mark(piece));
    }
    stack
}

/// The stack with one more frame.
fn on_top_of(process: &Process, parent: u32, location: u32) -> u32 {
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
fn older_frames(process: &Process) -> u32 {
    let known = process.older().load(Relaxed) as u32;
    if known != 0 {
        return known;
    }
    let text = b"(older frames)";
    let texts = Texts { first_bytes: text.len() as u16, second_bytes: 0 };
    let location = process.new_location();
    let message = Message::Location { id: location, line: 0, texts };
    recorder::send(process, message.encode(), texts, |idx| crate::text::packed(text, idx));
    let stack = on_top_of(process, 0, location);
    process.older().store(u64::from(stack), Relaxed);
    stack
}
