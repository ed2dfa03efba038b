//! The id of the stack that a thread is in.
//!
//! Stacks are a tree: one frame on top of another stack. A thread remembers its last stack frame by frame;
//! where the new one agrees with it from the oldest frame on, its ids are known without a search.
//!
//! Invariant: a stack is defined in the ring before it is first used, if there is room for the definition.

use core::sync::atomic::Ordering::Relaxed;

use slackwater_capture::transport::{Message, Texts};

use crate::process::Process;
use crate::python::{Frames, frames};
use crate::recorder;
use crate::thread::{self, Room};

/// The stack of this thread; 0 when it is in no Python, or that cannot be told.
pub(crate) fn current(process: &Process) -> u32 {
    let Ok(python) = process.python() else { return 0 };
    let Some(thread_state) = frames::thread_state(process, python) else { return 0 };
    let Some(room) = thread::room(process) else { return 0 };
    match frames::walk(process, python, thread_state, room.walk) {
        Frames::None => 0,
        Frames::All(depth) => id(process, room, depth, 0),
        Frames::Newest(depth) => {
            // They do not begin at a fixed place: nothing of the last walk can be reused.
            room.depth.store(0, Relaxed);
            let older = older_frames(process);
            let id = id(process, room, depth, older);
            room.depth.store(0, Relaxed);
            id
        }
    }
}

fn id(process: &Process, room: Room, depth: usize, bottom: u32) -> u32 {
    let depth = depth.min(thread::DEEPEST);
    let known = (room.depth.load(Relaxed) as usize).min(depth);
    let newest_last = |idx: usize| room.walk[depth - 1 - idx].load(Relaxed);
    let n_same = (0..known).take_while(|&idx| newest_last(idx) == room.keys[idx].load(Relaxed)).count();
    let mut stack = if n_same == 0 { bottom } else { room.stacks[n_same - 1].load(Relaxed) as u32 };
    // While it is rewritten nobody may rely on it.
    room.depth.store(n_same as u64, Relaxed);
    for idx in n_same..depth {
        let key = newest_last(idx);
        let location = frames::location(process, room, key);
        stack = on_top_of(process, stack, location);
        room.keys[idx].store(key, Relaxed);
        room.stacks[idx].store(u64::from(stack), Relaxed);
    }
    room.depth.store(depth as u64, Relaxed);
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
