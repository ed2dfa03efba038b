//! The levels of a thread's Python frames at which calls of the interpreter's loop began, the oldest first.
//!
//! ```text
//! count   how they are matched with native frames   the stack   level 0 .. level count-1
//! ```
//!
//! Invariant: of the levels that the room remembers it names those that begin a call, and no others; what it
//! says of levels above those means nothing.

use core::sync::atomic::AtomicU64;
use core::sync::atomic::Ordering::Relaxed;

use crate::room::DEEPEST;

/// The calls of one thread.
#[repr(C)]
pub(crate) struct Calls {
    count: AtomicU64,
    fit: AtomicU64,
    stack: AtomicU64,
    levels: [AtomicU64; DEEPEST],
}

impl Calls {
    /// How many there are.
    #[inline]
    pub(super) fn count(&self) -> usize {
        (self.count.load(Relaxed) as usize).min(self.levels.len())
    }

    /// The level at which a call began; `None` when there are not so many.
    #[inline]
    pub(super) fn level(&self, call: usize) -> Option<usize> {
        let levels = self.levels.get(..self.count())?;
        levels.get(call).map(|level| level.load(Relaxed) as usize)
    }

    /// How many of them began below a level.
    #[inline]
    pub(super) fn below(&self, level: usize) -> usize {
        let mut count = self.count();
        while count.checked_sub(1).and_then(|newest| self.level(newest)).is_some_and(|at| at >= level) {
            count -= 1;
        }
        count
    }

    /// Forgets those that did not begin below a level.
    #[inline]
    pub(super) fn keep_below(&self, level: usize) {
        self.count.store(self.below(level) as u64, Relaxed);
    }

    /// One more began, above all others.
    #[inline]
    pub(super) fn push(&self, level: usize) {
        let count = self.count();
        if let Some(word) = self.levels.get(count) {
            word.store(level as u64, Relaxed);
            self.count.store(count as u64 + 1, Relaxed);
        }
    }

    /// How they were matched last; 0 before.
    #[inline]
    pub(super) fn fit(&self) -> u64 {
        self.fit.load(Relaxed)
    }

    /// The stack of all frames, as it was last, if that is known.
    #[inline]
    pub(super) fn stack(&self) -> Option<u32> {
        Some(self.stack.load(Relaxed) as u32).filter(|&stack| stack != 0)
    }

    /// The stack of all frames; 0 for none that is known.
    #[inline]
    pub(super) fn set_stack(&self, stack: u32) {
        self.stack.store(u64::from(stack), Relaxed);
    }

    /// How they are matched.
    #[inline]
    pub(super) fn set_fit(&self, fit: u64) {
        self.fit.store(fit, Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn those_that_began_below_a_level_are_kept() {
        let [count, fit, stack] = Default::default();
        let calls = Calls { count, fit, stack, levels: [const { AtomicU64::new(0) }; DEEPEST] };
        [0, 3, 4, 9].into_iter().for_each(|level| calls.push(level));
        assert_eq!([0, 1, 4, 5, 10].map(|level| calls.below(level)), [0, 1, 2, 3, 4]);
        calls.keep_below(4);
        assert_eq!((calls.count(), calls.level(1), calls.level(2)), (2, Some(3), None));
        calls.push(7);
        assert_eq!(calls.level(2), Some(7));
        (0..2 * DEEPEST).for_each(|level| calls.push(level));
        assert_eq!(calls.count(), DEEPEST);
    }
}
