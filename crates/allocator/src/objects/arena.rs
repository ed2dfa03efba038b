//! Memory for pools: an arena of jemalloc's in a stretch of addresses of its own.
//!
//! The stretch makes one comparison tell a pool's block from any other. jemalloc keeps its books of the
//! arena as of all others, so its statistics, the decay, the governor's purges and a walk from outside hold
//! for pools too.
//!
//! Invariants: addresses are reserved without memory behind them, and made usable from the bottom up as
//! jemalloc asks. Blocks of one size alone are taken from the arena, so each lies on a multiple of it; one
//! that does not is never used.
#![allow(unsafe_code)] // jemalloc's C interface, and address space

use super::pools::{POOL_BYTES, Source};
use crate::mallctl::names;
use crate::{block, sys};
use core::ffi::{c_int, c_uint, c_void};
use core::ptr::null_mut;
use core::sync::atomic::AtomicUsize;
use core::sync::atomic::Ordering::Relaxed;
use tikv_jemalloc_sys as jemalloc;
use tikv_jemalloc_sys::extent_hooks_t;

/// More than the small objects of any process; beyond it they come from malloc as others do.
const RESERVED_BYTES: usize = 16 << 30;

static START: AtomicUsize = AtomicUsize::new(0);
/// The first address that jemalloc did not ask for yet.
static NEXT: AtomicUsize = AtomicUsize::new(0);

static HOOKS: extent_hooks_t = extent_hooks_t {
    alloc: Some(extend),
    dalloc: None,
    destroy: None,
    commit: None,
    decommit: None,
    purge_lazy: None,
    purge_forced: Some(purge),
    split: Some(split),
    merge: Some(merge),
};

/// jemalloc's arena of pools.
#[derive(Debug)]
pub(super) struct Arena {
    flags: c_int,
}

impl Arena {
    /// Before [`Arena::open`]; gives nothing.
    pub(super) const CLOSED: Self = Self { flags: 0 };

    /// Reserves the addresses, and sees that the arena serves; once per process.
    pub(super) fn open() -> Option<Self> {
        let start = sys::reserve(RESERVED_BYTES, POOL_BYTES)?;
        START.store(start, Relaxed);
        NEXT.store(start, Relaxed);
        let index = names::CREATE_ARENA.resolve()?.exchange(&raw const HOOKS)?;
        let mut arena =
            Self { flags: jemalloc::MALLOCX_ARENA(index as usize) | jemalloc::MALLOCX_TCACHE_NONE };
        let pool = arena.take();
        if pool.is_null() {
            return None;
        }
        arena.give(pool);
        Some(arena)
    }
}

impl Source for Arena {
    fn take(&mut self) -> *mut u8 {
        // SAFETY: no precondition but a size.
        let pool = unsafe { jemalloc::mallocx(POOL_BYTES, self.flags) };
        if pool.addr().is_multiple_of(POOL_BYTES) {
            return pool.cast();
        }
        // An option of the user's moves blocks off their multiples (`cache_oblivious:true`).
        self.give(pool.cast());
        null_mut()
    }

    fn give(&mut self, pool: *mut u8) {
        // SAFETY: it came from `mallocx` with these flags.
        unsafe { jemalloc::sdallocx(pool.cast(), POOL_BYTES, self.flags) };
    }
}

/// Tells readers outside where pools are.
pub(super) fn publish() {
    let start = START.load(Relaxed) as u64;
    block::publish(|block| {
        block.pools_start.store(start, Relaxed);
        block.pools_end.store(start + RESERVED_BYTES as u64, Relaxed);
    });
}

/// Whether a block came from a pool.
#[inline(always)]
pub(super) fn contains(block: *mut c_void) -> bool {
    block.addr().wrapping_sub(START.load(Relaxed)) < RESERVED_BYTES
}

/// jemalloc wants more addresses, or to extend what ends at `at`.
///
/// # Safety
/// As `extent_alloc_t` of jemalloc(3).
unsafe extern "C" fn extend(
    _: *mut extent_hooks_t,
    at: *mut c_void,
    n_bytes: usize,
    alignment: usize,
    zeroed: *mut bool,
    committed: *mut bool,
    _: c_uint,
) -> *mut c_void {
    let end = START.load(Relaxed) + RESERVED_BYTES;
    let mut next = NEXT.load(Relaxed);
    loop {
        let begin = next.next_multiple_of(alignment.max(POOL_BYTES));
        let fits = begin <= end && n_bytes.next_multiple_of(POOL_BYTES) <= end - begin;
        if !fits || (!at.is_null() && at.addr() != begin) {
            return null_mut();
        }
        match NEXT.compare_exchange(next, begin + n_bytes, Relaxed, Relaxed) {
            Ok(_) => {
                // SAFETY: the addresses are reserved, and were given to nobody before.
                if !unsafe { sys::make_usable(begin, n_bytes) } {
                    return null_mut();
                }
                // Fresh pages are zero, and committed when touched.
                // SAFETY: by jemalloc's contract.
                unsafe { zeroed.write(true) };
                // SAFETY: likewise.
                unsafe { committed.write(true) };
                return begin as *mut c_void;
            }
            Err(now) => next = now,
        }
    }
}

/// # Safety
/// As `extent_purge_t` of jemalloc(3).
unsafe extern "C" fn purge(
    _: *mut extent_hooks_t,
    extent: *mut c_void,
    _: usize,
    offset: usize,
    length: usize,
    _: c_uint,
) -> bool {
    // SAFETY: jemalloc says that nobody uses these pages.
    !unsafe { sys::give_back(extent.addr() + offset, length) }
}

/// Nothing is to be done for it.
///
/// # Safety
/// As `extent_split_t` of jemalloc(3).
unsafe extern "C" fn split(
    _: *mut extent_hooks_t,
    _: *mut c_void,
    _: usize,
    _: usize,
    _: usize,
    _: bool,
    _: c_uint,
) -> bool {
    false
}

/// Nothing is to be done for it: all is one mapping.
///
/// # Safety
/// As `extent_merge_t` of jemalloc(3).
unsafe extern "C" fn merge(
    _: *mut extent_hooks_t,
    _: *mut c_void,
    _: usize,
    _: *mut c_void,
    _: usize,
    _: bool,
    _: c_uint,
) -> bool {
    false
}
