//! Single words of the target, read by the page and kept for a while: lists are followed here.
//!
//! Invariant: a fixed number of pages is kept, whatever the length of the list.

use std::cell::RefCell;

use slackwater_base::{Addr, PAGE_SIZE};
use slackwater_memory::{Memory, MemoryError};

const N_SLOTS: usize = 512;

/// Pages of the target, as they were when they were first asked for.
pub(super) struct Pages<'a> {
    memory: &'a dyn Memory,
    slots: RefCell<Vec<Option<Slot>>>,
}

#[derive(Clone)]
struct Slot {
    number: u64,
    bytes: Box<[u8]>,
}

impl<'a> Pages<'a> {
    pub(super) fn new(memory: &'a dyn Memory) -> Self {
        Self { memory, slots: RefCell::new(vec![None; N_SLOTS]) }
    }

    /// The word at `addr`, a multiple of 8.
    pub(super) fn word(&self, addr: Addr) -> Result<u64, MemoryError> {
        let number = addr.0 / PAGE_SIZE;
        let mut slots = self.slots.borrow_mut();
        let slot = &mut slots[number as usize % N_SLOTS];
        if slot.as_ref().is_none_or(|kept| kept.number != number) {
            let mut bytes = vec![0; PAGE_SIZE as usize].into_boxed_slice();
            self.memory.read(addr.align_down(PAGE_SIZE), &mut bytes)?;
            *slot = Some(Slot { number, bytes });
        }
        let offset = (addr.0 % PAGE_SIZE) as usize;
        let word = slot.as_ref().and_then(|kept| kept.bytes.get(offset..)?.first_chunk());
        word.copied().map(u64::from_le_bytes).ok_or(MemoryError::Unmapped(addr))
    }
}
