//! Which pages are resident, asked for a stretch at a time: extents are small and lie side by side.

use slackwater_base::{Addr, PAGE_SIZE, Range, Resident};
use slackwater_memory::{Memory, MemoryError, MemoryExt, Page};

/// Bytes of address space asked about at a time.
const STRETCH_BYTES: u64 = 8 << 20;

/// The page states around where the walk is.
pub(super) struct Residency<'a> {
    memory: &'a dyn Memory,
    known: Range,
    pages: Vec<Page>,
}

impl<'a> Residency<'a> {
    pub(super) fn new(memory: &'a dyn Memory) -> Self {
        Self { memory, known: Range::default(), pages: Vec::new() }
    }

    /// Resident bytes of `range`, counted to the byte at its ends.
    pub(super) fn weigh(&mut self, range: Range) -> Result<Resident, MemoryError> {
        // Of large ranges, which may be reserved and empty, the kernel is asked for the pages there are.
        if range.len() > STRETCH_BYTES {
            return self.memory.resident(range);
        }
        self.cover(range)?;
        let mut total = Resident::default();
        let mut from = range.start;
        while from < range.end {
            let to = (from.align_down(PAGE_SIZE) + PAGE_SIZE).min(range.end);
            total += self.page(from).weigh(to.offset_from(from));
            from = to;
        }
        Ok(total)
    }

    /// The state that all pages of `range` have in common, as far as weighing goes; `None` when some
    /// are resident and some are not, or only some have been counted elsewhere.
    pub(super) fn uniform(&mut self, range: Range) -> Result<Option<Page>, MemoryError> {
        self.cover(range)?;
        let first = self.page(range.start);
        let mut addr = range.start;
        while addr < range.end {
            if self.page(addr).weigh(1) != first.weigh(1) {
                return Ok(None);
            }
            addr = addr + PAGE_SIZE;
        }
        Ok(Some(first))
    }

    fn page(&self, addr: Addr) -> Page {
        let index = addr.offset_from(self.known.start) / PAGE_SIZE;
        self.pages.get(index as usize).copied().unwrap_or_default()
    }

    fn cover(&mut self, range: Range) -> Result<(), MemoryError> {
        if !self.known.covers(range) {
            let start = range.start.align_down(PAGE_SIZE);
            self.known = Range::sized(start, STRETCH_BYTES.max(range.len() + PAGE_SIZE)).align_out(PAGE_SIZE);
            self.pages.clear();
            self.memory.pages(self.known, &mut self.pages)?;
        }
        Ok(())
    }
}
