//! Mappings that are there, so that it is known of one whether it was there all the time.
//!
//! CPython keeps the frames of a thread in pieces, each a mapping, and unmaps a piece when its first frame
//! ends. So that frame has not ended since its piece was last seen with the same mark.
//!
//! ```text
//! word   page number (35 bits)  count of changes to this word (29 bits)
//! ```
//!
//! Invariant: a mark is never given twice to different mappings at one address. One that is not known,
//! because another one took its word, is only not relied on.

use core::sync::atomic::AtomicU64;
use core::sync::atomic::Ordering::Relaxed;

use crate::table::mixed;

/// Mappings that are remembered.
pub(crate) const WORDS: usize = 1024;

const PAGE_BITS: u32 = 12;
const COUNT_BITS: u32 = 29;
const COUNT_MASK: u64 = (1 << COUNT_BITS) - 1;

/// The mappings that were seen to be made.
#[derive(Clone, Copy)]
pub(crate) struct Pieces {
    words: &'static [AtomicU64],
}

impl Pieces {
    pub(crate) fn new(words: &'static [AtomicU64]) -> Self {
        Self { words }
    }

    /// After it was mapped.
    pub(crate) fn mapped(self, addr: u64) {
        self.change(addr, |_| Some(addr >> PAGE_BITS));
    }

    /// Before it is unmapped.
    pub(crate) fn unmapped(self, addr: u64) {
        self.change(addr, |page| (page == addr >> PAGE_BITS).then_some(0));
    }

    fn change(self, addr: u64, page: impl Fn(u64) -> Option<u64>) {
        let Some(word) = self.word(addr) else { return };
        let _ = word.fetch_update(Relaxed, Relaxed, |known| {
            let count = known.wrapping_add(1) & COUNT_MASK;
            Some(page(known >> COUNT_BITS)? << COUNT_BITS | count)
        });
    }

    /// The mark of the mapping at `addr`; 0 when it is not known.
    #[inline]
    pub(crate) fn mark(self, addr: u64) -> u64 {
        let known = self.word(addr).map_or(0, |word| word.load(Relaxed));
        if known >> COUNT_BITS == addr >> PAGE_BITS { known } else { 0 }
    }

    #[inline]
    fn word(self, addr: u64) -> Option<&'static AtomicU64> {
        self.words.get(mixed(addr >> PAGE_BITS) as usize & (WORDS - 1))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mark_changes_with_the_mapping_and_not_with_others() {
        let words: Vec<_> = std::iter::repeat_with(|| AtomicU64::new(0)).take(WORDS).collect();
        let pieces = Pieces::new(words.leak());
        let addr = 0x7f12_3456_7000;
        assert_eq!(pieces.mark(addr), 0);
        pieces.mapped(addr);
        let first = pieces.mark(addr);
        assert_ne!(first, 0);
        for other in 1..100 {
            pieces.unmapped(addr + other * 4096);
        }
        assert_eq!(pieces.mark(addr), first);
        pieces.unmapped(addr);
        assert_eq!(pieces.mark(addr), 0);
        pieces.mapped(addr);
        assert!(![0, first].contains(&pieces.mark(addr)));
    }
}
