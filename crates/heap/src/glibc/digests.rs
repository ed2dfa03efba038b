//! What changed between two passes over an arena, by stretches of 64 KiB.
//!
//! Each stretch keeps a sum over the headers of the chunks that start in it, and how far the last
//! of them reaches. A stretch whose sum is the same in two passes did not change in between; the
//! others bound what may be in the wrong class.

use slackwater_base::{Addr, Range};

use super::links::mix;

const STRETCH_BYTES: u64 = 64 << 10;

#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
struct Stretch {
    sum: u64,
    reach: u64,
}

/// Sums over the chunk headers of each stretch of an arena.
#[derive(Clone, Default, Debug)]
pub(super) struct Digests {
    stretches: Vec<Stretch>,
    base: usize,
    start: Addr,
}

/// A moment to go back to.
#[derive(Clone, Copy, Debug)]
pub(super) struct Mark {
    len: usize,
    last: Stretch,
}

impl Digests {
    /// Begins a new extent.
    pub(super) fn begin(&mut self, range: Range) {
        self.base = self.stretches.len();
        self.start = range.start;
    }

    /// Enters the header `head` of the chunk from `at` to `next`.
    pub(super) fn add(&mut self, at: Addr, next: Addr, head: u64) {
        let offset = at.offset_from(self.start);
        let index = self.base + (offset / STRETCH_BYTES) as usize;
        if index >= self.stretches.len() {
            self.stretches.resize(index + 1, Stretch::default());
        }
        let stretch = &mut self.stretches[index];
        stretch.sum = stretch.sum.wrapping_add(mix(at.0, head));
        stretch.reach = next.offset_from(self.start) - offset / STRETCH_BYTES * STRETCH_BYTES;
    }

    pub(super) fn mark(&self) -> Mark {
        Mark { len: self.stretches.len(), last: self.stretches.last().copied().unwrap_or_default() }
    }

    /// Forgets what was entered since `mark`.
    pub(super) fn rewind(&mut self, mark: Mark) {
        self.stretches.truncate(mark.len);
        if let Some(last) = self.stretches.last_mut() {
            *last = mark.last;
        }
    }

    /// At most so many bytes lie in chunks that were not the same in both passes.
    pub(super) fn differing_bytes(&self, other: &Self) -> u64 {
        let len = self.stretches.len().max(other.stretches.len());
        let at = |digests: &Self, index| digests.stretches.get(index).copied().unwrap_or_default();
        let stretches = (0..len).map(|index| (at(self, index), at(other, index)));
        stretches
            .filter(|(one, two)| one != two)
            .map(|(one, two)| one.reach.max(two.reach).max(STRETCH_BYTES))
            .fold(0, u64::saturating_add)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_changed_differs() {
        let range = Range::new(Addr(0x10000), Addr(0x80000));
        let digests = |heads: &[(u64, u64)]| {
            let mut digests = Digests::default();
            digests.begin(range);
            for pair in heads.windows(2) {
                digests.add(Addr(pair[0].0), Addr(pair[1].0), pair[0].1);
            }
            digests
        };
        let one = digests(&[(0x10000, 1), (0x11000, 1), (0x30000, 1), (0x80000, 1)]);
        let two = digests(&[(0x10000, 1), (0x11000, 3), (0x30000, 1), (0x80000, 1)]);
        assert_eq!(one.differing_bytes(&one), 0);
        // The changed chunk starts in the first stretch and reaches to the third.
        assert_eq!(one.differing_bytes(&two), 0x20000);
    }

    #[test]
    fn going_back_forgets() {
        let mut digests = Digests::default();
        digests.begin(Range::new(Addr(0), Addr(0x100_0000)));
        digests.add(Addr(0), Addr(0x100), 1);
        let before = digests.clone();
        let mark = digests.mark();
        digests.add(Addr(0x100), Addr(0x50000), 1);
        digests.add(Addr(0x50000), Addr(0x60000), 1);
        digests.rewind(mark);
        assert_eq!(digests.stretches, before.stretches);
    }
}
