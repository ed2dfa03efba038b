//! A window that follows the walk over one extent.
//!
//! Its length adapts: where chunks are large, little is read around each header.

use slackwater_base::{Addr, PAGE_SIZE, Range, Resident};
use slackwater_memory::{Memory, MemoryError, MemoryExt, WINDOW_BYTES, Window};

use super::broken::Broken;

const MIN_BYTES: u64 = 4 * PAGE_SIZE;

/// A window that follows the walk over one extent.
pub(super) struct View<'a> {
    memory: &'a dyn Memory,
    window: Window,
    end: Addr,
    bytes: u64,
}

impl<'a> View<'a> {
    pub(super) fn new(memory: &'a dyn Memory) -> Self {
        Self { memory, window: Window::new(), end: Addr::default(), bytes: WINDOW_BYTES }
    }

    /// Makes ready for an extent that ends at `end`.
    pub(super) const fn begin(&mut self, end: Addr) {
        self.end = end;
    }

    /// Moves the window so that it starts with the page of `at`. `n_chunks` is how many chunks the
    /// walk found in it where it was.
    pub(super) fn load(&mut self, at: Addr, n_chunks: u64) -> Result<(), MemoryError> {
        self.bytes = if n_chunks < 8 { (self.bytes / 4).max(MIN_BYTES) } else { WINDOW_BYTES };
        let start = at.align_down(PAGE_SIZE);
        let range = Range::sized(start, self.bytes).intersect(Range::new(start, self.end));
        self.memory.window(range, &mut self.window)
    }

    /// Whether the header of a chunk at `addr`, links included, lies in the window or behind the
    /// extent's end.
    pub(super) fn has_header(&self, addr: Addr) -> bool {
        let range = self.window.range();
        range.contains(addr) && (addr + 32 <= range.end || range.end >= self.end)
    }

    /// The word at `addr`, which lies in the window.
    pub(super) fn word(&self, addr: Addr) -> Result<u64, Broken> {
        self.window.word(addr).ok_or_else(|| {
            if self.window.page(addr).is_swapped() {
                Broken::Memory(MemoryError::Swapped(addr))
            } else {
                Broken::torn(addr, "a chunk header in a page that is not there")
            }
        })
    }

    /// Resident bytes of `range`, in the window or not.
    pub(super) fn resident(&self, range: Range) -> Result<Resident, MemoryError> {
        if range.start.align_down(PAGE_SIZE) + PAGE_SIZE >= range.end
            && self.window.range().contains(range.start)
        {
            return Ok(self.window.page(range.start).weigh(range.len()));
        }
        if self.window.range().covers(range) {
            return Ok(self.window.resident(range));
        }
        self.memory.resident(range)
    }
}
