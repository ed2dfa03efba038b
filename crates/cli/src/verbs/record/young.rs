//! Whether processes have come: only then are all of them looked at, which takes some milliseconds.
//!
//! Invariant: a process is young for as many looks as it may take to become what it is to be.

use std::collections::HashMap;

use slackwater_base::Pid;
use slackwater_procfs::Root;

use super::arrivals::LOOKS;

/// The processes of a machine, and in how many looks each was there before.
#[derive(Default)]
pub(super) struct Young {
    ages: HashMap<Pid, u32>,
}

impl Young {
    /// Looks again: whether any process is young.
    pub(super) fn any(&mut self, root: &Root) -> bool {
        self.renew(root.pids().unwrap_or_default())
    }

    fn renew(&mut self, pids: Vec<Pid>) -> bool {
        let age = |pid| self.ages.get(&pid).map_or(0, |age| age + 1);
        self.ages = pids.into_iter().map(|pid| (pid, age(pid))).collect();
        self.ages.values().any(|&age| age <= LOOKS)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_grows_old_and_is_forgotten() {
        let mut young = Young::default();
        let mut look = |pids: &[i32]| young.renew(pids.iter().copied().map(Pid).collect());
        let n_young = (0..20).take_while(|_| look(&[1, 7])).count();
        assert_eq!(n_young, LOOKS as usize + 1);
        assert!(!look(&[7]));
        assert!(look(&[1, 7]));
        assert!(!look(&[7]));
        assert!(look(&[7, 8]));
    }
}
