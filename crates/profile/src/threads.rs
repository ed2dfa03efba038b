//! The threads of one process.
//!
//! Invariant: what is kept apart is bounded. A server may start a thread for each request: the later ones
//! are one.

use std::collections::HashMap;

/// Threads that are kept apart.
const THREADS_MAX: usize = 64;

/// A thread.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Thread {
    /// Its id; 0 for all those together that came too late to be kept apart.
    pub tid: u32,
    /// Its name, if it was seen.
    pub name: Option<String>,
}

/// All threads of one process.
#[derive(Debug, Default)]
pub(crate) struct Threads {
    idx_of: HashMap<u32, u16>,
    tids: Vec<u32>,
    names: HashMap<u32, String>,
}

impl Threads {
    /// The number of the thread with this id.
    pub(crate) fn idx(&mut self, tid: u32) -> u16 {
        if let Some(&idx) = self.idx_of.get(&tid) {
            return idx;
        }
        if self.tids.len() > THREADS_MAX {
            return THREADS_MAX as u16;
        }
        let is_last = self.tids.len() == THREADS_MAX;
        let idx = self.tids.len() as u16;
        self.tids.push(if is_last { 0 } else { tid });
        if !is_last {
            self.idx_of.insert(tid, idx);
        }
        idx
    }

    /// The id of the thread with this number; 0 for those that are one.
    pub(crate) fn tid(&self, idx: u16) -> u32 {
        self.tids.get(usize::from(idx)).copied().unwrap_or_default()
    }

    pub(crate) fn name(&mut self, tid: u32, name: &str) {
        if self.names.len() <= THREADS_MAX || self.idx_of.contains_key(&tid) {
            self.names.insert(tid, name.to_owned());
        }
    }

    pub(crate) fn all(&self) -> Vec<Thread> {
        self.tids.iter().map(|&tid| Thread { tid, name: self.names.get(&tid).cloned() }).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn late_threads_are_one() {
        let mut threads = Threads::default();
        threads.name(7, "worker");
        assert_eq!((threads.idx(7), threads.idx(8), threads.idx(7)), (0, 1, 0));
        let late: Vec<u16> = (100..1000).map(|tid| threads.idx(tid)).collect();
        assert_eq!(late.last(), Some(&(THREADS_MAX as u16)));
        let threads = threads.all();
        assert_eq!(threads.len(), THREADS_MAX + 1);
        assert_eq!(threads[0], Thread { tid: 7, name: Some("worker".to_owned()) });
        assert_eq!(threads[THREADS_MAX].tid, 0);
    }
}
