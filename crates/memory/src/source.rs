//! The traits that stand between the walkers and the target.

use std::time::Duration;

use slackwater_base::{Addr, PAGE_SIZE, Range, Resident};

use crate::{FileId, Mapping, MemoryError, Page, Window};

/// Someone else's memory. See the crate's invariant: no method changes the target.
pub trait Memory {
    /// The mappings, sorted by address and disjoint, as they were when this value was made or last
    /// refreshed.
    fn mappings(&self) -> &[Mapping];

    /// Appends to `pages` the state of every page that `range` touches, in order.
    ///
    /// # Errors
    /// [`MemoryError::Denied`] or [`MemoryError::Gone`]; `pages` is then as it was. Unmapped pages
    /// are [`Page::ABSENT`], not an error.
    fn pages(&self, range: Range, pages: &mut Vec<Page>) -> Result<(), MemoryError>;

    /// The parts of `range`, ascending and disjoint, outside which every page is [`Page::ABSENT`]: a
    /// cheap first look at large ranges that may be mostly empty. At worst `range` itself.
    ///
    /// # Errors
    /// As [`Memory::pages`].
    fn occupied(&self, range: Range) -> Result<Vec<Range>, MemoryError> {
        Ok(vec![range])
    }

    /// Copies the bytes at `addr` into `buf`: zeros for absent anonymous pages, the file's bytes
    /// for absent file pages.
    ///
    /// # Errors
    /// `buf` then holds unspecified bytes.
    fn read(&self, addr: Addr, buf: &mut [u8]) -> Result<(), MemoryError>;

    /// Loads the window that covers `range` (at most [`crate::WINDOW_BYTES`]): the state of its
    /// pages and the bytes of the resident ones. Those of other pages are not shown.
    ///
    /// # Errors
    /// As [`Memory::pages`]. A page that vanishes in between is shown as absent.
    fn window(&self, range: Range, window: &mut Window) -> Result<(), MemoryError> {
        window.fill_from(self, range)
    }

    /// Lets the target run for `pause`, for a reader that caught it in the middle of a change. Memory
    /// that never changes has nothing to wait for.
    fn let_run(&self, _pause: Duration) {}
}

/// Reads of plain numbers, on every [`Memory`]. Little-endian, as all supported targets are.
pub trait MemoryExt: Memory {
    /// The 8 bytes at `addr`.
    ///
    /// # Errors
    /// As [`Memory::read`].
    fn read_u64(&self, addr: Addr) -> Result<u64, MemoryError> {
        let mut bytes = [0; 8];
        self.read(addr, &mut bytes)?;
        Ok(u64::from_le_bytes(bytes))
    }

    /// The 4 bytes at `addr`.
    ///
    /// # Errors
    /// As [`Memory::read`].
    fn read_u32(&self, addr: Addr) -> Result<u32, MemoryError> {
        let mut bytes = [0; 4];
        self.read(addr, &mut bytes)?;
        Ok(u32::from_le_bytes(bytes))
    }

    /// The pointer at `addr`.
    ///
    /// # Errors
    /// As [`Memory::read`].
    fn read_addr(&self, addr: Addr) -> Result<Addr, MemoryError> {
        self.read_u64(addr).map(Addr)
    }

    /// `count` consecutive 8-byte words from `addr`.
    ///
    /// # Errors
    /// As [`Memory::read`].
    fn read_words(&self, addr: Addr, count: usize) -> Result<Vec<u64>, MemoryError> {
        let mut bytes = vec![0; count * 8];
        self.read(addr, &mut bytes)?;
        Ok(bytes.as_chunks().0.iter().map(|word| u64::from_le_bytes(*word)).collect())
    }

    /// The mapping that holds `addr`.
    fn mapping_at(&self, addr: Addr) -> Option<&Mapping> {
        let mappings = self.mappings();
        let after = mappings.partition_point(|mapping| mapping.range.start <= addr);
        mappings[..after].last().filter(|mapping| mapping.range.contains(addr))
    }

    /// Resident bytes of `range`, counted to the byte at its ends.
    ///
    /// # Errors
    /// As [`Memory::pages`].
    fn resident(&self, range: Range) -> Result<Resident, MemoryError> {
        let mut total = Resident::default();
        let mut pages = Vec::new();
        for range in self.occupied(range)? {
            let mut from = range.start;
            while from < range.end {
                let part = Range::new(from, range.end.min(from.align_down(PAGE_SIZE) + crate::WINDOW_BYTES));
                pages.clear();
                self.pages(part, &mut pages)?;
                total += crate::window::weigh(&pages, part.start.align_down(PAGE_SIZE), part);
                from = part.end;
            }
        }
        Ok(total)
    }
}

impl<M: Memory + ?Sized> MemoryExt for M {}

/// Symbols of the files that the target maps.
pub trait Symbols {
    /// Where `name` lies in the target: its address and size as the file's dynamic or static symbol
    /// table gives them. `None` when the file has no such symbol, or cannot be read.
    fn symbol(&self, file: FileId, name: &str) -> Option<Range>;
}

/// How the ELF files that the target maps are bound to each other by its loader.
pub trait Bindings {
    /// Where `name` lies in the target, if `file` offers it to other files: by its dynamic symbol table
    /// alone, the only one that a loader reads.
    fn offered(&self, file: FileId, name: &str) -> Option<Range>;

    /// The words of the target in which `file` keeps where the loader found each of `names`, with the
    /// position of the name: linkage table, and pointers in its data. A word may hold an address in
    /// `file` itself as long as the function has not been called. Empty when the file imports none of
    /// them, or cannot be read.
    fn slots(&self, file: FileId, names: &[&str]) -> Vec<(usize, Addr)>;
}
