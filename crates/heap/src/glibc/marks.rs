//! Chunks that look in use to their arena and are not, as sorted addresses: those in fast bins and
//! in thread caches. The walk goes by address, so that a cursor into each list tells what a chunk
//! is at no cost.

use slackwater_base::Addr;

use super::tally::Use;

/// Chunks that look in use and are not.
#[derive(Clone, Default, Debug)]
pub(super) struct Marks {
    fast: Vec<Addr>,
    cached: Vec<Addr>,
    own: Vec<Addr>,
}

impl Marks {
    /// Sorts what was collected. `None` when a chunk occurs twice: then lists are entangled.
    pub(super) fn new(mut fast: Vec<Addr>, mut cached: Vec<Addr>, mut own: Vec<Addr>) -> Option<Self> {
        for list in [&mut fast, &mut cached, &mut own] {
            list.sort_unstable();
            if list.windows(2).any(|pair| pair[0] == pair[1]) {
                return None;
            }
        }
        Some(Self { fast, cached, own })
    }

    /// How many of the chunks must be met on a walk over what `is_inside` says.
    pub(super) fn expected(&self, is_inside: impl Fn(Addr) -> bool) -> u64 {
        let count = |list: &[Addr]| list.iter().filter(|addr| is_inside(**addr)).count() as u64;
        count(&self.fast) + count(&self.cached) + count(&self.own)
    }
}

/// How far a walk has come in the lists, and how many of their chunks it met.
#[derive(Clone, Copy, Default, Debug)]
pub(super) struct Cursor {
    fast: usize,
    cached: usize,
    own: usize,
    pub(super) n_met: u64,
}

impl Cursor {
    /// Passes over what lies below `at`.
    pub(super) fn skip_to(&mut self, marks: &Marks, at: Addr) {
        self.fast += marks.fast[self.fast..].partition_point(|addr| *addr < at);
        self.cached += marks.cached[self.cached..].partition_point(|addr| *addr < at);
        self.own += marks.own[self.own..].partition_point(|addr| *addr < at);
    }

    /// What the chunk at `at`, which looks in use, is. `at` never decreases from call to call.
    pub(super) fn usage(&mut self, marks: &Marks, at: Addr) -> Use {
        let mut meets = |list: &[Addr], index: &mut usize| {
            while list.get(*index).is_some_and(|addr| *addr < at) {
                *index += 1;
            }
            let met = list.get(*index) == Some(&at);
            *index += usize::from(met);
            self.n_met += u64::from(met);
            met
        };
        if meets(&marks.fast, &mut self.fast) {
            Use::Fast
        } else if meets(&marks.cached, &mut self.cached) {
            Use::Cached
        } else if meets(&marks.own, &mut self.own) {
            Use::Own
        } else {
            Use::Live
        }
    }
}
