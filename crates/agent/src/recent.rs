//! Stacks that a thread found lately, so that a line of code which comes back need not be looked up.
//!
//! Invariant: a stack is known by all that it is: its newest frame's code, with its mark, and place, and the
//! stack that this stands on. What takes an entry's place is forgotten, never mistaken.

use core::sync::atomic::AtomicU64;
use core::sync::atomic::Ordering::Relaxed;

use crate::room::Seen;

/// Stacks that are remembered at most: of deep recursion, each call at two of its lines.
pub(crate) const STACKS: usize = 4096;

/// A stack.
#[repr(C)]
#[derive(Default)]
pub(crate) struct Recent {
    code: AtomicU64,
    instruction: AtomicU64,
    ground_and_mark: AtomicU64,
    /// 0 for none.
    stack: AtomicU64,
}

/// The entry for the stack with this frame on top of `ground`.
#[inline]
pub(crate) fn of<'a>(all: &'a [Recent; STACKS], seen: &Seen, ground: u32) -> &'a Recent {
    let key = seen.instruction.wrapping_add(seen.code >> 3).wrapping_add(u64::from(ground) << 32);
    // The highest bits: stacks are numbered in steps, of which the lower ones know too few.
    &all[(key.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> (u64::BITS - STACKS.ilog2())) as usize % STACKS]
}

impl Recent {
    /// The stack with this frame on top of `ground`, as it is remembered or as `define` says.
    #[inline]
    pub(crate) fn stack(&self, seen: &Seen, ground: u32, define: impl FnOnce() -> u32) -> u32 {
        let ground_and_mark = u64::from(ground) << 32 | u64::from(seen.mark);
        let is_it = self.code.load(Relaxed) == seen.code
            && self.instruction.load(Relaxed) == seen.instruction
            && self.ground_and_mark.load(Relaxed) == ground_and_mark;
        let known = self.stack.load(Relaxed) as u32;
        if is_it && known != 0 {
            return known;
        }
        let stack = define();
        self.code.store(seen.code, Relaxed);
        self.instruction.store(seen.instruction, Relaxed);
        self.ground_and_mark.store(ground_and_mark, Relaxed);
        self.stack.store(u64::from(stack), Relaxed);
        stack
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SEEN: Seen = Seen { frame: 0x1000, instruction: 8, code: 0x2000, mark: 3 };

    #[test]
    fn a_stack_is_found_again_by_all_that_it_is() {
        let recent = Recent::default();
        assert_eq!(recent.stack(&SEEN, 5, || 7), 7);
        // Another frame, but the same line of the same callers.
        assert_eq!(recent.stack(&Seen { frame: 0x1100, ..SEEN }, 5, || panic!("known")), 7);
        let others = [
            (Seen { instruction: 10, ..SEEN }, 5),
            (Seen { code: 0x2008, ..SEEN }, 5),
            (Seen { mark: 4, ..SEEN }, 5),
            (SEEN, 6),
        ];
        for (idx, (seen, ground)) in others.into_iter().enumerate() {
            let stack = 10 + idx as u32;
            assert_eq!(recent.stack(&seen, ground, || stack), stack);
            assert_eq!(recent.stack(&SEEN, 5, || 7), 7);
        }
    }

    #[test]
    fn a_stack_that_found_no_number_is_asked_for_again() {
        let recent = Recent::default();
        assert_eq!(recent.stack(&SEEN, 5, || 0), 0);
        assert_eq!(recent.stack(&SEEN, 5, || 9), 9);
    }
}
