//! The end of each code object, heard where CPython deallocates it.
//!
//! ```text
//! _Py_Dealloc ─▶ tp_dealloc of PyCode_Type ─▶ ours ─▶ the function that stood there
//! ```
//!
//! The last reference to a code object has gone when its type's function is called, and its memory is not free
//! yet. Code has no subtypes, no free list, and no other way to its end but that of the arena it lies in: an
//! interpreter with arenas of its own may unmap them as they are (`hooks::unmapping`). (Objects/codeobject.c
//! from v3.8 to v3.15.)
//!
//! Invariants: one word of the interpreter's own data is exchanged, by one atomic step, and back again. What
//! ours calls is written once, before ours is called. Ours calls nothing else of Python's.
#![allow(unsafe_code)] // the C interface of CPython's types

use core::ffi::c_void;
use core::sync::atomic::AtomicU64;
use core::sync::atomic::Ordering::{AcqRel, Acquire, Relaxed, Release};

use crate::attach::Home;
use crate::process;

/// `tp_dealloc` of a `PyTypeObject`, in CPython 3.8 to 3.15 (Include/cpython/object.h).
const DEALLOC: u64 = 48;

/// The word of `PyCode_Type`; 0 before ours was put there.
static PLACE: AtomicU64 = AtomicU64::new(0);
/// What stood there.
static ORIGINAL: AtomicU64 = AtomicU64::new(0);

type Dealloc = unsafe extern "C" fn(*mut c_void);

fn ours() -> u64 {
    (deallocate as *const ()).addr() as u64
}

/// The word of `PyCode_Type`, once it is known.
#[inline]
fn word() -> Option<&'static AtomicU64> {
    let place = PLACE.load(Acquire);
    // SAFETY: a word of the interpreter's data, which nobody unmaps; aligned (`take`).
    (place != 0).then(|| unsafe { &*(place as *const AtomicU64) })
}

/// Puts ours in front, where the type and its function are of the same object. Asks the loader.
pub(crate) fn take(code_type: u64) {
    if word().is_none() {
        let place = code_type + DEALLOC;
        let Some(original) = crate::sys::read_u64_carefully(place) else { return };
        let Some(home) = Home::of(original) else { return };
        if !(place.is_multiple_of(8) && home.data.contains(&place) && home.data.contains(&(place + 7))) {
            return;
        }
        ORIGINAL.store(original, Relaxed);
        PLACE.store(place, Release);
    }
    exchange(ORIGINAL.load(Relaxed), ours());
}

/// Takes ours out again, unless somebody else stands in front of it: then it stays, and only passes on.
pub(crate) fn give_back() {
    exchange(ours(), ORIGINAL.load(Relaxed));
}

fn exchange(from: u64, to: u64) {
    if let Some(word) = word() {
        let _ = word.compare_exchange(from, to, AcqRel, Relaxed);
    }
}

/// Whether each is heard from here on.
#[inline]
pub(crate) fn are_heard() -> bool {
    word().is_some_and(|word| word.load(Acquire) == ours())
}

/// # Safety
/// As a `destructor` of CPython's.
unsafe extern "C" fn deallocate(code: *mut c_void) {
    if let Some(process) = process::get() {
        process.codes().freeing(code as u64);
    }
    let original = ORIGINAL.load(Relaxed) as usize;
    // SAFETY: it stood in the type before ours did, and has this signature.
    let original = unsafe { core::mem::transmute::<usize, Dealloc>(original) };
    // SAFETY: the caller's.
    unsafe { original(code) }
}
