//! The state of one page of the target, from /proc/PID/pagemap.

use slackwater_base::{PAGE_SIZE, Resident};

/// The state of one page. Absent pages, and pages that map the shared zero page, have no flag set.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct Page(u8);

impl Page {
    /// Neither resident nor swapped: never touched, given back, or the zero page.
    pub const ABSENT: Self = Self(0);
    /// Resident, and counted in the kernel's RSS.
    pub const RESIDENT: Self = Self(1);
    /// On swap.
    pub const SWAPPED: Self = Self(2);
    /// File-backed or shared memory, as opposed to anonymous.
    pub const FILE: Self = Self(4);
    /// Mapped by this process only.
    pub const EXCLUSIVE: Self = Self(8);
    /// Its frame has been counted already, in another process of the service.
    pub const COUNTED: Self = Self(16);

    /// Both sets of flags.
    pub const fn with(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// Whether all flags of `other` are set.
    pub const fn has(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }

    /// Whether the page is resident.
    pub const fn is_resident(self) -> bool {
        self.has(Self::RESIDENT)
    }

    /// Whether the page is on swap.
    pub const fn is_swapped(self) -> bool {
        self.has(Self::SWAPPED)
    }

    /// What `bytes` of this page (at most [`PAGE_SIZE`]) add to the books.
    pub const fn weigh(self, bytes: u64) -> Resident {
        debug_assert!(bytes <= PAGE_SIZE);
        if !self.is_resident() {
            return Resident { process: 0, service: 0 };
        }
        Resident { process: bytes, service: if self.has(Self::COUNTED) { 0 } else { bytes } }
    }
}
