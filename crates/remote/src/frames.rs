//! Which physical frames have been counted, over all processes of one service.
//!
//! After a fork, parent and child map the same frames. The first process that is asked about a
//! shared frame claims it; in the others the page is [`slackwater_memory::Page::COUNTED`].
//!
//! Invariant: one bit per frame of physical memory, in pieces made when first needed: 32 KiB per
//! GiB that is really shared, and as much again for each open process.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::zero_page::ZeroPages;

/// Frames that one piece of the bitmap covers: 1 GiB.
const PIECE_FRAMES: u64 = 1 << 18;

/// The frames counted so far in one service. Shared by its processes' [`crate::Live`]s.
#[derive(Debug)]
pub struct Frames {
    counted: Mutex<FrameSet>,
    zero: ZeroPages,
}

impl Default for Frames {
    fn default() -> Self {
        Self::new()
    }
}

impl Frames {
    /// Nothing counted yet. Finds out whether the kernel shows us frame numbers.
    pub fn new() -> Self {
        Self { counted: Mutex::default(), zero: ZeroPages::find() }
    }

    /// Whether frame numbers are visible, which takes CAP_SYS_ADMIN. Where they are not, no page is
    /// ever found to be counted, and shared bytes can only be split by the kernel's PSS.
    pub const fn are_visible(&self) -> bool {
        self.zero.are_known()
    }

    pub(crate) const fn zero_pages(&self) -> ZeroPages {
        self.zero
    }

    pub(crate) fn lock(&self) -> MutexGuard<'_, FrameSet> {
        // A bitmap is never half changed, whatever panicked with the lock held.
        self.counted.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A set of frame numbers.
#[derive(Default, Debug)]
pub(crate) struct FrameSet {
    pieces: BTreeMap<u64, Box<[u64]>>,
}

impl FrameSet {
    /// Adds a frame. Whether it was not there before.
    pub(crate) fn insert(&mut self, frame: u64) -> bool {
        let (piece, word, bit) = position(frame);
        let words = self
            .pieces
            .entry(piece)
            .or_insert_with(|| vec![0; (PIECE_FRAMES / 64) as usize].into_boxed_slice());
        let added = words[word] & bit == 0;
        words[word] |= bit;
        added
    }

    /// Whether a frame is in it.
    pub(crate) fn contains(&self, frame: u64) -> bool {
        let (piece, word, bit) = position(frame);
        self.pieces.get(&piece).is_some_and(|words| words[word] & bit != 0)
    }

    /// Takes out all frames of `other`.
    pub(crate) fn remove_all(&mut self, other: &Self) {
        for (piece, words) in &other.pieces {
            if let Some(mine) = self.pieces.get_mut(piece) {
                for (mine, theirs) in mine.iter_mut().zip(words) {
                    *mine &= !theirs;
                }
            }
        }
    }
}

const fn position(frame: u64) -> (u64, usize, u64) {
    (frame / PIECE_FRAMES, (frame % PIECE_FRAMES / 64) as usize, 1 << (frame % 64))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_frame_is_new_once() {
        let mut set = FrameSet::default();
        for frame in [0, 63, 64, PIECE_FRAMES - 1, PIECE_FRAMES, 1 << 40] {
            assert!(!set.contains(frame));
            assert!(set.insert(frame));
            assert!(!set.insert(frame));
            assert!(set.contains(frame));
        }
        let mut other = FrameSet::default();
        other.insert(64);
        set.remove_all(&other);
        assert!(!set.contains(64) && set.contains(63));
    }
}
