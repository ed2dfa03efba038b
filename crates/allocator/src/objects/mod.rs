//! Python's small objects: pools of ours in the place of pymalloc's.
//!
//! pymalloc is fast, because the GIL lets one thread allocate at a time; but one survivor pins an arena of
//! 1 MiB, which no malloc reaches. With `PYTHONMALLOC=malloc` all comes back, at the price of a cache per
//! thread. Here is the third way, through the function that CPython has for it (`PyMem_SetAllocator`): pools
//! of 16 KiB without locks and without threads' caches, and each empty one can be given back by itself.
//!
//! Invariants: installed before the interpreter begins or not at all, and only where it is known that its
//! calls come one at a time (`python`). From the moment that this may end, a lock is taken (`share`). Where
//! pools do not suit, malloc serves; a user who sets `PYTHONMALLOC` gets what that says.
#![allow(unsafe_code)] // the C interface of CPython's allocators

mod pools;
mod python;
mod store;

use core::cell::UnsafeCell;
use core::ffi::c_void;
use core::ptr::{copy_nonoverlapping, null_mut};
use core::sync::atomic::AtomicBool;
use core::sync::atomic::Ordering::{Acquire, Relaxed, Release};
use pools::{BLOCK_BYTES_MAX, Pools, block_bytes};
pub(crate) use store::Keep;
use store::Store;
use tikv_jemalloc_sys as jemalloc;

struct Objects(UnsafeCell<Pools<Store>>);

// SAFETY: reached through `with` alone, whose callers come one at a time.
unsafe impl Sync for Objects {}

static OBJECTS: Objects = Objects(UnsafeCell::new(Pools::new(Store::CLOSED)));
/// Calls may come from several threads at a time.
static SHARED: AtomicBool = AtomicBool::new(false);
static LOCKED: AtomicBool = AtomicBool::new(false);

/// Gives the interpreter our pools, or malloc where they do not suit it. Before it begins, in one thread.
pub(crate) fn install() {
    let Some(python) = python::Python::find() else { return };
    match python.suits_pools().then(Store::open).flatten() {
        Some(store) => {
            with(|pools| *pools = Pools::new(store));
            python.use_pools();
            store::publish();
        }
        None => python.use_malloc(),
    }
}

/// Runs `work` on the pools.
#[inline(always)]
fn with<T>(work: impl FnOnce(&mut Pools<Store>) -> T) -> T {
    if SHARED.load(Relaxed) {
        return with_lock(work);
    }
    // SAFETY: the only reference there is: calls come one at a time, and `work` calls nothing of Python's.
    work(unsafe { &mut *OBJECTS.0.get() })
}

#[cold]
#[inline(never)]
fn with_lock<T>(work: impl FnOnce(&mut Pools<Store>) -> T) -> T {
    lock();
    // SAFETY: the lock is held.
    let result = work(unsafe { &mut *OBJECTS.0.get() });
    LOCKED.store(false, Release);
    result
}

fn lock() {
    while LOCKED.swap(true, Acquire) {
        crate::sys::let_others_run();
    }
}

/// From now on calls may come from several threads at a time. Whoever makes that happen must call this
/// before, as one of those that come one at a time: then none is under way. Others may call it at any time.
fn share() {
    SHARED.store(true, Relaxed);
}

/// Before a fork: no other thread is in the pools while it happens.
pub(crate) extern "C" fn hold() {
    store::hold();
    if SHARED.load(Relaxed) {
        lock();
    }
}

/// After a fork, in the parent and in the child.
pub(crate) extern "C" fn release() {
    LOCKED.store(false, Release);
    store::release();
}

/// Gives the memory of all pools back that hold nothing.
pub(crate) fn purge() {
    store::purge();
}

/// How many of those may lie there from now on.
pub(crate) fn keep(keep: Keep) {
    store::keep(keep);
}

/// Bytes in pools that hold something, and in those that could be given back.
pub(crate) fn bytes() -> (u64, u64) {
    store::bytes()
}

/// # Safety
/// As PyObject_Malloc.
unsafe extern "C" fn allocate(_: *mut c_void, n_bytes: usize) -> *mut c_void {
    // A size of 0 is not small; malloc gives it a block of its own, as CPython wants.
    if n_bytes.wrapping_sub(1) < BLOCK_BYTES_MAX {
        let block = with(|pools| pools.allocate(n_bytes));
        if !block.is_null() {
            return block.cast();
        }
    }
    // SAFETY: no precondition.
    unsafe { jemalloc::malloc(n_bytes) }
}

/// # Safety
/// As PyObject_Calloc.
unsafe extern "C" fn allocate_zeroed(_: *mut c_void, count: usize, size: usize) -> *mut c_void {
    if let Some(n_bytes) = count.checked_mul(size)
        && n_bytes.wrapping_sub(1) < BLOCK_BYTES_MAX
    {
        let block = with(|pools| pools.allocate(n_bytes));
        if !block.is_null() {
            // SAFETY: the block is new, and at least that large.
            unsafe { block.write_bytes(0, n_bytes) };
            return block.cast();
        }
    }
    // SAFETY: no precondition; it refuses what overflows.
    unsafe { jemalloc::calloc(count, size) }
}

/// # Safety
/// As PyObject_Free.
unsafe extern "C" fn free(_: *mut c_void, block: *mut c_void) {
    if store::contains(block) {
        // SAFETY: it is a pool's, and the caller gives it up.
        with(|pools| unsafe { pools.free(block.cast()) });
    } else {
        // SAFETY: NULL, or from malloc.
        unsafe { jemalloc::free(block) };
    }
}

/// # Safety
/// As PyObject_Realloc.
unsafe extern "C" fn reallocate(context: *mut c_void, block: *mut c_void, n_bytes: usize) -> *mut c_void {
    // A size of 0 asks for a block, not for its end.
    let n_bytes = n_bytes.max(1);
    if !store::contains(block) {
        if block.is_null() {
            // SAFETY: as ours.
            return unsafe { allocate(context, n_bytes) };
        }
        // SAFETY: from malloc.
        return unsafe { jemalloc::realloc(block, n_bytes) };
    }
    // SAFETY: a pool's, and the caller's.
    let old_bytes = unsafe { block_bytes(block.cast()) };
    // A quarter less is not worth a copy.
    if n_bytes <= old_bytes && 4 * n_bytes > 3 * old_bytes {
        return block;
    }
    // SAFETY: as ours.
    let new = unsafe { allocate(context, n_bytes) };
    if new.is_null() {
        return if n_bytes <= old_bytes { block } else { null_mut() };
    }
    // SAFETY: both blocks are at least that large, and two.
    unsafe { copy_nonoverlapping(block.cast::<u8>(), new.cast::<u8>(), n_bytes.min(old_bytes)) };
    // SAFETY: a pool's, and given up.
    unsafe { free(context, block) };
    new
}
