//! What becomes of unused pages: the decay time in all arenas that there are and will be, purges, and how many
//! pools of Python's may lie unused.
//!
//! Invariant: the original, the user's or ours, is kept before the first change, and outlives forks.

use crate::mallctl::{Node, names};
use crate::objects::{self, Keep};
use core::sync::atomic::AtomicI64;
use core::sync::atomic::Ordering::Relaxed;

static ORIGINAL_MS: AtomicI64 = AtomicI64::new(0);

/// Remembers what is in force now.
pub(crate) fn keep_original() {
    ORIGINAL_MS.store(names::DIRTY_DECAY_MS.read().unwrap_or(0) as i64, Relaxed);
}

/// The governor, which runs now, decides for pools too.
pub(crate) fn govern() {
    keep_pools(original_ms());
}

/// Nobody decides: pools go by their number.
pub(crate) fn leave() {
    objects::keep(Keep::Some);
}

fn keep_pools(milliseconds: i64) {
    objects::keep(if milliseconds == 0 { Keep::Few } else { Keep::All });
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
    keep_pools(milliseconds);
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

/// Gives all unused pages back, jemalloc's and those of pools.
pub(crate) fn purge(all: &Node<names::Action>) {
    all.run();
    objects::purge();
}
