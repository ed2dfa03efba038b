//! Stacks that were made by one more native frame on top of others, as they were looked up last.
//!
//! ```text
//! step    stack below (upper half)  location (lower half)    stack
//! pair    the step looked up later   the one before          that share a hash
//! ```
//!
//! Invariant: as of the table of all stacks, of which this holds what one thread needs over and over: a step,
//! once defined, does not change.

use core::sync::atomic::AtomicU64;
use core::sync::atomic::Ordering::{Relaxed, Release};

use crate::table::mixed;

const PAIRS: usize = 4096;

/// The steps that a thread remembers.
#[repr(C)]
pub(crate) struct Steps {
    pairs: [[AtomicU64; 4]; PAIRS],
}

impl Steps {
    /// The stack with one more frame on top, which `define` knows unless it is remembered.
    #[inline]
    pub(super) fn on(&self, below: u32, location: u32, define: impl FnOnce() -> u32) -> u32 {
        // Locations start with 1.
        let step = u64::from(below) << 32 | u64::from(location);
        let [known, stack, older, older_stack] = &self.pairs[mixed(step) as usize % PAIRS];
        if known.load(Relaxed) == step {
            return stack.load(Relaxed) as u32;
        }
        if older.load(Relaxed) == step {
            return older_stack.load(Relaxed) as u32;
        }
        let defined = define();
        // 0 is no stack: none was to be had just now.
        if defined != 0 {
            let former = (known.load(Relaxed), stack.load(Relaxed));
            for (step_at, stack_at, (step, stack)) in
                [(older, older_stack, former), (known, stack, (step, u64::from(defined)))]
            {
                step_at.store(0, Relaxed);
                // Release: a hook that is left in the middle leaves no step with another one's stack.
                stack_at.store(stack, Release);
                step_at.store(step, Release);
            }
        }
        defined
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_step_is_remembered_unless_there_was_none() {
        let steps = Steps { pairs: [const { [const { AtomicU64::new(0) }; 4] }; PAIRS] };
        assert_eq!(steps.on(1, 2, || 0), 0);
        assert_eq!(steps.on(1, 2, || 3), 3);
        assert_eq!(steps.on(1, 2, || panic!("known")), 3);
        assert_eq!(steps.on(2, 1, || 4), 4);
        // However many there are, each is its own.
        for below in 1..20_000 {
            assert_eq!(steps.on(below, 7, || below + 1), below + 1);
        }
        assert_eq!(steps.on(19_999, 7, || panic!("known")), 20_000);
    }
}
