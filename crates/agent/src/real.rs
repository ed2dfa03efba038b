//! The malloc family behind ours.
//!
//! Asking the loader for it may itself allocate; those few blocks come from a small store that is never
//! given back.
//!
//! Invariant: a block of the store never reaches the real `free` or `realloc`.
#![allow(unsafe_code)] // calling what the loader names

use core::cell::UnsafeCell;
use core::ffi::{CStr, c_int, c_void};
use core::ptr::null_mut;
use core::sync::atomic::Ordering::{Acquire, Relaxed, Release};
use core::sync::atomic::{AtomicUsize, fence};

#[cfg(not(test))]
use crate::attach::definition;
use crate::sys;
#[cfg(test)]
use crate::sys::next_symbol as definition;

type Malloc = unsafe extern "C" fn(usize) -> *mut c_void;
type Two = unsafe extern "C" fn(usize, usize) -> *mut c_void;
type Realloc = unsafe extern "C" fn(*mut c_void, usize) -> *mut c_void;
type Free = unsafe extern "C" fn(*mut c_void);
type PosixMemalign = unsafe extern "C" fn(*mut *mut c_void, usize, usize) -> c_int;
type UsableSize = unsafe extern "C" fn(*mut c_void) -> usize;

/// Functions that we stand in front of.
#[derive(Clone, Copy)]
enum Function {
    Malloc,
    Calloc,
    Realloc,
    Free,
    PosixMemalign,
    AlignedAlloc,
    Memalign,
    Valloc,
    Pvalloc,
    UsableSize,
}

const NAMES: [&CStr; 10] = [
    c"malloc",
    c"calloc",
    c"realloc",
    c"free",
    c"posix_memalign",
    c"aligned_alloc",
    c"memalign",
    c"valloc",
    c"pvalloc",
    c"malloc_usable_size",
];

static ADDRESSES: [AtomicUsize; NAMES.len()] = [const { AtomicUsize::new(0) }; NAMES.len()];

const UNKNOWN: usize = 0;
const ASKING: usize = 1;
const KNOWN: usize = 2;
static STATE: AtomicUsize = AtomicUsize::new(UNKNOWN);

/// Asks for all of them. The first caller is the loader's own thread, before there is another, or that of
/// the tool that loads the agent.
#[cold]
pub(crate) fn find() {
    if STATE.compare_exchange(UNKNOWN, ASKING, Acquire, Relaxed).is_ok() {
        for (place, name) in ADDRESSES.iter().zip(NAMES) {
            // The next one behind the hooks; where there are none, the first one.
            place.store(if is_preloaded() { sys::next_symbol(name) } else { definition(name) }, Relaxed);
        }
        fence(Release);
        STATE.store(KNOWN, Release);
    }
}

/// Whether the program's calls come here by the loader's own rules. Otherwise the agent was loaded late, and
/// what is next to it is not what the program calls.
#[cfg(not(test))]
pub(crate) fn is_preloaded() -> bool {
    definition(c"malloc") == crate::hooks::malloc as *const () as usize
}

/// The test's own process keeps its malloc.
#[cfg(test)]
pub(crate) fn is_preloaded() -> bool {
    true
}

/// Where the real malloc lies.
#[cfg(not(test))]
pub(crate) fn malloc_address() -> u64 {
    address(Function::Malloc) as u64
}

/// The address of a function; 0 while the loader is being asked.
#[inline]
fn address(function: Function) -> usize {
    let known = ADDRESSES.get(function as usize).map_or(0, |known| known.load(Relaxed));
    if known != 0 {
        return known;
    }
    find();
    ADDRESSES.get(function as usize).map_or(0, |known| known.load(Relaxed))
}

const STORE_BYTES: usize = 32 << 10;

#[repr(align(64))]
struct Store(UnsafeCell<[u8; STORE_BYTES]>);

// SAFETY: every byte is handed out once, by an atomic counter.
unsafe impl Sync for Store {}

static STORE: Store = Store(UnsafeCell::new([0; STORE_BYTES]));
static STORE_USED: AtomicUsize = AtomicUsize::new(0);

/// A zeroed block of the store.
#[cold]
fn from_store(alignment: usize, size: usize) -> *mut c_void {
    let alignment = alignment.clamp(16, 64);
    let Some(room) =
        size.checked_add(alignment - 1).map(|room| room & !15).filter(|&room| room < STORE_BYTES)
    else {
        return null_mut();
    };
    let start = STORE_USED.fetch_add(room + 16, Relaxed);
    if start + room + 16 > STORE_BYTES {
        return null_mut();
    }
    let first = STORE.0.get() as usize;
    ((first + start).next_multiple_of(alignment)) as *mut c_void
}

/// Bytes between a block of the store and the store's end; `None` for other blocks.
#[inline]
fn store_bytes(block: *mut c_void) -> Option<usize> {
    let offset = (block as usize).wrapping_sub(STORE.0.get() as usize);
    (offset < STORE_BYTES).then(|| STORE_BYTES - offset)
}

/// The function at an address, which is what the loader says that its name means.
macro_rules! function {
    ($function:expr, $type:ty) => {
        match address($function) {
            0 => None,
            // SAFETY: whoever defines this name gives it the type of glibc's manual.
            address => Some(unsafe { core::mem::transmute::<usize, $type>(address) }),
        }
    };
}

#[inline]
pub(crate) fn malloc(size: usize) -> *mut c_void {
    match function!(Function::Malloc, Malloc) {
        // SAFETY: as malloc(3).
        Some(malloc) => unsafe { malloc(size) },
        None => from_store(16, size),
    }
}

#[inline]
pub(crate) fn calloc(count: usize, size: usize) -> *mut c_void {
    match function!(Function::Calloc, Two) {
        // SAFETY: as calloc(3).
        Some(calloc) => unsafe { calloc(count, size) },
        None => count.checked_mul(size).map_or(null_mut(), |bytes| from_store(16, bytes)),
    }
}

/// # Safety
/// As realloc(3).
#[inline]
pub(crate) unsafe fn realloc(block: *mut c_void, size: usize) -> *mut c_void {
    if let Some(rest) = store_bytes(block) {
        let moved = malloc(size);
        if !moved.is_null() {
            // SAFETY: both are at least this long, and the new block is a different one. What follows the
            // old block in the store is copied along: it is ours to read.
            unsafe { core::ptr::copy_nonoverlapping(block.cast::<u8>(), moved.cast(), rest.min(size)) };
        }
        return moved;
    }
    match function!(Function::Realloc, Realloc) {
        // SAFETY: the caller's.
        Some(realloc) => unsafe { realloc(block, size) },
        None => from_store(16, size),
    }
}

/// # Safety
/// As free(3).
#[inline]
pub(crate) unsafe fn free(block: *mut c_void) {
    if store_bytes(block).is_some() {
        return;
    }
    if let Some(free) = function!(Function::Free, Free) {
        // SAFETY: the caller's.
        unsafe { free(block) };
    }
}

/// # Safety
/// As posix_memalign(3).
pub(crate) unsafe fn posix_memalign(block: *mut *mut c_void, alignment: usize, size: usize) -> c_int {
    match function!(Function::PosixMemalign, PosixMemalign) {
        // SAFETY: the caller's.
        Some(posix_memalign) => unsafe { posix_memalign(block, alignment, size) },
        None => libc::ENOMEM,
    }
}

fn aligned(function: Option<Two>, alignment: usize, size: usize) -> *mut c_void {
    match function {
        // SAFETY: as aligned_alloc(3) or memalign(3), which refuse what they cannot do.
        Some(function) => unsafe { function(alignment, size) },
        None => from_store(alignment, size),
    }
}

pub(crate) fn aligned_alloc(alignment: usize, size: usize) -> *mut c_void {
    aligned(function!(Function::AlignedAlloc, Two), alignment, size)
}

pub(crate) fn memalign(alignment: usize, size: usize) -> *mut c_void {
    aligned(function!(Function::Memalign, Two), alignment, size)
}

fn pages(function: Option<Malloc>, size: usize) -> *mut c_void {
    match function {
        // SAFETY: as valloc(3).
        Some(function) => unsafe { function(size) },
        None => null_mut(),
    }
}

pub(crate) fn valloc(size: usize) -> *mut c_void {
    pages(function!(Function::Valloc, Malloc), size)
}

pub(crate) fn pvalloc(size: usize) -> *mut c_void {
    pages(function!(Function::Pvalloc, Malloc), size)
}

/// # Safety
/// As malloc_usable_size(3).
pub(crate) unsafe fn usable_size(block: *mut c_void) -> usize {
    match function!(Function::UsableSize, UsableSize) {
        // SAFETY: the caller's.
        Some(usable_size) if store_bytes(block).is_none() => unsafe { usable_size(block) },
        _ => 0,
    }
}
