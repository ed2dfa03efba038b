//! What the agent knows of its process.
//!
//! All that changes lies in one mapping that the kernel zeroes in a forked child, however it was forked: a
//! child finds the phase 0 at its first allocation, and starts afresh with a ring of its own.
//!
//! | phase | meaning | next |
//! | --- | --- | --- |
//! | 0 unarmed | just forked, or not started yet | 1 |
//! | 1 arming | one thread claims a ring; the others only pass on | 2, 3, 4 |
//! | 2 sampled | | 4 |
//! | 3 exact | | 2, 4 |
//! | 4 dormant | nobody listens, or there is no ring | none |
//!
//! A process can be recorded several times, one after the other. Each time has memory of its own, and a
//! thread that is late may still use that of an earlier one: it stays mapped, but holds nothing any more.
//!
//! Invariant: what is outside of the mapping is written before it is published, and not again.
#![allow(unsafe_code)] // what is published once

use core::sync::atomic::Ordering::{AcqRel, Acquire, Relaxed, Release};
use core::sync::atomic::{AtomicPtr, AtomicU32, AtomicU64};

use slackwater_capture::transport::{Mode, Ring, Session};

use crate::codes::{self, Codes};
use crate::live::{self, Live};
use crate::native::{self, Cache};
use crate::pieces::{self, Pieces};
use crate::python::{self, Python};
use crate::room::{self, Room};
use crate::table::{ENTRY_WORDS, Table};
use crate::{recorder, sys};

pub(crate) const UNARMED: u64 = 0;
const ARMING: u64 = 1;
pub(crate) const SAMPLED: u64 = 2;
pub(crate) const EXACT: u64 = 3;
pub(crate) const DORMANT: u64 = 4;

/// Different lines of code that are told apart.
const LOCATIONS: usize = 1 << 17;
/// Different stacks that are told apart.
const STACKS: usize = 1 << 20;

/// Words at the start: one each.
mod at {
    pub(super) const PHASE: usize = 0;
    pub(super) const RING: usize = 1;
    pub(super) const NEXT_LOCATION: usize = 2;
    pub(super) const NEXT_STACK: usize = 3;
    pub(super) const PYTHON: usize = 4;
    pub(super) const KEY: usize = 5;
    pub(super) const N_ROOMS: usize = 6;
    pub(super) const OLDER: usize = 7;
    pub(super) const LEFT_OUT: usize = 8;
    pub(super) const ARENAS: usize = 9;
    pub(super) const CODES: usize = 10;
}
const HEAD_WORDS: usize = 64;
const FILTER: usize = HEAD_WORDS;
const PLACES: usize = FILTER + live::FILTER_WORDS;
const LOCATION_TABLE: usize = PLACES + live::PLACES;
const STACK_TABLE: usize = LOCATION_TABLE + LOCATIONS * ENTRY_WORDS;
const PIECES: usize = STACK_TABLE + STACKS * ENTRY_WORDS;
const WATCHED: usize = PIECES + pieces::WORDS;
const ROOMS: usize = (WATCHED + codes::WORDS).next_multiple_of(sys::PAGE_WORDS);

/// Words that every recording has, in whole pages. Nearly all are never touched.
const WORDS: usize = ROOMS + room::ROOMS * room::ROOM_WORDS;
/// And those behind, where native stacks are read.
const NATIVE_WORDS: usize = room::ROOMS * native::ROOM_WORDS;

/// Memory of our own: one mapping.
#[derive(Clone, Copy)]
pub(crate) struct Own {
    words: &'static [AtomicU64; WORDS],
    native: &'static [AtomicU64],
}

impl Own {
    /// Words that it takes.
    pub(crate) const fn n_words(reads_native: bool) -> usize {
        WORDS + if reads_native { NATIVE_WORDS } else { 0 }
    }

    /// In these words; `None` when they are too few.
    pub(crate) fn new(words: &'static [AtomicU64]) -> Option<Self> {
        let (words, native) = words.split_first_chunk()?;
        Some(Self { words, native })
    }
}

/// The process, as hooks see it.
#[derive(Clone, Copy)]
pub(crate) struct Process {
    session: Session<'static>,
    words: &'static [AtomicU64; WORDS],
    native: &'static [AtomicU64],
    python: Result<Python, &'static str>,
    /// How often recording was begun before, in the upper bits of a key.
    serial: u32,
    stack_end: u64,
}

/// Bits of a key for the pid: Linux has at most 2^22.
const PID_BITS: u32 = 22;

/// The process; null before recording has begun.
static PROCESS: AtomicPtr<Process> = AtomicPtr::new(core::ptr::null_mut());
/// The first word of its mapping; null while nothing is recorded.
static PHASE: AtomicPtr<AtomicU64> = AtomicPtr::new(core::ptr::null_mut());
/// How often recording was begun.
static N_BEGUN: AtomicU32 = AtomicU32::new(0);

/// The phase; dormant while nothing is recorded.
#[inline]
pub(crate) fn phase() -> u64 {
    let phase = PHASE.load(Acquire);
    if phase.is_null() {
        return DORMANT;
    }
    // SAFETY: a word of a mapping that is never unmapped.
    unsafe { &*phase }.load(Relaxed)
}

/// The process; `None` while nothing is recorded.
#[inline]
pub(crate) fn get() -> Option<&'static Process> {
    if PHASE.load(Acquire).is_null() {
        return None;
    }
    // SAFETY: written before `PHASE`, into memory that is never unmapped, and not again.
    unsafe { PROCESS.load(Acquire).as_ref() }
}

/// Recording begins; whether there was memory for it.
pub(crate) fn start(
    session: Session<'static>,
    Own { words, native }: Own,
    python: Result<Python, &'static str>,
) -> bool {
    let serial = N_BEGUN.fetch_add(1, Relaxed);
    let stack_end = native::stack_end();
    let Some(process) = sys::kept(Process { session, words, native, python, serial, stack_end }) else {
        return false;
    };
    PROCESS.store(core::ptr::from_ref(process).cast_mut(), Release);
    PHASE.store((&raw const words[at::PHASE]).cast_mut(), Release);
    process.arm();
    true
}

/// Recording ends. Threads that are about to record something may do so in vain.
pub(crate) fn stop() {
    let Some(process) = get() else { return };
    process.become_dormant();
    PHASE.store(core::ptr::null_mut(), Release);
    // The words at the start stay: among them is the phase.
    sys::empty_private(&process.words[FILTER.next_multiple_of(sys::PAGE_WORDS)..]);
    sys::empty_private(process.native);
    sys::empty_shared(process.session.memory());
}

/// Whether somebody reads what is recorded.
pub(crate) fn is_listened_to() -> bool {
    get().is_some_and(|process| recorder::is_heard(&process.session))
}

impl Process {
    /// Claims a ring, once per process; the other threads pass on meanwhile.
    #[cold]
    pub(crate) fn arm(&self) {
        if self.words[at::PHASE].compare_exchange(UNARMED, ARMING, AcqRel, Relaxed).is_err() {
            return;
        }
        let pid = sys::pid();
        self.words[at::KEY].store(u64::from(self.serial << PID_BITS | pid), Relaxed);
        self.words[at::NEXT_LOCATION].store(1, Relaxed);
        self.words[at::NEXT_STACK].store(1, Relaxed);
        // After a fork this thread's words are still the parent's.
        let former = sys::thread_local().key.load(Relaxed) & ((1 << PID_BITS) - 1);
        let parent = if former == pid { 0 } else { former };
        let number = self.session.claim(pid, parent);
        let phase = match (number, self.session.settings().mode) {
            (None, _) => DORMANT,
            (Some(number), mode) => {
                self.words[at::RING].store(number as u64, Relaxed);
                match mode {
                    Mode::Sampled => SAMPLED,
                    Mode::Exact => {
                        if python::ends::are_heard() {
                            self.codes().hear();
                        }
                        EXACT
                    }
                }
            }
        };
        if phase != DORMANT {
            recorder::introduce(self);
        }
        self.words[at::PHASE].store(phase, Release);
    }

    pub(crate) fn session(&self) -> &Session<'static> {
        &self.session
    }

    /// Which of the session's rings is this process's.
    pub(crate) fn ring_number(&self) -> usize {
        self.words[at::RING].load(Relaxed) as usize
    }

    pub(crate) fn ring(&self) -> Option<Ring<'static>> {
        self.session.ring(self.ring_number())
    }

    /// The process that the words are of.
    pub(crate) fn pid(&self) -> u32 {
        self.key() & ((1 << PID_BITS) - 1)
    }

    /// Tells this recording of this process from others: of its parent, and earlier ones. (After 1024 of
    /// them a thread that was idle all the time cannot tell.)
    #[inline]
    pub(crate) fn key(&self) -> u32 {
        self.words[at::KEY].load(Relaxed) as u32
    }

    /// Goes on with samples, unless nothing is recorded any more; whether it does.
    pub(crate) fn degrade(&self) -> bool {
        self.codes().stop_hearing();
        self.words[at::PHASE].compare_exchange(EXACT, SAMPLED, AcqRel, Relaxed).is_ok()
    }

    /// Nothing is recorded any more.
    pub(crate) fn become_dormant(&self) {
        self.words[at::PHASE].store(DORMANT, Release);
    }

    pub(crate) fn live(&self) -> Live {
        Live::new(&self.words[FILTER..PLACES], &self.words[PLACES..LOCATION_TABLE])
    }

    pub(crate) fn locations(&self) -> Table {
        Table::new(&self.words[LOCATION_TABLE..STACK_TABLE])
    }

    pub(crate) fn stacks(&self) -> Table {
        Table::new(&self.words[STACK_TABLE..PIECES])
    }

    /// The mappings that were seen to be made.
    #[inline]
    pub(crate) fn pieces(&self) -> Pieces {
        Pieces::new(&self.words[PIECES..WATCHED])
    }

    /// Code objects whose end is heard.
    #[inline]
    pub(crate) fn codes(&self) -> Codes {
        Codes::new(&self.words[at::CODES], &self.words[WATCHED..ROOMS])
    }

    pub(crate) fn new_location(&self) -> u32 {
        self.words[at::NEXT_LOCATION].fetch_add(1, Relaxed) as u32
    }

    pub(crate) fn new_stack(&self) -> u32 {
        self.words[at::NEXT_STACK].fetch_add(1, Relaxed) as u32
    }

    /// The location that stands for native frames which cannot be told; 0 until it is made.
    pub(crate) fn left_out(&self) -> &AtomicU64 {
        &self.words[at::LEFT_OUT]
    }

    /// The location that stands for callers which were too many; 0 until it is made.
    pub(crate) fn older(&self) -> &AtomicU64 {
        &self.words[at::OLDER]
    }

    /// The location that stands for whoever fills an arena of Python's; 0 until it is made.
    pub(crate) fn arenas(&self) -> &AtomicU64 {
        &self.words[at::ARENAS]
    }

    /// Whether stacks are those of native code too.
    pub(crate) fn reads_native(&self) -> bool {
        self.session.settings().native_words != 0
    }

    /// Where the stack of the first thread begins; 0 if the loader does not say.
    pub(crate) fn stack_end(&self) -> u64 {
        self.stack_end
    }

    /// What a thread remembers of native code, beside its room of the same number.
    #[inline]
    pub(crate) fn native_room(&self, number: usize) -> Option<&'static Cache> {
        let rooms: &'static [[AtomicU64; native::ROOM_WORDS]] = self.native.as_chunks().0;
        rooms.get(number).map(Cache::new)
    }

    pub(crate) fn python(&self) -> Result<&Python, &'static str> {
        self.python.as_ref().map_err(|&why| why)
    }

    /// How far the check of Python's layout has come.
    pub(crate) fn python_state(&self) -> &AtomicU64 {
        &self.words[at::PYTHON]
    }

    /// Rooms given out so far.
    pub(crate) fn n_rooms(&self) -> &AtomicU64 {
        &self.words[at::N_ROOMS]
    }

    /// The room of this number; `None` when there are not so many.
    #[inline]
    pub(crate) fn room(&self, number: usize) -> Option<&'static Room> {
        let rooms: &'static [[AtomicU64; room::ROOM_WORDS]] = self.words[ROOMS..].as_chunks().0;
        rooms.get(number).map(Room::new)
    }
}
