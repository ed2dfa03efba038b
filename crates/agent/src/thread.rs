//! The calling thread: its words, and its room.
//!
//! Invariant: a thread has at most one room, and a room one thread.
#![allow(unsafe_code)] // the address of a room as the room

use core::ptr::null_mut;
use core::sync::atomic::Ordering::Relaxed;

use crate::process::Process;
use crate::room::{ROOMS, Room};
use crate::sys::{self, ThreadLocal};

/// This thread's words, filled in for this process.
#[inline]
pub(crate) fn this(process: &Process) -> &'static ThreadLocal {
    let thread = sys::thread_local();
    renew(process, thread);
    thread
}

/// Fills in a thread's words for this process, unless they are.
#[inline]
pub(crate) fn renew(process: &Process, thread: &ThreadLocal) {
    if thread.key.load(Relaxed) != process.key() {
        fill_in(process, thread);
    }
}

#[cold]
fn fill_in(process: &Process, thread: &ThreadLocal) {
    thread.tid.store(sys::tid(), Relaxed);
    thread.room.store(null_mut(), Relaxed);
    thread.random.store(0, Relaxed);
    thread.key.store(process.key(), Relaxed);
}

/// The room of a thread whose words are filled in; `None` when there are more threads than rooms.
#[inline]
pub(crate) fn room(process: &Process, thread: &ThreadLocal) -> Option<&'static Room> {
    // SAFETY: null, or the address of a room that is never unmapped.
    let room = unsafe { thread.room.load(Relaxed).as_ref() };
    if room.is_some() { room } else { claim_room(process, thread) }
}

#[cold]
fn claim_room(process: &Process, thread: &ThreadLocal) -> Option<&'static Room> {
    let number = find_room(process, thread.tid.load(Relaxed))?;
    let room = process.room(number)?;
    thread.room_number.store(number as u32, Relaxed);
    thread.room.store(core::ptr::from_ref(room).cast_mut(), Relaxed);
    Some(room)
}

/// A room of a thread that is gone, or a new one.
fn find_room(process: &Process, tid: u32) -> Option<usize> {
    let n_used = (process.n_rooms().load(Relaxed) as usize).min(ROOMS);
    let claim = |number: usize, from: u64| process.room(number).is_some_and(|room| room.claim(from, tid));
    let left = |&number: &usize| {
        let owner = process.room(number).map_or(0, |room| room.owner());
        (owner == u64::from(tid) || !sys::is_thread(owner as u32)) && claim(number, owner)
    };
    // Looking for one that is left costs a system call each: not for the first few threads.
    if n_used >= 8
        && let Some(number) = (0..n_used).find(left)
    {
        return Some(number);
    }
    loop {
        let number = process.n_rooms().fetch_add(1, Relaxed) as usize;
        if number >= ROOMS {
            process.n_rooms().store(ROOMS as u64, Relaxed);
            return None;
        }
        if claim(number, 0) {
            return Some(number);
        }
    }
}
