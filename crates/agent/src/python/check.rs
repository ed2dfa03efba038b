//! Holds every stack that was pieced together from a remembered one against all of the thread's frames: in
//! agents that are built to be tested, with the feature `checked`.
//!
//! Invariant: a difference ends the process.
#![allow(unsafe_code)] // ending the process

use super::frames::{Frames, Reader, Unlike};
use crate::thread::{self, Room};

/// Ends the process unless the room holds the frames of the thread.
pub(super) fn check<R: Reader>(mut frames: Frames<'_, R>, thread_state: u64, room: &Room) {
    if compare(&mut frames, thread_state, room) != Ok(true) {
        // SAFETY: no precondition.
        unsafe { libc::abort() };
    }
}

fn compare<R: Reader>(frames: &mut Frames<'_, R>, thread_state: u64, room: &Room) -> Result<bool, Unlike> {
    let mut addr = frames.newest(thread_state)?;
    for level in (0..room.depth()).rev() {
        if addr == 0 || addr != thread::get(room.frames, level) {
            return Ok(false);
        }
        let frame = frames.read(addr)?;
        if frame.key != thread::get(room.keys, level) || frame.mark != room.mark(level) {
            return Ok(false);
        }
        addr = frame.previous;
    }
    Ok(addr == 0)
}
