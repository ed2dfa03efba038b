//! Code objects that stacks are remembered with, and whether one of them may be gone.
//!
//! Where the end of each code object is heard (`python::ends`): as long as none of those that are watched has
//! ended, each is the one that it was, and none has to be told from another by its mark.
//!
//! ```text
//! epoch    0 while ends are not heard; otherwise another one after each end of what may be watched
//! watched  a bit for each hash of an address
//! ```
//!
//! Invariants: code is watched while a frame holds it, before the hook has ended that remembers the frame. A
//! bit is taken away before the epoch changes, and an epoch is read before anything is watched in it: so who
//! remembers an epoch that is still there has lost no bit.

use core::sync::atomic::AtomicU64;
use core::sync::atomic::Ordering::{AcqRel, Acquire, Relaxed, Release};

/// Words of the bits.
pub(crate) const WORDS: usize = 4096;

/// The code objects that are watched.
#[derive(Clone, Copy)]
pub(crate) struct Codes {
    epoch: &'static AtomicU64,
    watched: &'static [AtomicU64],
}

impl Codes {
    pub(crate) fn new(epoch: &'static AtomicU64, watched: &'static [AtomicU64]) -> Self {
        Self { epoch, watched }
    }

    /// From now on every end is heard.
    pub(crate) fn hear(self) {
        self.epoch.store(1, Release);
    }

    /// Not any more. To be said before the first one is not heard.
    #[cold]
    pub(crate) fn stop_hearing(self) {
        self.epoch.store(0, Release);
    }

    /// What is remembered now holds until this is another number; 0 when nothing is known of ends.
    #[inline]
    pub(crate) fn epoch(self) -> u64 {
        self.epoch.load(Acquire)
    }

    /// The end of this code object is a new epoch.
    #[inline]
    pub(crate) fn watch(self, code: u64) {
        let (word, bit) = place(code);
        if let Some(word) = self.watched.get(word)
            && word.load(Relaxed) & bit == 0
        {
            word.fetch_or(bit, Relaxed);
        }
    }

    /// A code object is about to be freed.
    #[inline]
    pub(crate) fn freeing(self, addr: u64) {
        let (word, bit) = place(addr);
        if self.watched.get(word).is_some_and(|word| word.load(Relaxed) & bit != 0) {
            self.end(addr);
        }
    }

    /// What is remembered may be of code that is gone.
    #[cold]
    pub(crate) fn end(self, addr: u64) {
        let (word, bit) = place(addr);
        if let Some(word) = self.watched.get(word) {
            word.fetch_and(!bit, AcqRel);
        }
        self.forget();
    }

    /// As if any code object had ended.
    #[cold]
    pub(crate) fn forget(self) {
        let _ = self.epoch.fetch_update(AcqRel, Relaxed, |epoch| (epoch != 0).then(|| epoch.wrapping_add(1)));
    }
}

/// The word and the bit of an address. Objects are multiples of 16 apart.
#[inline]
const fn place(addr: u64) -> (usize, u64) {
    let hash = (addr >> 4).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 46;
    ((hash >> 6) as usize & (WORDS - 1), 1 << (hash & 63))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn codes() -> Codes {
        let words: Vec<_> = std::iter::repeat_with(|| AtomicU64::new(0)).take(1 + WORDS).collect();
        let (epoch, watched) = words.leak().split_first().unwrap();
        Codes::new(epoch, watched)
    }

    #[test]
    fn an_epoch_ends_with_what_is_watched_and_with_nothing_else() {
        let codes = codes();
        let (watched, other) = (0x7f12_3456_0000, 0x7f12_3456_1230);
        codes.hear();
        let first = codes.epoch();
        codes.freeing(watched);
        assert_eq!(codes.epoch(), first);
        codes.watch(watched);
        codes.freeing(other);
        assert_eq!(codes.epoch(), first);
        codes.freeing(watched);
        let second = codes.epoch();
        assert_ne!(second, first);
        // It is gone, and what lies there now is not watched.
        codes.freeing(watched);
        assert_eq!(codes.epoch(), second);
    }

    #[test]
    fn there_is_none_while_ends_are_not_heard() {
        let codes = codes();
        codes.watch(16);
        codes.freeing(16);
        assert_eq!(codes.epoch(), 0);
        codes.hear();
        codes.stop_hearing();
        codes.forget();
        assert_eq!(codes.epoch(), 0);
    }
}
