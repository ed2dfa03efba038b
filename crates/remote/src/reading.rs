//! The target's bytes and page states, as the walkers see them.
//!
//! Invariant: the state of a page is taken before it is read, and decides how. A page that is not
//! mapped is never read from the target; one that is shared after a fork is never pinned.

use std::time::Duration;

use rustix::io::Errno;
use slackwater_base::{Addr, PAGE_SIZE, Range};
use slackwater_memory::{Kind, Mapping, Memory, MemoryError, Page, WINDOW_BYTES, Window};
use slackwater_procfs::Entry;

use crate::Live;
use crate::page_states::BATCH_PAGES;
use crate::transfer::{Pages, Progress};

impl Live {
    /// Copies the bytes at `addr` within one batch of pages.
    fn read_batch(&self, addr: Addr, buffer: &mut [u8]) -> Result<(), MemoryError> {
        let first = addr.align_down(PAGE_SIZE);
        let count =
            ((addr + buffer.len() as u64).align_up(PAGE_SIZE).offset_from(first) / PAGE_SIZE) as usize;
        let mut entries = [0; BATCH_PAGES * 8];
        let mut answered = 0;
        let mut sources = [Source::Unmapped; BATCH_PAGES];
        for (index, entry) in self.states.entries(first, count, &mut entries)?.enumerate() {
            sources[index] = self.source(first + index as u64 * PAGE_SIZE, entry);
            answered = index + 1;
        }
        if answered < count {
            self.require_alive()?;
        }
        let mut page = 0;
        for run in sources[..count].chunk_by(|one, next| one == next) {
            let from = (first + page as u64 * PAGE_SIZE).max(addr);
            page += run.len();
            let to = (first + page as u64 * PAGE_SIZE).min(addr + buffer.len() as u64);
            let part = from.offset_from(addr) as usize..to.offset_from(addr) as usize;
            self.read_run(run[0], from, addr, part, buffer)?;
        }
        Ok(())
    }

    fn read_run(
        &self,
        source: Source,
        from: Addr,
        base: Addr,
        part: std::ops::Range<usize>,
        buffer: &mut [u8],
    ) -> Result<(), MemoryError> {
        match source {
            Source::Memory(pages) => {
                let bytes = part.len();
                match self.transfer.copy(base, pages, std::slice::from_ref(&part), buffer) {
                    Progress::Done if self.transfer.goes_by_pid(pages, bytes) => self.require_alive(),
                    Progress::Done => Ok(()),
                    Progress::Stopped(_, error) => Err(error),
                }
            }
            Source::Zeros => {
                buffer[part].fill(0);
                Ok(())
            }
            Source::File(index) => {
                self.files.read(&self.process, &self.mappings[index], from, &mut buffer[part])
            }
            Source::Swapped => Err(MemoryError::Swapped(from)),
            Source::Refused => Err(MemoryError::Failed { addr: from, errno: Errno::IO.raw_os_error() }),
            Source::Unmapped => Err(MemoryError::Unmapped(from)),
        }
    }

    /// Where the bytes of one page are to be had without making the kernel map it.
    fn source(&self, addr: Addr, entry: Entry) -> Source {
        let after = self.mappings.partition_point(|mapping| mapping.range.start <= addr);
        let index = after.wrapping_sub(1);
        let mapping = self.mappings.get(index).filter(|mapping| mapping.range.contains(addr));
        let is_device = mapping.is_some_and(|mapping| self.states.may_hold_devices(mapping));
        if entry.is_present() {
            // Reading a device's memory can change the device.
            return match entry.is_ambiguous() {
                true if is_device => Source::Refused,
                true => Source::Memory(Pages::Shared),
                false => Source::Memory(Pages::Pinnable),
            };
        }
        if entry.is_swapped() {
            return Source::Swapped;
        }
        match mapping.map(|mapping| &mapping.kind) {
            None => Source::Unmapped,
            Some(Kind::Anonymous { .. } | Kind::Heap | Kind::Stack) => Source::Zeros,
            Some(Kind::File { .. } | Kind::Shmem { .. }) => Source::File(index),
            Some(Kind::Special) => Source::Refused,
        }
    }
}

/// Where the bytes of a page come from.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Source {
    /// A frame is mapped: reading it in the right way changes nothing.
    Memory(Pages),
    /// Anonymous and absent.
    Zeros,
    /// Absent, and the mapping of this index has a file.
    File(usize),
    /// On swap.
    Swapped,
    /// Mapped, and not ours to touch.
    Refused,
    /// Nothing there.
    Unmapped,
}

impl Memory for Live {
    fn mappings(&self) -> &[Mapping] {
        &self.mappings
    }

    fn let_run(&self, pause: Duration) {
        std::thread::sleep(pause);
    }

    fn pages(&self, range: Range, pages: &mut Vec<Page>) -> Result<(), MemoryError> {
        self.states.append(range.align_out(PAGE_SIZE), &self.mappings, pages)
    }

    fn occupied(&self, range: Range) -> Result<Vec<Range>, MemoryError> {
        // A few windows cost less to look at than to ask about.
        if range.len() <= 4 * WINDOW_BYTES {
            return Ok(vec![range]);
        }
        let occupied = self.states.occupied(range);
        // An address space that is gone answers like an empty one.
        self.require_alive()?;
        Ok(occupied)
    }

    fn read(&self, addr: Addr, buf: &mut [u8]) -> Result<(), MemoryError> {
        addr.checked_add(buf.len() as u64).ok_or(MemoryError::Unmapped(addr))?;
        let mut done = 0;
        while done < buf.len() {
            let from = addr + done as u64;
            let end = from.align_down(PAGE_SIZE).get().saturating_add(BATCH_PAGES as u64 * PAGE_SIZE);
            let len = ((end - from.get()) as usize).min(buf.len() - done);
            self.read_batch(from, &mut buf[done..done + len])?;
            done += len;
        }
        Ok(())
    }

    fn window(&self, range: Range, window: &mut Window) -> Result<(), MemoryError> {
        let (range, pages, bytes) = window.reset(range);
        self.states.append(range, &self.mappings, pages)?;
        let mut by_pid = false;
        for class in [Pages::Pinnable, Pages::Shared] {
            let mut from = 0;
            loop {
                let pieces = resident_pieces(pages, from, class);
                let total = pieces.iter().map(ExactSizeIterator::len).sum();
                by_pid |= self.transfer.goes_by_pid(class, total);
                let stopped = match self.transfer.copy(range.start, class, &pieces, bytes) {
                    Progress::Done => break,
                    Progress::Stopped(_, error @ (MemoryError::Denied | MemoryError::Gone)) => {
                        return Err(error);
                    }
                    Progress::Stopped(at, _) => at,
                };
                // This page went away, or cannot be read at all: shown as absent, the rest goes on.
                let page = stopped / PAGE_SIZE as usize;
                pages[page] = Page::ABSENT;
                bytes[page * PAGE_SIZE as usize..][..PAGE_SIZE as usize].fill(0);
                from = page + 1;
            }
        }
        if by_pid {
            self.require_alive()?;
        }
        Ok(())
    }
}

/// The runs of resident pages of one class from page `from` on, as byte ranges.
fn resident_pieces(pages: &[Page], from: usize, class: Pages) -> Vec<std::ops::Range<usize>> {
    let class_of = |page: &Page| match page.is_resident() {
        false => None,
        true if page.has(Page::FILE) || page.has(Page::EXCLUSIVE) => Some(Pages::Pinnable),
        true => Some(Pages::Shared),
    };
    let bytes = PAGE_SIZE as usize;
    let mut pieces = Vec::new();
    let mut at = from;
    for run in pages[from..].chunk_by(|one, next| class_of(one) == class_of(next)) {
        if class_of(&run[0]) == Some(class) {
            pieces.push(at * bytes..(at + run.len()) * bytes);
        }
        at += run.len();
    }
    pieces
}
