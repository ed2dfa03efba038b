//! The frames of the calling thread, read from CPython's own chain.
//!
//! A thread reads only its own frames, and CPython keeps them linked and alive while it runs: also inside
//! an allocation, also in generators, also after a greenlet has switched. So nothing changes under the
//! reader. The first walks of each process do not rely on that: they probe each address before they read
//! it, and require every frame's code to be a code object. One that is not ends the reading of stacks.
//!
//! Invariant: bounded by the room for keys; no call into Python.
#![allow(unsafe_code)] // reading the interpreter's frames

use core::sync::atomic::AtomicU64;
use core::sync::atomic::Ordering::Relaxed;

use slackwater_layout::cpython::{CurrentFrame, FrameLayout, Instruction};

use super::{Python, REFUSED, code};
use crate::process::Process;
use crate::recorder;
use crate::sys;
use crate::thread::Room;

/// Frames that are probed before they are believed, per process.
const PROBED_FRAMES: u64 = 1000;

/// Bits of a key for the place in the code, which is counted in instructions of two bytes.
const PLACE_BITS: u32 = 20;
/// No instruction of the code yet, or one that is too far.
pub(super) const NO_PLACE: u64 = (1 << PLACE_BITS) - 1;

/// What a walk found.
pub(crate) enum Frames {
    /// No Python frame.
    None,
    /// All of them: so many.
    All(usize),
    /// So many of the newest ones; there are more.
    Newest(usize),
}

/// A key: the address of a code object and the place in it.
pub(super) const fn key(code: u64, place: u64) -> u64 {
    (code >> 3) << PLACE_BITS | place
}

/// The code object and the place of a key.
pub(super) const fn parts(key: u64) -> (u64, u64) {
    (key >> PLACE_BITS << 3, key & NO_PLACE)
}

/// This thread's state, if it has one.
#[inline]
pub(crate) fn thread_state(process: &Process, python: &Python) -> Option<u64> {
    let state = process.python_state().load(Relaxed);
    if state == REFUSED {
        return None;
    }
    // SAFETY: `_PyRuntime` is static data of the interpreter, and much longer.
    let word = unsafe { sys::read_u64(python.runtime + python.layout.runtime_key) };
    let (is_made, key) = (word as u32, (word >> 32) as u32);
    if is_made == 0 {
        // Python is not initialised yet, or not any more.
        return None;
    }
    if is_made != 1 || key >= sys::THREAD_KEYS {
        recorder::refuse_stacks(process, "this CPython does not keep its threads where its release does");
        return None;
    }
    let thread_state = sys::thread_specific(key);
    if thread_state == 0 {
        return None;
    }
    if state < PROBED_FRAMES
        && sys::read_u64_carefully(thread_state + python.layout.thread_id) != Some(sys::thread_pointer())
    {
        // While a thread is started its state has no id yet.
        return None;
    }
    Some(thread_state)
}

/// Writes the key of each frame to `keys`, the newest one first.
pub(crate) fn walk(process: &Process, python: &Python, thread_state: u64, keys: &[AtomicU64]) -> Frames {
    let n_probed = process.python_state().load(Relaxed);
    let found = if n_probed < PROBED_FRAMES {
        let found = chain(&python.layout, thread_state, keys, sys::read_u64_carefully, |code| {
            sys::read_u64_carefully(code + 8) == Some(python.code_type)
        });
        let n_more = match found {
            Ok(Frames::All(depth) | Frames::Newest(depth)) => depth as u64,
            _ => 0,
        };
        process.python_state().fetch_add(n_more, Relaxed);
        found
    } else {
        // SAFETY: a thousand frames were where they should be; the chain is this thread's own.
        chain(&python.layout, thread_state, keys, |addr| Some(unsafe { sys::read_u64(addr) }), |_| true)
    };
    found.unwrap_or_else(|()| {
        recorder::refuse_stacks(process, "a frame of this CPython does not look as its release's do");
        Frames::None
    })
}

#[inline]
fn chain(
    layout: &FrameLayout,
    thread_state: u64,
    keys: &[AtomicU64],
    read: impl Fn(u64) -> Option<u64>,
    is_code: impl Fn(u64) -> bool,
) -> Result<Frames, ()> {
    let read = |addr: u64| read(addr).ok_or(());
    let mut frame = match layout.current {
        CurrentFrame::Direct(offset) => read(thread_state + offset)?,
        CurrentFrame::Through { record, frame } => match read(thread_state + record)? {
            0 => 0,
            record => read(record + frame)?,
        },
    };
    let mut depth = 0;
    // Frames without code are left out, so they need a bound of their own.
    for _ in 0..keys.len() * 2 {
        if frame == 0 {
            return Ok(if depth == 0 { Frames::None } else { Frames::All(depth) });
        }
        let without_code = match layout.frame_owner {
            Some(offset) => {
                let word = read(frame + (offset & !7))?;
                (word >> ((offset & 7) * 8)) as u8 == FrameLayout::OWNED_BY_C_STACK
            }
            None => false,
        };
        if !without_code {
            if depth == keys.len() {
                return Ok(Frames::Newest(depth));
            }
            let code = read(frame + layout.frame_code)?;
            if !is_code(code) {
                return Err(());
            }
            let place = match layout.instruction {
                Instruction::Index { offset, unit_bytes } => {
                    let word = read(frame + (offset & !7))?;
                    let index = (word >> ((offset & 7) * 8)) as i32;
                    u64::try_from(index).map_or(NO_PLACE, |index| index * u64::from(unit_bytes) / 2)
                }
                Instruction::Pointer { offset, code_start } => {
                    read(frame + offset)?.wrapping_sub(code + code_start) / 2
                }
            };
            keys[depth].store(key(code, place.min(NO_PLACE)), Relaxed);
            depth += 1;
        }
        frame = read(frame + layout.frame_previous)?;
    }
    Ok(Frames::Newest(depth))
}

/// The id of the line of code that a key means.
pub(crate) fn location(process: &Process, room: Room, key: u64) -> u32 {
    let Ok(python) = process.python() else { return 0 };
    let (code, place) = parts(key);
    // The same address may be another code object by now.
    let mark = code::mark(&python.layout, code);
    process.locations().id(key, mark, || {
        let id = process.new_location();
        code::define(process, python, room, id, code, place);
        id
    })
}
