//! The functions that stand in front of Python's allocators, for each domain its own.
//!
//! What they call goes on to malloc, to mmap, or to another domain: all of that is one event, and the hooks
//! of those see that this thread is inside (`is_inside`).
//!
//! Order, as for malloc: an allocation is recorded after the real call, a free before it.
//!
//! Invariants: the context and the arguments are passed on as they came, and what came back is returned.
//! Nothing is remembered of a block: ours may be put in front, or taken out, between any two calls.
#![allow(unsafe_code)] // the C interface of CPython's allocators

use core::ffi::c_void;
use core::ptr::null_mut;
use core::sync::atomic::AtomicU64;
use core::sync::atomic::Ordering::Relaxed;

use super::{DOMAINS, FUNCTIONS};
use crate::hooks;
use crate::process::{self, EXACT, SAMPLED, UNARMED};
use crate::recorder::{self, MEM, OBJECT, RAW};
use crate::sys::{self, ThreadLocal};

/// What blocks of each domain are called.
const MEASURES: [u8; DOMAINS] = [RAW, MEM, OBJECT];

/// What stood in the records, by domain and function: never 0 once one of ours is in a record.
pub(super) static ORIGINALS: [[AtomicU64; FUNCTIONS]; DOMAINS] =
    [const { [const { AtomicU64::new(0) }; FUNCTIONS] }; DOMAINS];

/// The address of one of ours.
pub(super) fn ours(domain: usize, function: usize) -> u64 {
    const fn of<const DOMAIN: usize>() -> [*const (); FUNCTIONS] {
        [
            allocate::<DOMAIN> as *const (),
            allocate_zeroed::<DOMAIN> as *const (),
            reallocate::<DOMAIN> as *const (),
            free::<DOMAIN> as *const (),
        ]
    }
    let all = [of::<0>(), of::<1>(), of::<2>()];
    all.get(domain).and_then(|ours| ours.get(function)).map_or(0, |&ours| ours as u64)
}

type Allocate = unsafe extern "C" fn(*mut c_void, usize) -> *mut c_void;
type AllocateZeroed = unsafe extern "C" fn(*mut c_void, usize, usize) -> *mut c_void;
type Reallocate = unsafe extern "C" fn(*mut c_void, *mut c_void, usize) -> *mut c_void;
type Free = unsafe extern "C" fn(*mut c_void, *mut c_void);

/// The function that stood in the record of a domain.
macro_rules! original {
    ($domain:expr, $function:expr, $type:ty) => {{
        let address = ORIGINALS[$domain][$function].load(Relaxed) as usize;
        // SAFETY: written before one of ours could be called, from a record that the interpreter called
        // through, in which a function of this type stands in this place.
        unsafe { core::mem::transmute::<usize, $type>(address) }
    }};
}

/// Whether this thread is in one of ours. One that was left by `longjmp` does not count: its frame lay below
/// the present one.
#[inline(always)]
pub(crate) fn is_inside(thread: &ThreadLocal) -> bool {
    let outer = thread.inside.load(Relaxed);
    outer != 0 && here() < outer
}

/// Whether this thread is in one of ours that takes this very block back, which is known already. Whatever else
/// is freed there is somebody else's: tracemalloc's, for one, which forgets the block meanwhile.
#[inline(always)]
pub(crate) fn is_taken_back(block: *mut c_void) -> bool {
    let thread = sys::thread_local();
    is_inside(thread) && thread.taken_back.load(Relaxed) == block as u64
}

/// An address in the present frame.
#[inline(always)]
fn here() -> u64 {
    let marker = 0_u8;
    &raw const marker as u64
}

/// This thread, if it records and this is the outermost of ours; and the phase.
#[inline(always)]
fn outermost() -> Option<(&'static ThreadLocal, u64)> {
    let phase = process::phase();
    if !matches!(phase, SAMPLED | EXACT) {
        if phase == UNARMED {
            hooks::rearm();
        }
        return None;
    }
    let thread = sys::thread_local();
    (!is_inside(thread)).then_some((thread, phase))
}

/// While this lives, the thread is inside.
struct Inside(&'static ThreadLocal);

impl Inside {
    #[inline(always)]
    fn enter(thread: &'static ThreadLocal, block: *mut c_void) -> Self {
        thread.taken_back.store(block as u64, Relaxed);
        thread.inside.store(here(), Relaxed);
        Self(thread)
    }
}

impl Drop for Inside {
    #[inline(always)]
    fn drop(&mut self) {
        self.0.inside.store(0, Relaxed);
    }
}

/// # Safety
/// As the `malloc` of a `PyMemAllocatorEx`.
unsafe extern "C" fn allocate<const DOMAIN: usize>(context: *mut c_void, size: usize) -> *mut c_void {
    let real = original!(DOMAIN, 0, Allocate);
    let Some((thread, _)) = outermost() else {
        // SAFETY: the caller's.
        return unsafe { real(context, size) };
    };
    let inside = Inside::enter(thread, null_mut());
    // SAFETY: the caller's.
    let block = unsafe { real(context, size) };
    drop(inside);
    hooks::allocated_by(thread, MEASURES[DOMAIN], block, size);
    block
}

/// # Safety
/// As the `calloc` of a `PyMemAllocatorEx`.
unsafe extern "C" fn allocate_zeroed<const DOMAIN: usize>(
    context: *mut c_void,
    count: usize,
    size: usize,
) -> *mut c_void {
    let real = original!(DOMAIN, 1, AllocateZeroed);
    let Some((thread, _)) = outermost() else {
        // SAFETY: the caller's.
        return unsafe { real(context, count, size) };
    };
    let inside = Inside::enter(thread, null_mut());
    // SAFETY: the caller's.
    let block = unsafe { real(context, count, size) };
    drop(inside);
    // It did not overflow, or there is no block.
    hooks::allocated_by(thread, MEASURES[DOMAIN], block, count.wrapping_mul(size));
    block
}

/// # Safety
/// As the `realloc` of a `PyMemAllocatorEx`.
unsafe extern "C" fn reallocate<const DOMAIN: usize>(
    context: *mut c_void,
    block: *mut c_void,
    size: usize,
) -> *mut c_void {
    let real = original!(DOMAIN, 2, Reallocate);
    let Some((thread, phase)) = outermost() else {
        // SAFETY: the caller's.
        return unsafe { real(context, block, size) };
    };
    let was_recorded = !block.is_null() && freeing::<DOMAIN>(phase, block);
    let inside = Inside::enter(thread, block);
    // SAFETY: the caller's.
    let moved = unsafe { real(context, block, size) };
    drop(inside);
    if !moved.is_null() {
        hooks::allocated_by(thread, MEASURES[DOMAIN], moved, size);
    } else if was_recorded {
        // The old block is still there, and nobody can be asked how large it is.
        recorder::lost();
    }
    moved
}

/// # Safety
/// As the `free` of a `PyMemAllocatorEx`.
unsafe extern "C" fn free<const DOMAIN: usize>(context: *mut c_void, block: *mut c_void) {
    let real = original!(DOMAIN, 3, Free);
    if !block.is_null()
        && let Some((thread, phase)) = outermost()
    {
        freeing::<DOMAIN>(phase, block);
        let _inside = Inside::enter(thread, block);
        // SAFETY: the caller's.
        unsafe { real(context, block) };
        return;
    }
    // SAFETY: the caller's.
    unsafe { real(context, block) };
}

/// Before the real call, in the outermost of ours: the block is given back. Whether that was recorded.
#[inline(always)]
fn freeing<const DOMAIN: usize>(phase: u64, block: *mut c_void) -> bool {
    let Some(process) = process::get() else { return false };
    if phase == SAMPLED {
        return hooks::sample_freed(process, block);
    }
    recorder::free(block as u64);
    true
}
