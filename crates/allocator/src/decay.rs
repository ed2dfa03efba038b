//! The decay time of dirty pages, in all arenas that there are and will be.
//!
//! Invariant: the original, the user's or ours, is kept before the first change, and outlives forks.

use crate::mallctl::names;
use core::sync::atomic::AtomicI64;
use core::sync::atomic::Ordering::Relaxed;

static ORIGINAL_MS: AtomicI64 = AtomicI64::new(0);

/// Remembers what is in force now.
pub(crate) fn keep_original() {
    ORIGINAL_MS.store(names::DIRTY_DECAY_MS.read().unwrap_or(0) as i64, Relaxed);
}

/// Milliseconds; -1 for never.
pub(crate) fn original_ms() -> i64 {
    ORIGINAL_MS.load(Relaxed)
}

/// Makes the original apply again.
pub(crate) fn restore() {
    if names::DIRTY_DECAY_MS.read().is_some_and(|now_ms| now_ms as i64 != original_ms()) {
        set(original_ms());
    }
}

/// Sets it everywhere; arenas that are not in use yet refuse, and take it when they begin.
pub(crate) fn set(milliseconds: i64) {
    let milliseconds = milliseconds as isize;
    if let Some(to_come) = names::DIRTY_DECAY_MS.resolve() {
        to_come.write(milliseconds);
    }
    let n_arenas = names::N_ARENAS_MADE.read().unwrap_or(0) as usize;
    if let Some(first) = names::ARENA_DIRTY_DECAY_MS.resolve() {
        for arena in 0..n_arenas {
            first.of_arena(arena).write(milliseconds);
        }
    }
}
