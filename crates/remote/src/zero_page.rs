//! The kernel's shared zero pages: mapped by reading untouched anonymous memory, in nobody's RSS.
//!
//! pagemap shows them as present. Where frame numbers are shown they are recognised by theirs,
//! which we learn by reading untouched memory of our own.

use std::fs::File;
use std::os::unix::fs::FileExt;

use slackwater_base::{Addr, PAGE_SIZE};
use slackwater_procfs::Entry;

use crate::sys::Untouched;

/// Pages in a huge page.
const HUGE_PAGES: u64 = 512;
const HUGE_BYTES: u64 = HUGE_PAGES * PAGE_SIZE;

/// The frame numbers of the zero pages; none where frame numbers are hidden from us.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub(crate) struct ZeroPages {
    small: Option<u64>,
    huge: Option<u64>,
}

impl ZeroPages {
    /// Learns them from our own page tables.
    pub(crate) fn find() -> Self {
        Self::probe().unwrap_or_default()
    }

    /// Whether frame numbers are visible at all.
    pub(crate) const fn are_known(self) -> bool {
        self.small.is_some()
    }

    /// Whether `frame` is one of them.
    pub(crate) fn contain(self, frame: u64) -> bool {
        Some(frame) == self.small || self.huge.is_some_and(|huge| (huge..huge + HUGE_PAGES).contains(&frame))
    }

    fn probe() -> Option<Self> {
        let memory = File::open("/proc/self/mem").ok()?;
        let pagemap = File::open("/proc/self/pagemap").ok()?;
        let frame = |addr: Addr| {
            let mut entry = [0; 8];
            pagemap.read_exact_at(&mut entry, addr.get() / PAGE_SIZE * 8).ok()?;
            Entry(u64::from_le_bytes(entry)).frame()
        };
        let touch = |addr: Addr| memory.read_exact_at(&mut [0], addr.get()).ok();

        // Too short to hold a whole huge page at any alignment: a small zero page.
        let short = Untouched::map(PAGE_SIZE as usize).ok()?;
        touch(short.range().start)?;
        let small = frame(short.range().start)?;

        // Long enough to hold one. The kernel keeps the huge zero page for as long as a process that
        // has touched it lives, so its frames do not change under us.
        let huge = Untouched::map(2 * HUGE_BYTES as usize).ok().and_then(|long| {
            let start = long.range().start.align_up(HUGE_BYTES);
            touch(start)?;
            let (first, second) = (frame(start)?, frame(start + PAGE_SIZE)?);
            (first != small && second == first + 1).then_some(first)
        });
        Some(Self { small: Some(small), huge })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_are_found_where_frames_are_visible() {
        let zero = ZeroPages::find();
        if !zero.are_known() {
            eprintln!("frame numbers are hidden from this user: nothing to check");
            return;
        }
        let huge = zero.huge.expect("a kernel with huge pages");
        assert!(zero.contain(huge) && zero.contain(huge + 511) && !zero.contain(huge + 512));
    }
}
