//! Merged stacks that are read as a whole, whatever is remembered: very deep ones, and in an agent that is
//! built to be tested all others too, to be compared.
//!
//! Invariant: a difference ends the process of an agent that compares.
#![cfg_attr(feature = "checked", allow(unsafe_code))] // ending the process

use super::cache::Cache;
use super::merge::{self, LEFT_OUT, Merged};
use super::walk::Walk;
use crate::process::Process;
use crate::python::{Chain, frames, is_probing};
use crate::room::{DEEPEST, Ground, Room, Seen};
use crate::stacks;

/// The stack of this thread. What the room remembers is forgotten.
#[inline(never)]
pub(super) fn current<'a>(
    process: &'a Process,
    room: &'static Room,
    cache: &'static Cache,
    walk: impl Fn() -> Walk<'a>,
) -> u32 {
    let (bottom, depth) = match merged(process, room, walk) {
        Merged::All(depth) => {
            // Not for a stack that comes and goes around what can be remembered.
            cache.set_deep(depth > DEEPEST / 2);
            (0, depth)
        }
        Merged::Newest(depth) => (stacks::older_frames(process), depth),
    };
    room.remember(0);
    let mut ground = Ground { stack: bottom, first: 0 };
    for level in 0..depth {
        let seen = room.found(depth - 1 - level).seen();
        ground.stack = room.put(level, &seen, ground, || on(process, room, ground.stack, &seen));
    }
    ground.stack
}

/// The stack of this thread, by nothing that is remembered; `None` for a very deep one.
#[cfg(feature = "checked")]
pub(super) fn read<'a>(
    process: &'a Process,
    room: &'static Room,
    walk: impl Fn() -> Walk<'a>,
) -> Option<u32> {
    let Merged::All(depth) = merged(process, room, walk) else { return None };
    let frames = (0..depth).rev().map(|place| room.found(place).seen());
    Some(frames.fold(0, |below, seen| on(process, room, below, &seen)))
}

/// Ends the process unless a stack is what was read before, or afterwards: rules may come in between.
#[cfg(feature = "checked")]
pub(super) fn check(remembered: Option<u32>, before: Option<u32>, after: Option<u32>) {
    if remembered.is_some() && remembered != before && remembered != after {
        // SAFETY: no precondition.
        unsafe { libc::abort() };
    }
}

/// Writes key and mark of each frame to the room, the newest one first.
fn merged<'a>(process: &'a Process, room: &Room, walk: impl Fn() -> Walk<'a>) -> Merged {
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

/// The stack with the frame of a key on top.
#[inline(never)]
fn on(process: &Process, room: &'static Room, below: u32, seen: &Seen) -> u32 {
    let location = match seen.instruction {
        LEFT_OUT => stacks::left_out(process),
        key if merge::is_native(key) => merge::location(key),
        key => frames::location_of(process, &room.text, key, seen.mark),
    };
    stacks::on_top_of(process, below, location)
}
