//! An address in the target. It is never a Rust pointer: nothing here can dereference it.

use core::fmt;
use core::ops::{Add, Sub};

/// Bytes per page. x86-64 Linux has no other base page size.
pub const PAGE_SIZE: u64 = 4096;

/// An address in the target's virtual memory.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Addr(pub u64);

impl Addr {
    /// The address as a number.
    pub const fn get(self) -> u64 {
        self.0
    }

    /// The null address.
    pub const fn is_null(self) -> bool {
        self.0 == 0
    }

    /// Whether the address is a multiple of `align`, a power of two.
    pub const fn is_aligned(self, align: u64) -> bool {
        self.0 & (align - 1) == 0
    }

    /// The nearest multiple of `align` (a power of two) at or below.
    pub const fn align_down(self, align: u64) -> Self {
        Self(self.0 & !(align - 1))
    }

    /// The nearest multiple of `align` (a power of two) at or above; saturates at the last one.
    pub const fn align_up(self, align: u64) -> Self {
        Self(self.0.saturating_add(align - 1) & !(align - 1))
    }

    /// `self + bytes`, or `None` past the end of the address space. For lengths the target chose.
    pub const fn checked_add(self, bytes: u64) -> Option<Self> {
        match self.0.checked_add(bytes) {
            Some(sum) => Some(Self(sum)),
            None => None,
        }
    }

    /// `self - bytes`, or `None` below zero.
    pub const fn checked_sub(self, bytes: u64) -> Option<Self> {
        match self.0.checked_sub(bytes) {
            Some(difference) => Some(Self(difference)),
            None => None,
        }
    }

    /// Bytes from `earlier` to `self`; zero when `earlier` lies above.
    pub const fn offset_from(self, earlier: Self) -> u64 {
        self.0.saturating_sub(earlier.0)
    }
}

/// Wraps around like the hardware does: callers that follow target-chosen offsets use `checked_add`.
impl Add<u64> for Addr {
    type Output = Self;
    fn add(self, bytes: u64) -> Self {
        Self(self.0.wrapping_add(bytes))
    }
}

impl Sub<u64> for Addr {
    type Output = Self;
    fn sub(self, bytes: u64) -> Self {
        Self(self.0.wrapping_sub(bytes))
    }
}

impl fmt::Display for Addr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:#x}", self.0)
    }
}

impl fmt::Debug for Addr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn alignment_never_overflows() {
        assert_eq!(Addr(u64::MAX).align_up(PAGE_SIZE), Addr(!0xfff));
        assert_eq!(Addr(1).align_up(PAGE_SIZE), Addr(4096));
        assert_eq!(Addr(4096).align_up(PAGE_SIZE), Addr(4096));
        assert_eq!(Addr(4097).align_down(PAGE_SIZE), Addr(4096));
    }
}
