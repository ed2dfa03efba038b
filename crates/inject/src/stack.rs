//! The bounds of a thread's stack, and the words on it.
//!
//! Invariant: the lower bound is that of the stack itself, not of the mapping it happens to lie in:
//! neighbouring stacks share a mapping, and stacks of coroutines lie inside heaps. A stack whose
//! bounds are not known is not written to.

use std::cell::RefCell;
use std::fs::File;

use slackwater_base::{Addr, PAGE_SIZE, Range};
use slackwater_memory::{Kind, Mapping};

use crate::regs::Registers;
use crate::sys;

/// `struct pthread` is shorter than this in every glibc (2304 bytes in 2.36).
const THREAD_LEN: u64 = 4096;
/// The thread's control block lies at most this far below the end of its stack.
const ABOVE_THREAD: u64 = 64 << 10;

/// The stack that the thread runs on: from its lowest usable address to its end.
pub(crate) fn bounds(registers: &Registers, mapping: &Mapping, memory: &File) -> Option<Range> {
    if !mapping.access.write || !mapping.range.contains(registers.sp()) {
        return None;
    }
    if mapping.kind == Kind::Stack {
        return Some(mapping.range);
    }
    // A thread's control block lies at the top of its stack and says where the stack begins.
    let control = Addr(registers.fs_base);
    let len = mapping.range.end.offset_from(control).min(THREAD_LEN);
    if !mapping.range.contains(control) || control < registers.sp() || len < 32 {
        return None;
    }
    let mut bytes = vec![0; len as usize];
    sys::read_memory(memory, control, &mut bytes).ok()?;
    let words: Vec<u64> = bytes.as_chunks().0.iter().map(|word| u64::from_le_bytes(*word)).collect();
    block(&words, registers.sp(), control, mapping.range)
}

/// Finds `stackblock`, `stackblock_size`, `guardsize` among the words of `struct pthread`: their
/// place differs from version to version, but nothing else there spans the stack pointer and ends
/// just above the control block.
fn block(words: &[u64], sp: Addr, control: Addr, mapped: Range) -> Option<Range> {
    words.windows(3).find_map(|triple| {
        let (start, size, guard) = (Addr(triple[0]), triple[1], triple[2]);
        let end = start.checked_add(size)?;
        let spans = start <= sp && control < end && end.offset_from(control) <= ABOVE_THREAD;
        // The guard lies at the low end and is part of the block, if not of the mapping.
        let low = start.checked_add(guard).filter(|_| guard < size)?;
        let usable = Range::new(low, end);
        (spans && low <= sp && mapped.covers(usable)).then_some(usable)
    })
}

/// Words of a stack, read in pieces as the walk gets there.
pub(crate) struct Words<'a> {
    memory: &'a File,
    stack: Range,
    pieces: RefCell<Vec<(Addr, Vec<u8>)>>,
}

/// Bytes read at once.
const PIECE: u64 = 16 << 10;

impl<'a> Words<'a> {
    /// Of `stack`, from the stack pointer on.
    pub(crate) fn new(memory: &'a File, sp: Addr, end: Addr) -> Self {
        Self { memory, stack: Range::new(sp, end), pieces: RefCell::default() }
    }

    /// The word at `addr`, if it lies on the stack.
    pub(crate) fn word(&self, addr: Addr) -> Option<u64> {
        if !self.stack.covers(Range::sized(addr, 8)) {
            return None;
        }
        let mut pieces = self.pieces.borrow_mut();
        let find = |pieces: &[(Addr, Vec<u8>)]| {
            pieces.iter().rev().find_map(|(start, bytes)| {
                let from = usize::try_from(addr.get().checked_sub(start.get())?).ok()?;
                bytes.get(from..from + 8)?.first_chunk().copied().map(u64::from_le_bytes)
            })
        };
        if let Some(word) = find(&pieces) {
            return Some(word);
        }
        let mut bytes = vec![0; PIECE.min(self.stack.end.offset_from(addr)) as usize];
        sys::read_memory(self.memory, addr, &mut bytes).ok()?;
        pieces.push((addr, bytes));
        find(&pieces)
    }
}

/// Whether every page of `range` can be read: a guard page inside it cannot.
pub(crate) fn is_accessible(memory: &File, range: Range) -> bool {
    let mut page = range.start.align_down(PAGE_SIZE);
    while page < range.end {
        if sys::read_memory(memory, page, &mut [0]).is_err() {
            return false;
        }
        page = page + PAGE_SIZE;
    }
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_the_block_among_other_words() {
        let sp = Addr(0x7f00_0080_0000);
        let control = Addr(0x7f00_0090_0000);
        let start = 0x7f00_0010_0000;
        let size = control.get() + 0x900 - start;
        let check = |words: &[u64], expected: Option<Range>| {
            let mapped = Range::new(Addr(start + 0x1000), Addr(start + size));
            assert_eq!(block(words, sp, control, mapped), expected, "{words:x?}");
        };
        check(
            &[1, control.get(), 0, start, size, 0x1000, 0x1000],
            Some(Range::new(Addr(start + 0x1000), Addr(start + size))),
        );
        // Another thread's block, one that ends far above, one that is all guard, one that begins
        // outside the mapping.
        check(&[control.get() + 0x1000, size, 0], None);
        check(&[start, size + (1 << 20), 0], None);
        check(&[start, size, size], None);
        check(&[start - 0x2000, size + 0x2000, 0x1000], None);
        check(&[u64::MAX, u64::MAX, u64::MAX], None);
    }
}
