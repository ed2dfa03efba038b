//! The frames of the calling thread, one by one, read from CPython's own chain.
//!
//! A thread reads only its own frames, and CPython keeps them linked and alive while it runs: also inside
//! an allocation, also in generators, also after a greenlet has switched. So nothing changes under the
//! reader. The first walks of each process do not rely on that: they probe each address before they read
//! it, and require every frame's code to be a code object. One that is not ends the reading of stacks.
//!
//! Invariant: no call into Python.
#![allow(unsafe_code)] // reading the interpreter's frames

use core::sync::atomic::AtomicU64;
use core::sync::atomic::Ordering::Relaxed;

use slackwater_layout::cpython::{CurrentFrame, FrameLayout, Instruction};

use super::code::{self, Mark};
use super::{Python, REFUSED, ThreadState};
use crate::process::Process;
use crate::recorder;
use crate::sys;

/// Frames that are probed before they are believed, per process.
pub(super) const PROBED_FRAMES: u64 = 1000;

/// Bits of a key for the place in the code, which is counted in instructions of two bytes.
pub(crate) const PLACE_BITS: u32 = 20;
/// No instruction of the code yet, or one that is too far.
pub(super) const NO_PLACE: u64 = (1 << PLACE_BITS) - 1;
/// In the lower bits of a key of native code: the upper ones are its location.
pub(crate) const NATIVE_PLACE: u64 = NO_PLACE - 1;
/// The key of a frame without code, which stacks leave out.
pub(crate) const NO_CODE: u64 = 0;

/// A key: the address of a code object and the place in it.
pub(super) const fn key(code: u64, place: u64) -> u64 {
    (code >> 3) << PLACE_BITS | place
}

/// The code object and the place of a key.
pub(super) const fn parts(key: u64) -> (u64, u64) {
    (key >> PLACE_BITS << 3, key & NO_PLACE)
}

/// Something that was read is not what it should be: the layout does not hold.
#[derive(PartialEq, Eq)]
pub(super) struct Unlike;

/// Reads the interpreter's memory.
pub(super) trait Reader: Copy {
    /// Eight bytes; `addr` is a multiple of 8.
    fn read(self, addr: u64) -> Result<u64, Unlike>;

    /// Whether a frame's code is a code object.
    fn is_code(self, code: u64) -> bool;
}

/// Believes that the chain is where it should be.
#[derive(Clone, Copy)]
pub(super) struct Trusting;

impl Reader for Trusting {
    #[inline(always)]
    fn read(self, addr: u64) -> Result<u64, Unlike> {
        // SAFETY: a thousand frames were where they should be; the chain is this thread's own.
        Ok(unsafe { sys::read_u64(addr) })
    }

    #[inline(always)]
    fn is_code(self, _: u64) -> bool {
        true
    }
}

/// Believes nothing.
#[derive(Clone, Copy)]
pub(super) struct Probing {
    /// Address of the type of code objects.
    pub(super) code_type: u64,
}

impl Reader for Probing {
    fn read(self, addr: u64) -> Result<u64, Unlike> {
        sys::read_u64_carefully(addr).ok_or(Unlike)
    }

    fn is_code(self, code: u64) -> bool {
        self.read(code + 8).is_ok_and(|its_type| its_type == self.code_type)
    }
}

/// What a frame says.
pub(super) struct Frame {
    /// Where in which code it is.
    pub(super) key: u64,
    /// Which code that is.
    pub(super) mark: u32,
    /// The caller's frame, 0 if there is none.
    pub(super) previous: u64,
}

/// Reads frames one after the other; neighbours often run the same code.
pub(super) struct Frames<'l, R> {
    pub(super) layout: &'l FrameLayout,
    pub(super) reader: R,
    marked: (u64, u32),
}

impl<'l, R: Reader> Frames<'l, R> {
    pub(super) fn new(layout: &'l FrameLayout, reader: R) -> Self {
        Self { layout, reader, marked: (0, 0) }
    }

    /// The newest frame, 0 if there is none.
    #[inline]
    pub(super) fn newest(&self, thread_state: u64) -> Result<u64, Unlike> {
        match self.layout.current {
            CurrentFrame::Direct(offset) => self.reader.read(thread_state + offset),
            CurrentFrame::Through { record, frame } => match self.reader.read(thread_state + record)? {
                0 => Ok(0),
                record => self.reader.read(record + frame),
            },
        }
    }

    /// All that a frame says.
    #[inline(always)]
    pub(super) fn read(&mut self, frame: u64) -> Result<Frame, Unlike> {
        let previous = self.reader.read(frame + self.layout.frame_previous)?;
        if let Some(offset) = self.layout.frame_owner {
            let word = self.reader.read(frame + (offset & !7))?;
            if (word >> ((offset & 7) * 8)) as u8 >= FrameLayout::WITHOUT_CODE {
                return Ok(Frame { key: NO_CODE, mark: 0, previous });
            }
        }
        let code = self.reader.read(frame + self.layout.frame_code)? & !FrameLayout::TAGS;
        let place = match self.layout.instruction {
            Instruction::Index { offset, unit_bytes } => {
                let word = self.reader.read(frame + (offset & !7))?;
                let index = (word >> ((offset & 7) * 8)) as i32;
                u64::try_from(index).map_or(NO_PLACE, |index| index * u64::from(unit_bytes) / 2)
            }
            Instruction::Pointer { offset, code_start } => {
                self.reader.read(frame + offset)?.wrapping_sub(code + code_start) / 2
            }
        };
        Ok(Frame { key: key(code, place.min(NO_PLACE)), mark: self.mark(code)?, previous })
    }

    #[inline(always)]
    fn mark(&mut self, code: u64) -> Result<u32, Unlike> {
        if self.marked.0 != code {
            if !self.reader.is_code(code) {
                return Err(Unlike);
            }
            let mark = Mark { layout: self.layout, reader: self.reader };
            self.marked = (code, mark.of(code)?);
        }
        Ok(self.marked.1)
    }
}

/// This thread's state, if it has one.
#[inline]
pub(crate) fn thread_state(process: &Process, python: &Python) -> Option<u64> {
    let state = process.python_state().load(Relaxed);
    if state == REFUSED {
        return None;
    }
    let thread_state = match python.state {
        ThreadState::Key(place) => {
            // SAFETY: within `_PyRuntime`, which is static data of the interpreter.
            let word = unsafe { sys::read_u64(place) };
            let (is_made, key) = (word as u32, (word >> 32) as u32);
            if is_made == 0 {
                // Python is not initialised yet, or not any more.
                return None;
            }
            if is_made != 1 || key >= sys::THREAD_KEYS {
                let why = "this CPython does not keep its threads where its release does";
                recorder::refuse_stacks(process, why);
                return None;
            }
            sys::thread_specific(key)
        }
        // SAFETY: the interpreter's own code reads its variable there; every thread has it from its start.
        ThreadState::Variable(offset) => unsafe { sys::read_u64(sys::thread_pointer().wrapping_add(offset)) },
    };
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

/// The id of the line of code that a key means.
pub(crate) fn location(process: &Process, text: &'static [AtomicU64], key: u64, mark: u32) -> u32 {
    let Ok(python) = process.python() else { return 0 };
    let (code, place) = parts(key);
    process.locations().id(key, mark, || {
        let id = process.new_location();
        code::define(process, python, text, id, code, place);
        id
    })
}
