//! Holds every stack that was pieced together from a remembered one against all of the thread's frames: in
//! agents that are built to be tested, with the feature `checked`.
//!
//! Invariant: a difference ends the process.
#![allow(unsafe_code)] // ending the process

use super::frames::{Frames, Reader, Unlike};
use crate::room::Room;

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
        if addr == 0 || frames.read(addr)? != room.level(level).seen() {
            return Ok(false);
        }
        addr = frames.previous(addr)?;
    }
    Ok(addr == 0)
}
