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

    /// How many fast chunks there are: a walk over their arena meets all of them.
    pub(super) const fn n_fast(&self) -> usize {
        self.fast.len()
    }

    /// How many chunks of caches there are: a walk meets all of them, unless a thread has emptied
    /// its cache since.
    pub(super) const fn n_cached(&self) -> usize {
        self.cached.len() + self.own.len()
    }
}

/// How far a walk has come in the lists, and how many chunks of each kind it met.
#[derive(Clone, Copy, Default, Debug)]
pub(super) struct Cursor {
    fast: usize,
    cached: usize,
    own: usize,
    pub(super) n_fast: usize,
    pub(super) n_cached: usize,
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
        if meets(&marks.fast, &mut self.fast, at) {
            self.n_fast += 1;
            Use::Fast
        } else if meets(&marks.cached, &mut self.cached, at) {
            self.n_cached += 1;
            Use::Cached
        } else if meets(&marks.own, &mut self.own, at) {
            self.n_cached += 1;
            Use::Own
        } else {
            Use::Live
        }
    }
}

/// Whether the next in `list` from `index` on that is not below `at` is at `at`.
fn meets(list: &[Addr], index: &mut usize, at: Addr) -> bool {
    while list.get(*index).is_some_and(|addr| *addr < at) {
        *index += 1;
    }
    let met = list.get(*index) == Some(&at);
    *index += usize::from(met);
    met
}
