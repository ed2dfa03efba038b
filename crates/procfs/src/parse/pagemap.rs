//! /proc/PID/pagemap: one 64-bit entry per page.

use slackwater_memory::Page;

/// One entry of pagemap. Bits as in the kernel's Documentation/admin-guide/mm/pagemap.rst.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct Entry(pub u64);

const FRAME_MASK: u64 = (1 << 55) - 1;
const EXCLUSIVE: u64 = 1 << 56;
const GUARD: u64 = 1 << 58;
const FILE: u64 = 1 << 61;
const SWAPPED: u64 = 1 << 62;
const PRESENT: u64 = 1 << 63;

impl Entry {
    /// Whether a frame is mapped here, were it the zero page or a device's.
    pub const fn is_present(self) -> bool {
        self.0 & PRESENT != 0
    }

    /// Whether the page is file-backed or shared memory.
    pub const fn is_file(self) -> bool {
        self.0 & FILE != 0
    }

    /// Whether only this process maps the frame.
    pub const fn is_exclusive(self) -> bool {
        self.0 & EXCLUSIVE != 0
    }

    /// Whether the page is on swap. Guard pages (`MADV_GUARD_INSTALL`) are kept in page tables like
    /// swap entries, and are not.
    pub const fn is_swapped(self) -> bool {
        self.0 & SWAPPED != 0 && self.0 & GUARD == 0
    }

    /// The frame number; `None` when no frame is mapped, or the kernel does not show us its number.
    pub const fn frame(self) -> Option<u64> {
        let frame = self.0 & FRAME_MASK;
        if self.is_present() && frame != 0 { Some(frame) } else { None }
    }

    /// Present, neither file-backed nor exclusive: an anonymous page shared after fork, the shared
    /// zero page, or memory of a device. The entry alone cannot tell which.
    pub const fn is_ambiguous(self) -> bool {
        self.0 & (PRESENT | FILE | EXCLUSIVE) == PRESENT
    }

    /// The entry as a page state, taking it for a page that the kernel counts.
    pub const fn page(self) -> Page {
        if self.is_present() {
            let page = if self.is_file() { Page::RESIDENT.with(Page::FILE) } else { Page::RESIDENT };
            if self.is_exclusive() { page.with(Page::EXCLUSIVE) } else { page }
        } else if self.is_swapped() {
            Page::SWAPPED
        } else {
            Page::ABSENT
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn states_and_frames() {
        let check = |entry: u64, page, frame| {
            assert_eq!((Entry(entry).page(), Entry(entry).frame()), (page, frame), "{entry:#x}");
        };
        check(0, Page::ABSENT, None);
        check(0x8100_0000_0000_1234, Page::RESIDENT.with(Page::EXCLUSIVE), Some(0x1234));
        check(0xa000_0000_0000_0000, Page::RESIDENT.with(Page::FILE), None);
        check(0x4000_0000_0000_0123, Page::SWAPPED, None);
        check(0x4400_0000_0000_0123, Page::ABSENT, None);
        assert!(Entry(0x8000_0000_0000_0001).is_ambiguous());
        assert!(!Entry(0xa000_0000_0000_0001).is_ambiguous());
    }
}
