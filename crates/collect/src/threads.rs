//! Threads that were met, so that each is asked for its name once.
//!
//! Invariant: however many a process claims to have, no more than `MOST` are remembered.

use std::collections::HashSet;

/// Most threads whose names are asked for.
const MOST: usize = 1 << 16;
/// Threads that are known at a glance: every allocation asks.
const GLANCES: usize = 64;

/// The threads of a process.
#[derive(Debug)]
pub(crate) struct Threads {
    /// At the lower bits of its number, the thread that was met last.
    glances: [u32; GLANCES],
    met: HashSet<u32>,
    new: Vec<u32>,
}

impl Default for Threads {
    fn default() -> Self {
        Self { glances: [0; GLANCES], met: HashSet::new(), new: Vec::new() }
    }
}

impl Threads {
    #[inline]
    pub(crate) fn meet(&mut self, tid: u32) {
        let glance = &mut self.glances[tid as usize % GLANCES];
        if *glance != tid {
            *glance = tid;
            self.meet_slowly(tid);
        }
    }

    #[cold]
    fn meet_slowly(&mut self, tid: u32) {
        if self.met.len() < MOST && self.met.insert(tid) {
            self.new.push(tid);
        }
    }

    /// Those that were not met before this was asked last.
    pub(crate) fn take_new(&mut self) -> Vec<u32> {
        std::mem::take(&mut self.new)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_is_new_once_also_where_two_share_a_glance() {
        let mut threads = Threads::default();
        for _ in 0..3 {
            [7, 7 + GLANCES as u32, 8].into_iter().for_each(|tid| threads.meet(tid));
        }
        assert_eq!(threads.take_new(), [7, 71, 8]);
        (1..=2 * MOST as u32).for_each(|tid| threads.meet(tid));
        assert_eq!(threads.take_new().len(), MOST - 3);
    }
}
