//! The ledger: resident bytes split into classes that add up.

use core::iter::Sum;
use core::ops::{Add, AddAssign, Index, IndexMut, Sub};

use crate::words;

/// Resident bytes, counted twice over: for one process, and for the service it belongs to.
///
/// After a fork parent and child map the same frames. `process` counts such a frame in each of
/// them; `service` counts it only in the first process of the service that was looked at.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct Resident {
    /// Bytes resident in this process.
    pub process: u64,
    /// Those of them not yet counted in another process of the service.
    pub service: u64,
}

impl Resident {
    /// The part of `self` that `smaller` does not account for.
    pub const fn saturating_sub(self, smaller: Self) -> Self {
        Self {
            process: self.process.saturating_sub(smaller.process),
            service: self.service.saturating_sub(smaller.service),
        }
    }
}

impl Add for Resident {
    type Output = Self;
    fn add(self, other: Self) -> Self {
        Self {
            process: self.process.saturating_add(other.process),
            service: self.service.saturating_add(other.service),
        }
    }
}

impl AddAssign for Resident {
    fn add_assign(&mut self, other: Self) {
        *self = *self + other;
    }
}

impl Sub for Resident {
    type Output = Self;
    fn sub(self, other: Self) -> Self {
        self.saturating_sub(other)
    }
}

impl Sum for Resident {
    fn sum<I: Iterator<Item = Self>>(iter: I) -> Self {
        iter.fold(Self::default(), Add::add)
    }
}

words! {
    /// A class of resident bytes. Every resident byte of a process is in exactly one.
    Class {
        /// Blocks in use in a Python allocator (pymalloc).
        LivePython = "live_python",
        /// Blocks in use that native code asked for.
        LiveNative = "live_native",
        /// Blocks in use, Python and native not told apart.
        LiveUnsplit = "live_unsplit",
        /// Freed, and handed back to the kernel when the allocator is asked to.
        SlackTrimmable = "slack_trimmable",
        /// Freed, and not handed back even then.
        SlackPinned = "slack_pinned",
        /// Chunk headers, arena and pool metadata, alignment losses.
        AllocatorOverhead = "allocator_overhead",
        /// Anonymous maps outside any known allocator.
        AnonOther = "anon_other",
        /// Maps of files, their private copies included.
        File = "file",
        /// Shared memory: tmpfs, memfd, System V, shared anonymous maps.
        Shmem = "shmem",
        /// Stacks of threads.
        Stack = "stack",
        /// Slackwater's own pages in the target.
        Own = "own",
        /// Resident, and in none of the classes above: heaps whose books did not balance, and the
        /// difference to the kernel's own figure.
        Unexplained = "unexplained",
    }
}

words! {
    /// Why slack stays when the allocator is asked to hand it back.
    PinReason {
        /// A live block shares the page.
        Holes = "holes",
        /// The end of a secondary glibc arena: `malloc_trim` does not visit it.
        Tops = "tops",
        /// Parked in a thread cache.
        Caches = "caches",
        /// Free pools in a pymalloc arena that something else keeps.
        Pools = "pools",
        /// Free blocks in a pymalloc pool that holds live ones too.
        Blocks = "blocks",
    }
}

/// Resident bytes by [`Class`].
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct Ledger([Resident; Class::ALL.len()]);

impl Ledger {
    /// The sum over all classes.
    pub fn total(&self) -> Resident {
        self.0.iter().copied().sum()
    }

    /// Live bytes of every kind.
    pub fn live(&self) -> Resident {
        self[Class::LivePython] + self[Class::LiveNative] + self[Class::LiveUnsplit]
    }

    /// Trimmable and pinned slack.
    pub fn slack(&self) -> Resident {
        self[Class::SlackTrimmable] + self[Class::SlackPinned]
    }

    /// The classes with their bytes, in order.
    pub fn iter(&self) -> impl Iterator<Item = (Class, Resident)> + '_ {
        Class::ALL.iter().map(|&class| (class, self[class]))
    }
}

impl Index<Class> for Ledger {
    type Output = Resident;
    fn index(&self, class: Class) -> &Resident {
        &self.0[class as usize]
    }
}

impl IndexMut<Class> for Ledger {
    fn index_mut(&mut self, class: Class) -> &mut Resident {
        &mut self.0[class as usize]
    }
}

impl AddAssign<&Self> for Ledger {
    fn add_assign(&mut self, other: &Self) {
        for &class in Class::ALL {
            self[class] += other[class];
        }
    }
}

/// Pinned slack by [`PinReason`]. Its total is the heap's [`Class::SlackPinned`].
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct PinnedBy([Resident; PinReason::ALL.len()]);

impl PinnedBy {
    /// The sum over all reasons.
    pub fn total(&self) -> Resident {
        self.0.iter().copied().sum()
    }

    /// The reasons with their bytes, in order.
    pub fn iter(&self) -> impl Iterator<Item = (PinReason, Resident)> + '_ {
        PinReason::ALL.iter().map(|&reason| (reason, self[reason]))
    }
}

impl Index<PinReason> for PinnedBy {
    type Output = Resident;
    fn index(&self, reason: PinReason) -> &Resident {
        &self.0[reason as usize]
    }
}

impl IndexMut<PinReason> for PinnedBy {
    fn index_mut(&mut self, reason: PinReason) -> &mut Resident {
        &mut self.0[reason as usize]
    }
}

impl AddAssign<&Self> for PinnedBy {
    fn add_assign(&mut self, other: &Self) {
        for &reason in PinReason::ALL {
            self[reason] += other[reason];
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_distinct_and_classes_add_up() {
        let mut ledger = Ledger::default();
        for (index, &class) in Class::ALL.iter().enumerate() {
            ledger[class] += Resident { process: 1 << index, service: 0 };
        }
        assert_eq!(ledger.total().process, (1 << Class::ALL.len()) - 1);
        assert_eq!(ledger.live().process, 0b111);
        assert_eq!(ledger.slack().process, 0b11000);
    }
}
