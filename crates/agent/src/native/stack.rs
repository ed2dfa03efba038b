//! Reading the thread's own stack.
//!
//! The end of a stack is known without asking anybody: glibc puts a thread's control block at the top of its
//! stack, also of one that the program provides, and says where the first thread's begins
//! (nptl/allocatestack.c, `__libc_stack_end`). That the pages up to there can all be read is tried once, page
//! by page, and remembered. Any other stack (of a signal's handler, of a coroutine) is tried wherever it is
//! read.
//!
//! Invariant: no read faults.
#![allow(unsafe_code)] // reading the stack

use slackwater_unwind::Memory;

use super::cache::Cache;
use crate::process::Process;
use crate::sys;

const PAGE: u64 = 4096;
/// Most bytes of a stack that are tried in advance.
const TRIED_BYTES: u64 = 16 << 20;

/// The stack of this thread.
pub(super) struct Stack {
    known: Known,
    /// A page that could be read.
    tried: u64,
}

/// The part of it that is known to be readable.
#[derive(Clone, Copy)]
pub(super) struct Known {
    low: u64,
    n_bytes: u64,
}

impl Known {
    fn new(low: u64, high: u64) -> Self {
        Self { low, n_bytes: high.saturating_sub(low) }
    }

    /// The eight bytes at `addr`, if they are in it.
    #[inline(always)]
    pub(super) fn word(self, addr: u64) -> Option<u64> {
        let is_in_it = addr.wrapping_sub(self.low) < self.n_bytes && addr.is_multiple_of(8);
        // SAFETY: within pages of this thread's own stack, all of which could be read; they stay as long as
        // the frames on them. The end is page-aligned or 8 bytes below a control block.
        is_in_it.then(|| unsafe { sys::read_u64(addr) })
    }
}

impl Stack {
    /// From the stack pointer `sp` on.
    #[inline]
    pub(super) fn new(process: &Process, cache: &Cache, sp: u64) -> Self {
        let (low, high) = readable(process, cache, sp).unwrap_or_default();
        Self { known: Known::new(low, high), tried: 0 }
    }

    /// The part that need not be tried.
    #[inline]
    pub(super) fn known(&self) -> Known {
        self.known
    }
}

/// Where the stack of the first thread begins; 0 if the loader does not say. Asks the loader: for the
/// constructor only.
pub(crate) fn end_of_first() -> u64 {
    sys::global_symbol(c"__libc_stack_end").and_then(|addr| sys::read_u64_carefully(addr as u64)).unwrap_or(0)
}

#[cfg(test)]
impl Stack {
    /// Of these words, wherever they are.
    pub(super) fn of(words: &[u64]) -> Self {
        let range = words.as_ptr_range();
        Self { known: Known::new(range.start as u64, range.end as u64), tried: 0 }
    }
}

impl Memory for Stack {
    #[inline]
    fn word(&mut self, addr: u64) -> Option<u64> {
        self.known.word(addr).or_else(|| self.try_word(addr))
    }
}

impl Stack {
    #[cold]
    fn try_word(&mut self, addr: u64) -> Option<u64> {
        if !addr.is_multiple_of(8) {
            return None;
        }
        let page = addr / PAGE;
        if page != self.tried {
            if !sys::is_readable(addr) {
                return None;
            }
            self.tried = page;
        }
        // SAFETY: its page could be read a moment ago, and holds frames of this thread.
        Some(unsafe { sys::read_u64(addr) })
    }
}

/// The part of the stack, with `sp` in it, that is known to be readable.
#[inline]
fn readable(process: &Process, cache: &Cache, sp: u64) -> Option<(u64, u64)> {
    let (low, high) = cache.stack();
    if low <= sp && sp < high {
        return Some((low, high));
    }
    extend(process, cache, sp)
}

#[cold]
fn extend(process: &Process, cache: &Cache, sp: u64) -> Option<(u64, u64)> {
    let from = sp & !(PAGE - 1);
    let (low, high) = cache.stack();
    let near = |end: u64| end.checked_sub(sp).is_some_and(|bytes| bytes <= TRIED_BYTES);
    let (until, end) = if high > sp && near(low) {
        (low, high)
    } else {
        let end = [sys::thread_pointer(), process.stack_end()].into_iter().find(|&end| near(end))?;
        (end, end)
    };
    let mut page = from;
    while page < until {
        if !sys::is_readable(page) {
            return None;
        }
        page += PAGE;
    }
    cache.set_stack(from, end & !7);
    Some((from, end & !7))
}
