//! The id of the stack that a thread is in.
//!
//! Stacks are a tree: one frame on top of another stack. A thread remembers its last stack frame by frame;
//! what is the same keeps its ids.
//!
//! Invariant: a stack is defined in the ring before it is first used, if there is room for the definition.

use core::sync::atomic::AtomicU64;
use core::sync::atomic::Ordering::Relaxed;

use slackwater_capture::transport::{Message, Texts};

use crate::native::{self, Merged};
use crate::process::Process;
use crate::python::{self, Change, frames};
use crate::recorder;
use crate::thread::{self, DEEPEST, Room};

/// The stack of this thread; 0 when it is in no Python, or that cannot be told.
#[inline]
pub(crate) fn current(process: &Process) -> u32 {
    if process.reads_native() {
        return with_native(process).unwrap_or(0);
    }
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

/// As [`current`], with native frames.
fn with_native(process: &Process) -> Option<u32> {
    let room = thread::room(process)?;
    match native::merged(process, &room) {
        Merged::All(depth) => {
            let kept = room.same(depth);
            Some(grow(process, &room, kept, depth - kept, 0))
        }
        Merged::Newest(depth) => {
            let stack = grow(process, &room, 0, depth, older_frames(process));
            room.remember(0);
            Some(stack)
        }
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
        key => on_top_of(process, below, location(process, room, key, mark)),
    };
    thread::set(room.keys, level, key);
    thread::set(room.stacks, level, u64::from(mark) << 32 | u64::from(stack));
    if process.reads_native() {
        // These stacks are compared key by key: their frames are not remembered.
        return stack;
    }
    room.place_at(frame, level);
    if let Ok(python) = process.python()
        && let Some(piece) = python::first_of(&python.layout, frame)
    {
        thread::set(room.pieces, level, process.pieces().mark(piece));
    }
    stack
}

fn location(process: &Process, room: &Room, key: u64, mark: u32) -> u32 {
    if process.reads_native() && native::is_native(key) {
        return if key == native::LEFT_OUT { left_out(process) } else { native::location(key) };
    }
    frames::location(process, room.text, key, mark)
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
    on_top_of(process, 0, standing(process, process.older(), b"(older frames)"))
}

/// The location that stands for native frames which cannot be told.
#[cold]
fn left_out(process: &Process) -> u32 {
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
