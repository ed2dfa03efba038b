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

use slackwater_layout::cpython::{CurrentFrame, FrameLayout, Instruction, LoopEntry};

use super::code::{self, Mark};
use super::{Python, REFUSED, ThreadState};
use crate::process::Process;
use crate::recorder;
use crate::room::{Level, Seen};
use crate::sys;

/// Frames that are probed before they are believed, per process.
pub(super) const PROBED_FRAMES: u64 = 1000;

/// Bits of a key for the place in the code, which is counted in instructions of two bytes.
pub(crate) const PLACE_BITS: u32 = 20;
/// No instruction of the code yet, or one that is too far.
pub(super) const NO_PLACE: u64 = (1 << PLACE_BITS) - 1;
/// In the lower bits of a key of native code: the upper ones are its location.
pub(crate) const NATIVE_PLACE: u64 = NO_PLACE - 1;
/// In an instruction's address, which is even: the flag of 3.11 that the loop was called for the frame.
const BEGINS_CALL: u64 = 1;
/// The code of a frame without code, which stacks leave out.
pub(crate) const NO_CODE: u64 = 0;

/// The address of a code object and the place in it, of what a frame says.
#[inline]
pub(super) fn key(layout: &FrameLayout, code: u64, instruction: u64) -> u64 {
    let place = match layout.instruction {
        Instruction::Index { unit_bytes, .. } => {
            let index = u64::try_from(instruction as i32);
            index.map_or(NO_PLACE, |index| index * u64::from(unit_bytes) / 2)
        }
        Instruction::Pointer { code_start, .. } => instruction.wrapping_sub(code + code_start) / 2,
    };
    (code >> 3) << PLACE_BITS | place.min(NO_PLACE)
}

/// The code object and the place of a key.
pub(super) const fn parts(key: u64) -> (u64, u64) {
    (key >> PLACE_BITS << 3, key & NO_PLACE)
}

/// Something that was read is not what it should be: the layout does not hold.
#[derive(PartialEq, Eq)]
pub(crate) struct Unlike;

/// Reads the interpreter's memory.
pub(crate) trait Reader: Copy {
    /// Whether it finds out at all what is not as it should be.
    const PROBES: bool;

    /// Eight bytes; `addr` is a multiple of 8.
    fn read(self, addr: u64) -> Result<u64, Unlike>;

    /// One byte.
    #[inline(always)]
    fn read_byte(self, addr: u64) -> Result<u8, Unlike> {
        Ok((self.read(addr & !7)? >> ((addr & 7) * 8)) as u8)
    }

    /// Whether a frame's code is a code object.
    fn is_code(self, code: u64) -> bool;
}

/// Believes that the chain is where it should be.
#[derive(Clone, Copy)]
pub(crate) struct Trusting;

impl Reader for Trusting {
    const PROBES: bool = false;

    #[inline(always)]
    fn read(self, addr: u64) -> Result<u64, Unlike> {
        // SAFETY: a thousand frames were where they should be; the chain is this thread's own.
        Ok(unsafe { sys::read_u64(addr) })
    }

    #[inline(always)]
    fn read_byte(self, addr: u64) -> Result<u8, Unlike> {
        // SAFETY: as above.
        Ok(unsafe { sys::read_u8(addr) })
    }

    #[inline(always)]
    fn is_code(self, _: u64) -> bool {
        true
    }
}

/// Believes nothing.
#[derive(Clone, Copy)]
pub(crate) struct Probing {
    /// Address of the type of code objects.
    pub(super) code_type: u64,
}

impl Reader for Probing {
    const PROBES: bool = true;

    fn read(self, addr: u64) -> Result<u64, Unlike> {
        sys::read_u64_carefully(addr).ok_or(Unlike)
    }

    fn is_code(self, code: u64) -> bool {
        self.read(code + 8).is_ok_and(|its_type| its_type == self.code_type)
    }
}

/// How code is known to be the one that lay at its address before.
#[derive(Clone, Copy)]
pub(super) enum SameCode {
    /// It has the same mark.
    ByMark,
    /// None that is remembered has been freed ([`crate::codes`]).
    ByAddress,
}

/// Reads frames one after the other; neighbours often run the same code.
pub(super) struct Frames<'l, R> {
    pub(super) layout: &'l FrameLayout,
    pub(super) reader: R,
    words: &'l Words,
    same_code: SameCode,
    marked: (u64, u32),
}

/// Where a frame has what is read of it.
#[derive(Clone, Copy)]
pub(crate) struct Words {
    instruction: u64,
    is_index: bool,
    /// Of the flag of 3.11.
    entry: Option<u64>,
    code: u64,
    previous: u64,
}

impl Words {
    pub(super) const fn new(layout: &FrameLayout) -> Self {
        let (instruction, is_index) = match layout.instruction {
            Instruction::Index { offset, .. } => (offset, true),
            Instruction::Pointer { offset, .. } => (offset, false),
        };
        let entry = match layout.loop_entry {
            LoopEntry::Flag(offset) => Some(offset),
            LoopEntry::EveryFrame | LoopEntry::FrameWithoutCode => None,
        };
        let (code, previous) = (layout.frame_code, layout.frame_previous);
        Self { instruction, is_index, entry, code, previous }
    }

    /// How many of these levels, of which the last one is at `frame`, say what they said, and the frame
    /// that comes next.
    #[inline(always)]
    fn unchanged<R: Reader>(
        self,
        reader: R,
        mut frame: u64,
        levels: &[Level],
        mut is_marked: impl FnMut(u64, u32) -> bool,
    ) -> Result<(usize, u64), Unlike> {
        let mut n_unchanged = 0;
        for level in levels.iter().rev() {
            let (here, code) = (level.frame(), level.code());
            if here != frame {
                break;
            }
            // The same address, but at hand: so reads need not wait for the one that has found it.
            let here = sys::opaque(here);
            let is_same = self.instruction(reader, here)? == level.instruction()
                && self.code(reader, here)? == code
                && is_marked(code, level.mark());
            if !is_same {
                break;
            }
            frame = self.previous(reader, here)?;
            n_unchanged += 1;
        }
        Ok((n_unchanged, frame))
    }

    /// As [`Self::unchanged`], where all code that is remembered is still there: so an address in code says
    /// which code it is. (And no frame with code is in the instructions of those without.) Apart from all else,
    /// for the sake of deep recursion.
    #[inline(never)]
    fn unchanged_codes<const HAS_INDEX: bool, const HAS_FLAG: bool>(
        &self,
        mut frame: u64,
        levels: &[Level],
    ) -> (usize, u64) {
        let words = Self { is_index: HAS_INDEX, entry: if HAS_FLAG { self.entry } else { None }, ..*self };
        let mut n_unchanged = 0;
        for level in levels.iter().rev() {
            let here = level.frame();
            if here != frame {
                break;
            }
            let here = sys::opaque(here);
            let read = |word: Result<u64, Unlike>| word.unwrap_or(0);
            if read(words.instruction(Trusting, here)) != level.instruction()
                || HAS_INDEX && read(words.code(Trusting, here)) != level.code()
            {
                break;
            }
            frame = read(words.previous(Trusting, here));
            n_unchanged += 1;
        }
        (n_unchanged, frame)
    }

    /// Where in its code a frame is, as it says so itself: [`Seen::instruction`].
    #[inline(always)]
    fn instruction(self, reader: impl Reader, frame: u64) -> Result<u64, Unlike> {
        let word = reader.read(frame + self.instruction)?;
        Ok(match self.entry {
            // The lower half of a word.
            _ if self.is_index => word & u64::from(u32::MAX),
            Some(offset) => word | u64::from(reader.read_byte(frame + offset)?) & BEGINS_CALL,
            None => word,
        })
    }

    /// The code of a frame that has code.
    #[inline(always)]
    fn code(self, reader: impl Reader, frame: u64) -> Result<u64, Unlike> {
        Ok(reader.read(frame + self.code)? & !FrameLayout::TAGS)
    }

    /// The caller's frame, 0 if there is none.
    #[inline(always)]
    fn previous(self, reader: impl Reader, frame: u64) -> Result<u64, Unlike> {
        reader.read(frame + self.previous)
    }
}

impl<'l, R: Reader> Frames<'l, R> {
    #[inline]
    pub(super) fn new(python: &'l Python, reader: R) -> Self {
        let Python { layout, words, .. } = python;
        Self { layout, reader, words, same_code: SameCode::ByMark, marked: (0, 0) }
    }

    /// The same, where it is known whether the code that is remembered is still there.
    #[inline]
    pub(super) fn with(self, same_code: SameCode) -> Self {
        Self { same_code, ..self }
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

    /// All that a frame says of itself.
    #[inline(always)]
    pub(super) fn read(&mut self, frame: u64) -> Result<Seen, Unlike> {
        let instruction = self.words.instruction(self.reader, frame)?;
        if let Some(offset) = self.layout.frame_owner
            && self.reader.read_byte(frame + offset)? >= FrameLayout::WITHOUT_CODE
        {
            return Ok(Seen { frame, instruction, code: NO_CODE, mark: 0 });
        }
        let code = self.words.code(self.reader, frame)?;
        Ok(Seen { frame, instruction, code, mark: self.mark(code)? })
    }

    /// The caller's frame, 0 if there is none.
    #[inline(always)]
    pub(super) fn previous(&self, frame: u64) -> Result<u64, Unlike> {
        self.words.previous(self.reader, frame)
    }

    /// The next frame may run the code of this level, whose mark need not be read again where it is there still.
    #[inline(always)]
    pub(super) fn expect(&mut self, level: &Level) {
        if let SameCode::ByAddress = self.same_code {
            self.marked = (level.code(), level.mark());
        }
    }

    /// As [`Words::unchanged`].
    #[inline(always)]
    pub(super) fn unchanged(&mut self, frame: u64, levels: &[Level]) -> Result<(usize, u64), Unlike> {
        let (words, reader) = (self.words, self.reader);
        if let SameCode::ByAddress = self.same_code {
            return Ok(match words.entry {
                _ if words.is_index => words.unchanged_codes::<true, false>(frame, levels),
                None => words.unchanged_codes::<false, false>(frame, levels),
                Some(_) => words.unchanged_codes::<false, true>(frame, levels),
            });
        }
        if let Some(offset) = self.layout.code_version {
            let (offset, shift) = (offset & !7, (offset & 7) as u32 * 8);
            return words.unchanged(reader, frame, levels, |code, mark| {
                let version = if code == NO_CODE { Err(Unlike) } else { reader.read(code + offset) };
                version.is_ok_and(|word| (word >> shift) as u32 == mark)
            });
        }
        let mut marked = self.marked;
        let unchanged = words.unchanged(reader, frame, levels, |code, mark| {
            if code != marked.0 {
                marked = self.newly_marked(code);
            }
            (code, mark) == marked
        });
        self.marked = marked;
        unchanged
    }

    /// Kept out of the loop, which is compact for the sake of deep recursion.
    #[cold]
    fn newly_marked(&self, code: u64) -> (u64, u32) {
        let mark = Mark { layout: self.layout, reader: self.reader };
        let mark = if code == NO_CODE { None } else { mark.of(code).ok() };
        mark.map_or((NO_CODE, 0), |mark| (code, mark))
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

/// Whether the interpreter's loop was called for a frame: until 3.10 for each; in 3.11 a frame says so; since
/// 3.12 a frame without code, on the C stack, stands below those of one call
/// (Include/internal/pycore_frame.h).
#[inline]
pub(crate) fn begins_call(layout: &FrameLayout, seen: &Seen) -> bool {
    match layout.loop_entry {
        LoopEntry::EveryFrame => true,
        LoopEntry::Flag(_) => seen.instruction & BEGINS_CALL != 0,
        LoopEntry::FrameWithoutCode => seen.code == NO_CODE,
    }
}

/// This thread's state, if it has one.
#[inline(always)]
pub(crate) fn thread_state(process: &Process, python: &Python) -> Option<u64> {
    let n_probed = process.python_state().load(Relaxed);
    if n_probed == REFUSED {
        return None;
    }
    let thread_state = match python.state {
        ThreadState::Key(place) => {
            // SAFETY: within `_PyRuntime`, which is static data of the interpreter.
            let word = unsafe { sys::read_u64(place) };
            let (is_made, key) = (word as u32, (word >> 32) as u32);
            if is_made != 1 || key >= sys::THREAD_KEYS {
                no_key(process, is_made);
                return None;
            }
            sys::thread_specific(key)
        }
        // SAFETY: the interpreter's own code reads its variable there; every thread has it from its start.
        ThreadState::Variable(offset) => unsafe { sys::read_u64(sys::thread_pointer().wrapping_add(offset)) },
    };
    let is_known =
        thread_state != 0 && (n_probed >= PROBED_FRAMES || is_of_this_thread(python, thread_state));
    is_known.then_some(thread_state)
}

#[cold]
fn no_key(process: &Process, is_made: u32) {
    // 0: Python is not initialised yet, or not any more.
    if is_made != 0 {
        recorder::refuse_stacks(process, "this CPython does not keep its threads where its release does");
    }
}

/// While a thread is started its state has no id yet.
#[cold]
fn is_of_this_thread(python: &Python, thread_state: u64) -> bool {
    sys::read_u64_carefully(thread_state + python.layout.thread_id) == Some(sys::thread_pointer())
}

/// The id of the line of code where a frame is.
pub(crate) fn location(process: &Process, text: &'static [AtomicU64], seen: &Seen) -> u32 {
    let Ok(python) = process.python() else { return 0 };
    location_of(process, text, key(&python.layout, seen.code, seen.instruction), seen.mark)
}

/// The id of the line of code that a key means.
pub(crate) fn location_of(process: &Process, text: &'static [AtomicU64], key: u64, mark: u32) -> u32 {
    let Ok(python) = process.python() else { return 0 };
    let (code, place) = parts(key);
    process.locations().id(key, mark, || {
        let id = process.new_location();
        code::define(process, python, text, id, code, place);
        id
    })
}
