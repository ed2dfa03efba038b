//! The interpreter of this process: whether our pools suit it, and how it is told of them.
//!
//! CPython calls the allocators of its domains `mem` and `obj` with the GIL held; pymalloc itself lives on
//! that. Since 3.12 an interpreter besides the main one may have a GIL of its own. Its first sign of life is
//! that its state is taken from the domain `raw`, by a thread that holds the GIL of another: that is when the
//! pools get their lock. (An audit hook would hear of it too, but not in 3.13.)
//!
//! Invariant: where something is not as it is known to be, nothing is changed.
#![allow(unsafe_code)] // CPython's C interface

use super::{allocate, allocate_zeroed, free, reallocate};
use crate::{program, sys};
use core::ffi::{CStr, c_int, c_void};
use core::ptr::null_mut;
use tikv_jemalloc_sys as jemalloc;

/// Of Python 3, the first that was tried with pools and the first that was not.
const MINOR_MIN: u32 = 8;
const MINOR_END: u32 = 14;
/// Since then interpreters may have a GIL of their own.
const MINOR_OWN_GIL: u32 = 12;

/// CPython's `PyMemAllocatorDomain`.
const RAW: c_int = 0;
const MEM: c_int = 1;
const OBJ: c_int = 2;
/// The state of an interpreter is one zeroed block larger than this: some 100 KiB and more. That others
/// are too does no harm.
const INTERPRETER_BYTES_MIN: usize = 64 << 10;
/// The user's own choice.
const CHOICE: &CStr = c"PYTHONMALLOC";

type Malloc = unsafe extern "C" fn(*mut c_void, usize) -> *mut c_void;
type Calloc = unsafe extern "C" fn(*mut c_void, usize, usize) -> *mut c_void;
type Realloc = unsafe extern "C" fn(*mut c_void, *mut c_void, usize) -> *mut c_void;
type Free = unsafe extern "C" fn(*mut c_void, *mut c_void);

/// CPython's `PyMemAllocatorEx`.
#[repr(C)]
struct Allocator {
    context: *mut c_void,
    malloc: Malloc,
    calloc: Calloc,
    realloc: Realloc,
    free: Free,
}

impl Allocator {
    const fn new(malloc: Malloc, calloc: Calloc, realloc: Realloc, free: Free) -> Self {
        Self { context: null_mut(), malloc, calloc, realloc, free }
    }
}

// SAFETY: functions without state.
unsafe impl Sync for Allocator {}

static RAW_FUNCTIONS: Allocator = Allocator::new(raw_allocate, raw_allocate_zeroed, raw_reallocate, raw_free);

type SetAllocator = unsafe extern "C" fn(c_int, *const Allocator);

/// An interpreter with a GIL, whose user chose no allocator.
pub(super) struct Python {
    set_allocator: SetAllocator,
    minor: u32,
}

impl Python {
    /// The one in this program.
    pub(super) fn find() -> Option<Self> {
        let choice = sys::secure_getenv(CHOICE.as_ptr());
        // SAFETY: a string of the environment.
        if !choice.is_null() && !unsafe { CStr::from_ptr(choice) }.is_empty() {
            return None;
        }
        if is_free_threaded() || is_debug() {
            return None;
        }
        let minor = minor_version().filter(|&minor| minor >= MINOR_MIN)?;
        let set_allocator = sys::global_symbol(c"PyMem_SetAllocator")?;
        // SAFETY: CPython's function of that name, of that type since 3.4.
        let set_allocator = unsafe { core::mem::transmute::<usize, SetAllocator>(set_allocator) };
        Some(Self { set_allocator, minor })
    }

    /// Whether our pools suit it. A program that only embeds it may begin it twice, and CPython then forgets
    /// whose blocks it holds.
    pub(super) fn suits_pools(&self) -> bool {
        self.minor < MINOR_END && program::is_python()
    }

    /// Makes it call our pools. It has not begun.
    pub(super) fn use_pools(&self) {
        if self.minor >= MINOR_OWN_GIL {
            self.set(RAW, &RAW_FUNCTIONS);
        }
        let pools = Allocator::new(allocate, allocate_zeroed, reallocate, free);
        for domain in [MEM, OBJ] {
            self.set(domain, &pools);
        }
    }

    /// Makes it call malloc for all, as `PYTHONMALLOC=malloc` does. It has not begun.
    pub(super) fn use_malloc(&self) {
        for domain in [RAW, MEM, OBJ] {
            self.set(domain, &RAW_FUNCTIONS);
        }
    }

    fn set(&self, domain: c_int, allocator: &Allocator) {
        // SAFETY: may be called before the interpreter begins; it copies what we pass.
        unsafe { (self.set_allocator)(domain, allocator) };
    }
}

/// # Safety
/// As PyMem_RawMalloc.
unsafe extern "C" fn raw_allocate(_: *mut c_void, n_bytes: usize) -> *mut c_void {
    // SAFETY: no precondition.
    unsafe { jemalloc::malloc(n_bytes) }
}

/// # Safety
/// As PyMem_RawCalloc.
unsafe extern "C" fn raw_allocate_zeroed(_: *mut c_void, count: usize, size: usize) -> *mut c_void {
    if count == 1 && size >= INTERPRETER_BYTES_MIN {
        super::share();
    }
    // SAFETY: no precondition.
    unsafe { jemalloc::calloc(count, size) }
}

/// # Safety
/// As PyMem_RawRealloc.
unsafe extern "C" fn raw_reallocate(_: *mut c_void, block: *mut c_void, n_bytes: usize) -> *mut c_void {
    // SAFETY: NULL, or from malloc; a size of 0 would free it.
    unsafe { jemalloc::realloc(block, n_bytes.max(1)) }
}

/// # Safety
/// As PyMem_RawFree.
unsafe extern "C" fn raw_free(_: *mut c_void, block: *mut c_void) {
    // SAFETY: NULL, or from malloc.
    unsafe { jemalloc::free(block) };
}

/// `3.12.1 (main, ...)`: 12.
fn minor_version() -> Option<u32> {
    let minor = sys::python_version()?.strip_prefix(b"3.")?;
    let n_digits = minor.iter().take_while(|byte| byte.is_ascii_digit()).count();
    core::str::from_utf8(minor.get(..n_digits)?).ok()?.parse().ok()
}

/// Built without a GIL: only then another thread's reference counts are merged.
fn is_free_threaded() -> bool {
    sys::global_symbol(c"_Py_MergeZeroLocalRefcount").is_some()
}

/// Built for debugging, with checks around each block that would be lost.
fn is_debug() -> bool {
    sys::global_symbol(c"_Py_NegativeRefcount").is_some()
}
