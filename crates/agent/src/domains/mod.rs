//! Python's own allocators, which serve its domains `raw`, `mem` and `object`, with our functions in front.
//!
//! ```text
//! PyObject_Malloc ─▶ record ──────────────▶ ours ─▶ the function that stood there
//!                      └▶ record of what tracemalloc or the debug hooks stand in front of: then in that one
//! ```
//!
//! Of a small object malloc hears nothing, only of the arena, or of nothing at all where another allocator
//! brings pools of its own. So the four functions in the record that the interpreter calls through are
//! exchanged, word by word, by one atomic step each; the context stays. Ours call what stood there, with the
//! context that they are given: so any mixture of old and new words does what was done before, also in a
//! copy that somebody has taken meanwhile. Where others stand in front, the record that they have put aside
//! is changed, not the one in front: when they leave, they put it back with ours in it.
//!
//! Python sets the records anew when it starts (`PYTHONMALLOC`, `-X dev`) or starts again after its end
//! (since 3.12). That is noticed when it asks for its next arena: where the same functions stand as before,
//! ours are put in front of them again.
//!
//! Invariants: what ours call is written once, before the first of them is in a record, and is never one of
//! a tool's, so no call goes in circles. No hook calls a function of Python's; `PyMem_GetAllocator` alone is
//! called, by the constructor and by the thread that the tool has entered. Only records in the interpreter's
//! own data are written.

mod functions;
mod record;

pub(crate) use functions::{is_inside, is_taken_back};

use core::ffi::CStr;
use core::sync::atomic::AtomicU64;
use core::sync::atomic::Ordering::{Acquire, Relaxed, Release};

use slackwater_capture::transport::PythonAllocators;
use slackwater_capture::transport::late::Heard;

use crate::attach::{Home, definition};
use functions::{ORIGINALS, ours};
use record::{Data, Get, Record};

/// CPython's `PyMemAllocatorDomain`.
const DOMAINS: usize = 3;
/// Functions of a record.
const FUNCTIONS: usize = 4;

/// Exported by builds without the global lock only: they merge reference counts.
const FREE_THREADED: &CStr = c"_Py_MergeZeroLocalRefcount";
/// Exported by debug builds only: they check reference counts.
const DEBUG_BUILD: &CStr = c"_Py_NegativeRefcount";

/// Where the interpreter's data begins and ends; 0 until that is known.
static DATA: [AtomicU64; 2] = [const { AtomicU64::new(0) }; 2];
/// The record of each domain that the interpreter calls through; 0 for one that was never taken.
static IN_USE: [AtomicU64; DOMAINS] = [const { AtomicU64::new(0) }; DOMAINS];
/// What came of the last [`take`].
static HEARD: AtomicU64 = AtomicU64::new(Heard::Malloc as u64);

/// What came of the last [`take`].
pub(crate) fn heard() -> Heard {
    Heard::of(HEARD.load(Relaxed)).unwrap_or(Heard::Malloc)
}

/// Puts our functions in front of Python's allocators. Asks the loader: for the constructor, and for who
/// holds the lock under which the loader loads.
pub(crate) fn take(wanted: PythonAllocators) -> Heard {
    let heard = try_to_take(wanted).unwrap_or_else(|why| why);
    HEARD.store(heard as u64, Relaxed);
    heard
}

fn try_to_take(wanted: PythonAllocators) -> Result<Heard, Heard> {
    // Without Python there is nothing to hear of.
    let get = Get::find().ok_or(Heard::Malloc)?;
    let home = Home::of(get.address()).ok_or(Heard::NotFound)?;
    let data = Data::new(home.data.start, home.data.end);
    let mut records = [None; DOMAINS];
    for (domain, place) in records.iter_mut().enumerate() {
        let copy = get.copy(domain);
        let end = data.end_of(&copy).ok_or(Heard::Wrapped);
        let is_foreign = |end: &Record| !home.runs(theirs(domain, 0, end.function(0)));
        if wanted == PythonAllocators::Foreign && !end.as_ref().is_ok_and(|end| is_foreign(end)) {
            continue;
        }
        if definition(FREE_THREADED) != 0 {
            return Err(Heard::FreeThreaded);
        }
        if definition(DEBUG_BUILD) != 0 {
            return Err(Heard::DebugBuild);
        }
        remember(domain, end?)?;
        let in_use = in_use(domain, &get, data).ok_or(Heard::NotFound)?;
        IN_USE[domain].store(in_use.address(), Relaxed);
        *place = Some(in_use);
    }
    DATA[0].store(home.data.start, Relaxed);
    DATA[1].store(home.data.end, Release);
    let mut heard = Heard::Malloc;
    for (domain, in_use) in records.into_iter().enumerate() {
        let Some(in_use) = in_use else { continue };
        let Some(end) = data.end_of(in_use) else { return Err(Heard::Wrapped) };
        put_in_front(domain, end);
        heard = Heard::Each;
    }
    Ok(heard)
}

/// What ours call from now on, and for good; refused where they call something else already.
fn remember(domain: usize, end: &Record) -> Result<(), Heard> {
    for (function, original) in ORIGINALS[domain].iter().enumerate() {
        let found = theirs(domain, function, end.function(function));
        if let Err(known) = original.compare_exchange(0, found, Release, Relaxed)
            && known != found
        {
            return Err(Heard::Wrapped);
        }
    }
    Ok(())
}

/// The function that stands there, or that ours stands in front of.
fn theirs(domain: usize, function: usize, found: u64) -> u64 {
    if found == ours(domain, function) { original(domain, function).unwrap_or(0) } else { found }
}

/// The record that the interpreter calls through.
fn in_use(domain: usize, get: &Get, data: Data) -> Option<&'static Record> {
    match IN_USE[domain].load(Relaxed) {
        0 => record::in_use(domain, get, data, ours(domain, record::CALLOC)),
        known => data.record_at(known),
    }
}

/// Takes our functions out again: from all of the interpreter's data, also from copies that are put aside and
/// not in use. In a copy elsewhere they may stay, and do nothing.
pub(crate) fn give_back() {
    HEARD.store(Heard::Malloc as u64, Relaxed);
    if IN_USE.iter().all(|in_use| in_use.load(Relaxed) == 0) {
        return;
    }
    let all = (0..DOMAINS).flat_map(|domain| (0..FUNCTIONS).map(move |function| (domain, function)));
    let addresses = || all.clone().map(|(domain, function)| ours(domain, function));
    let (first, last) = (addresses().min().unwrap_or(0), addresses().max().unwrap_or(0));
    data().replace_each(first..=last, |word| {
        let (domain, function) = all.clone().find(|&(domain, function)| ours(domain, function) == word)?;
        original(domain, function)
    });
}

/// Puts ours in front again where Python has set its records anew; whether it had. Any thread, at any time.
#[cold]
fn take_again() -> bool {
    let mut is_any = false;
    for (domain, in_use) in IN_USE.iter().enumerate() {
        let Some(in_use) = data().record_at(in_use.load(Relaxed)) else { continue };
        data().each_from(in_use, |record| is_any |= put_in_front(domain, record));
    }
    is_any
}

/// Whether pymalloc asks for arenas of this size: ARENA_SIZE in Objects/obmalloc.c until 3.9, and since.
pub(crate) const fn is_arena(n_bytes: usize) -> bool {
    matches!(n_bytes, 0x4_0000 | 0x10_0000)
}

/// Whether an arena that is mapped outside of our functions is the sign that those were taken out. They are back
/// then.
pub(crate) fn is_stray() -> bool {
    if heard() != Heard::Each {
        return false;
    }
    take_again()
}

/// Puts ours in front where what they call stands in a record; whether that was anywhere.
fn put_in_front(domain: usize, record: &Record) -> bool {
    let mut is_any = false;
    for function in 0..FUNCTIONS {
        let Some(original) = original(domain, function) else { continue };
        is_any |= record.exchange(function, original, ours(domain, function));
    }
    is_any
}

/// What one of ours calls; `None` before that is known.
fn original(domain: usize, function: usize) -> Option<u64> {
    let original = ORIGINALS.get(domain)?.get(function)?.load(Relaxed);
    (original != 0).then_some(original)
}

/// The interpreter's data; empty before that is known.
fn data() -> Data {
    Data::new(DATA[0].load(Acquire), DATA[1].load(Acquire))
}
