//! Memory for pools: a stretch of addresses of its own, and two bits for each pool in it.
//!
//! ```text
//! clean ──take──▶ used ──give──▶ unused ──purge──▶ being purged ──▶ clean
//!   no memory      ▲               │ resident
//!                  └─────take──────┘
//! ```
//!
//! The stretch makes one comparison tell a pool's block from any other, and two bits a pool are all the
//! books there are: to jemalloc each pool was an extent, with 128 bytes that are never given back. The
//! lowest unused pool is taken first, so that the heap shrinks from its end.
//!
//! Invariants: one thread takes and gives at a time (`objects` says why); any may purge, one at a time. A
//! pool goes from one state to the next by one atomic step on its word, so that nobody waits: a pool that is
//! being purged is nobody else's. Addresses are reserved without memory behind them, and made usable from
//! the bottom up.
#![allow(unsafe_code)] // address space

use super::pools::{POOL_BYTES, Source};
use crate::{block, options, sys};
use core::ffi::c_void;
use core::ptr::null_mut;
use core::sync::atomic::Ordering::{AcqRel, Acquire, Relaxed, Release};
use core::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize};

/// More than the small objects of any process; beyond it they come from malloc as others do.
const RESERVED_BYTES: usize = 16 << 30;
const WORD_POOLS: usize = 32;
const WORDS: usize = RESERVED_BYTES / POOL_BYTES / WORD_POOLS;
/// Addresses are made usable so many words at a time: 4 MiB.
const GROWTH_WORDS: usize = 8;

/// The lower bit of each pool.
const ONES: u64 = 0x5555_5555_5555_5555;
/// A pool's two bits, shifted to its place.
const USED: u64 = 1;
const UNUSED: u64 = 2;
const PURGING: u64 = 3;

static WORDS_OF_POOLS: [AtomicU64; WORDS] = [const { AtomicU64::new(0) }; WORDS];
static START: AtomicUsize = AtomicUsize::new(0);
/// Words whose pools have usable addresses.
static N_WORDS: AtomicUsize = AtomicUsize::new(0);
/// No word below it has a clean pool. Above the number, a count of what purges have made clean: whoever raises
/// the number must not have missed one.
static LOWEST_CLEAN: AtomicU64 = AtomicU64::new(0);
static N_USED: AtomicUsize = AtomicUsize::new(0);
static N_UNUSED: AtomicUsize = AtomicUsize::new(0);
/// So many unused pools are purged without being asked.
static PURGE_AT: AtomicUsize = AtomicUsize::new(Keep::Some as usize);
static PURGES: AtomicBool = AtomicBool::new(false);

/// How many unused pools may lie there.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u32)]
pub(crate) enum Keep {
    /// Somebody else decides when they go.
    All = u32::MAX,
    /// Nobody else does: 16 MiB.
    Some = 1024,
    /// Memory is short.
    Few = 16,
}

/// Where pools come from.
#[derive(Debug)]
pub(super) struct Store {
    /// No word below it has an unused pool.
    lowest_unused: usize,
}

impl Store {
    /// Before [`Store::open`]; gives nothing.
    pub(super) const CLOSED: Self = Self { lowest_unused: 0 };

    /// Reserves the addresses; once per process.
    pub(super) fn open() -> Option<Self> {
        let start = sys::reserve(RESERVED_BYTES, POOL_BYTES)?;
        if options::huge_pages_always() {
            sys::refuse_huge_pages(start, RESERVED_BYTES);
        }
        START.store(start, Relaxed);
        Some(Self::CLOSED)
    }

    fn take_unused(&mut self) -> Option<usize> {
        for word in self.lowest_unused..N_WORDS.load(Relaxed) {
            self.lowest_unused = word;
            let pools = WORDS_OF_POOLS.get(word)?;
            let mut now = pools.load(Relaxed);
            while let Some(shift) = lowest(unused(now)) {
                // From unused to used: both bits change.
                match pools.compare_exchange(now, now ^ (PURGING << shift), Acquire, Relaxed) {
                    Ok(_) => {
                        N_UNUSED.fetch_sub(1, Relaxed);
                        return Some(word * WORD_POOLS + shift / 2);
                    }
                    Err(meanwhile) => now = meanwhile,
                }
            }
        }
        None
    }

    fn take_clean() -> Option<usize> {
        let from = LOWEST_CLEAN.load(Acquire);
        let mut word = from as u32 as usize;
        loop {
            if word >= N_WORDS.load(Relaxed) && !grow() {
                return None;
            }
            let pools = WORDS_OF_POOLS.get(word)?;
            let mut now = pools.load(Relaxed);
            while let Some(shift) = lowest(clean(now)) {
                match pools.compare_exchange(now, now | USED << shift, Acquire, Relaxed) {
                    Ok(_) => {
                        let raised = from >> 32 << 32 | word as u64;
                        let _ = LOWEST_CLEAN.compare_exchange(from, raised, Relaxed, Relaxed);
                        return Some(word * WORD_POOLS + shift / 2);
                    }
                    Err(meanwhile) => now = meanwhile,
                }
            }
            word += 1;
        }
    }
}

impl Source for Store {
    fn take(&mut self) -> *mut u8 {
        let unused = if N_UNUSED.load(Relaxed) > 0 { self.take_unused() } else { None };
        let Some(pool) = unused.or_else(Self::take_clean) else { return null_mut() };
        N_USED.fetch_add(1, Relaxed);
        (START.load(Relaxed) + pool * POOL_BYTES) as *mut u8
    }

    fn give(&mut self, pool: *mut u8) {
        let pool = (pool.addr() - START.load(Relaxed)) / POOL_BYTES;
        let (word, shift) = (pool / WORD_POOLS, pool % WORD_POOLS * 2);
        let Some(pools) = WORDS_OF_POOLS.get(word) else { return };
        N_USED.fetch_sub(1, Relaxed);
        // Counted before it can be purged.
        let n_unused = N_UNUSED.fetch_add(1, Relaxed);
        // From used to unused; nobody else changes the bits of a used pool.
        pools.fetch_add((UNUSED - USED) << shift, Release);
        self.lowest_unused = self.lowest_unused.min(word);
        if n_unused >= PURGE_AT.load(Relaxed) {
            purge();
        }
    }
}

fn lowest(of: u64) -> Option<usize> {
    (of != 0).then(|| of.trailing_zeros() as usize)
}

/// The lower bit of each clean pool.
const fn clean(word: u64) -> u64 {
    !word & !(word >> 1) & ONES
}

/// The lower bit of each unused pool.
const fn unused(word: u64) -> u64 {
    !word & (word >> 1) & ONES
}

/// Makes more addresses usable.
fn grow() -> bool {
    let n_words = N_WORDS.load(Relaxed);
    let more = GROWTH_WORDS.min(WORDS - n_words);
    let word_bytes = WORD_POOLS * POOL_BYTES;
    let start = START.load(Relaxed);
    if start == 0 || more == 0 {
        return false;
    }
    // SAFETY: reserved, and given to nobody before.
    let is_usable = unsafe { sys::make_usable(start + n_words * word_bytes, more * word_bytes) };
    if is_usable {
        N_WORDS.store(n_words + more, Relaxed);
    }
    is_usable
}

/// Gives the memory of all unused pools back.
pub(super) fn purge() {
    if PURGES.swap(true, Acquire) {
        return;
    }
    for (word, pools) in WORDS_OF_POOLS.iter().enumerate().take(N_WORDS.load(Relaxed)) {
        purge_word(word, pools);
    }
    PURGES.store(false, Release);
}

fn purge_word(word: usize, pools: &AtomicU64) {
    let mut now = pools.load(Relaxed);
    let mine = loop {
        let unused = unused(now);
        if unused == 0 {
            return;
        }
        match pools.compare_exchange(now, now | unused, Acquire, Relaxed) {
            Ok(_) => break unused,
            Err(meanwhile) => now = meanwhile,
        }
    };
    N_UNUSED.fetch_sub(mine.count_ones() as usize, Relaxed);
    let mut left = mine;
    while let Some(shift) = lowest(left) {
        let n_pools = (!(left >> shift) & ONES).trailing_zeros() as usize / 2;
        let start = START.load(Relaxed) + (word * WORD_POOLS + shift / 2) * POOL_BYTES;
        // SAFETY: pools of ours; those being purged are nobody else's.
        unsafe { sys::give_back(start, n_pools * POOL_BYTES) };
        left &= !(u64::MAX >> (64 - 2 * n_pools) << shift);
    }
    pools.fetch_and(!(mine * PURGING), AcqRel);
    let lowered = |now: u64| Some((((now >> 32) + 1) << 32) | u64::from(now as u32).min(word as u64));
    let _ = LOWEST_CLEAN.fetch_update(Release, Relaxed, lowered);
}

/// From now on.
pub(super) fn keep(keep: Keep) {
    PURGE_AT.store(keep as usize, Relaxed);
}

/// Before a fork: no purge is under way while it happens, or its pools would be lost to the child.
pub(super) fn hold() {
    while PURGES.swap(true, Acquire) {
        sys::let_others_run();
    }
}

/// After a fork, in the parent and in the child.
pub(super) fn release() {
    PURGES.store(false, Release);
}

/// Bytes in pools that are used, and in those that are resident without being used.
pub(super) fn bytes() -> (u64, u64) {
    let of = |count: &AtomicUsize| (count.load(Relaxed) * POOL_BYTES) as u64;
    (of(&N_USED), of(&N_UNUSED))
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

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::VecDeque;

    /// Whether every word of a pool's memory is `mark`.
    fn holds(pool: *mut u8, mark: u64) -> bool {
        let n_words = POOL_BYTES / 8;
        // SAFETY: a pool that was taken, written and not given back.
        unsafe { std::slice::from_raw_parts(pool.cast::<u64>(), n_words) }.iter().all(|&word| word == mark)
    }

    fn fill(pool: *mut u8, mark: u64) {
        // SAFETY: a pool that was taken.
        unsafe { std::slice::from_raw_parts_mut(pool.cast::<u64>(), POOL_BYTES / 8) }.fill(mark);
    }

    #[test]
    fn a_purge_takes_no_pool_that_is_used_and_loses_none() {
        let mut store = Store::open().expect("address space");
        keep(Keep::All);
        let is_done = AtomicBool::new(false);
        std::thread::scope(|scope| {
            scope.spawn(|| {
                while !is_done.load(Relaxed) {
                    purge();
                }
            });
            let mut held: VecDeque<(*mut u8, u64)> = VecDeque::new();
            for turn in 0..20_000_u64 {
                // Grows to some hundred pools, shrinks, and again; the oldest go first, and some of the newest.
                if turn % 2_000 < 1_200 || held.is_empty() {
                    let pool = store.take();
                    assert!(!pool.is_null() && pool.addr().is_multiple_of(POOL_BYTES));
                    fill(pool, turn);
                    held.push_back((pool, turn));
                } else {
                    let oldest = if turn % 3 > 0 { held.pop_front() } else { held.pop_back() };
                    let (pool, mark) = oldest.expect("not empty");
                    assert!(holds(pool, mark), "purged, or taken twice");
                    store.give(pool);
                }
            }
            for (pool, mark) in held {
                assert!(holds(pool, mark), "purged, or taken twice");
                store.give(pool);
            }
            is_done.store(true, Relaxed);
        });
        purge();
        assert_eq!(bytes(), (0, 0));
        assert!(WORDS_OF_POOLS.iter().all(|word| word.load(Relaxed) == 0));
        // None was lost: the lowest is the first again, and clean.
        let pool = store.take();
        assert_eq!(pool.addr(), START.load(Relaxed));
        assert!(holds(pool, 0));
    }
}
