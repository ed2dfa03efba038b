//! A half-open range of target addresses.

use core::fmt;

use crate::Addr;

/// `start` up to but not including `end`. Empty when `end <= start`.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Range {
    /// First address inside.
    pub start: Addr,
    /// First address outside.
    pub end: Addr,
}

impl Range {
    /// The range from `start` to `end`.
    pub const fn new(start: Addr, end: Addr) -> Self {
        Self { start, end }
    }

    /// `len` bytes from `start`; saturates at the end of the address space.
    pub const fn sized(start: Addr, len: u64) -> Self {
        Self { start, end: Addr(start.0.saturating_add(len)) }
    }

    /// Bytes inside.
    pub const fn len(self) -> u64 {
        self.end.offset_from(self.start)
    }

    /// Whether no address is inside.
    pub const fn is_empty(self) -> bool {
        self.end.0 <= self.start.0
    }

    /// Whether `addr` is inside.
    pub const fn contains(self, addr: Addr) -> bool {
        self.start.0 <= addr.0 && addr.0 < self.end.0
    }

    /// Whether every address of `inner` is inside.
    pub const fn covers(self, inner: Self) -> bool {
        self.start.0 <= inner.start.0 && inner.end.0 <= self.end.0
    }

    /// The addresses in both; empty when they do not meet.
    pub fn intersect(self, other: Self) -> Self {
        Self { start: self.start.max(other.start), end: self.end.min(other.end) }
    }

    /// The smallest range of whole blocks of `align` bytes that covers this one.
    pub const fn align_out(self, align: u64) -> Self {
        Self { start: self.start.align_down(align), end: self.end.align_up(align) }
    }

    /// The largest range of whole blocks of `align` bytes inside this one; may be empty.
    pub const fn align_in(self, align: u64) -> Self {
        Self { start: self.start.align_up(align), end: self.end.align_down(align) }
    }

    /// The parts of `self` that no range of `taken` covers. `taken` must be sorted by start.
    pub fn without<'a>(self, taken: impl IntoIterator<Item = &'a Self>) -> alloc::vec::Vec<Self> {
        let mut left = alloc::vec::Vec::new();
        let mut from = self.start;
        for hole in taken {
            let hole = self.intersect(*hole);
            if hole.is_empty() {
                continue;
            }
            if from < hole.start {
                left.push(Self::new(from, hole.start));
            }
            from = from.max(hole.end);
        }
        if from < self.end {
            left.push(Self::new(from, self.end));
        }
        left
    }
}

impl fmt::Display for Range {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:x}-{:x}", self.start.0, self.end.0)
    }
}

impl fmt::Debug for Range {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn range(start: u64, end: u64) -> Range {
        Range::new(Addr(start), Addr(end))
    }

    #[test]
    fn without_leaves_what_is_not_taken() {
        let taken = [range(0, 12), range(15, 20), range(18, 30), range(95, 200)];
        assert_eq!(range(10, 100).without(&taken), [range(12, 15), range(30, 95)]);
        assert_eq!(range(10, 11).without(&taken), []);
        assert_eq!(range(40, 50).without(&[]), [range(40, 50)]);
    }

    #[test]
    fn align_in_may_be_empty() {
        assert!(range(1, 4097).align_in(4096).is_empty());
        assert_eq!(range(1, 8192).align_in(4096), range(4096, 8192));
        assert_eq!(range(1, 4097).align_out(4096), range(0, 8192));
    }
}
